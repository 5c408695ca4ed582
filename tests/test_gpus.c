/* tests/test_gpus.c - the end of a device's queue: waited for, but not for ever. */
#include "t.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dist/comm_impl.h"
#include "io/clock.h"
#include "launch/gpu.h"

static dt_comm *comm;
static int looks;

static dt_status soon(dt_device *device, bool *idle) {
    (void)device;
    *idle = ++looks > 5;
    return DT_OK;
}

static dt_status never(dt_device *device, bool *idle) {
    (void)device;
    *idle = false;
    return DT_OK;
}

static dt_status failed(dt_device *device, bool *idle) {
    (void)device;
    *idle = true;
    return dt_fail(DT_EDEVICE, "the device failed");
}

static void settle(dt_status (*idle)(dt_device *device, bool *idle), double seconds) {
    dt_gpus gpus = {.comm = comm};
    const dt_backend backend = {.idle = idle};
    dt_gpus_settle(&gpus, &backend, NULL, seconds);
}

/* In a process of its own, as it does not return. */
static void test_hung(void) {
    int told[2], code;
    char text[512] = "";
    double begin = dt_now();
    T_CHECK(pipe(told) == 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(told[1], STDERR_FILENO);
        settle(never, 0.2);
        _exit(0);
    }
    close(told[1]);
    T_CHECK(read(told[0], text, sizeof text - 1) > 0);
    close(told[0]);
    T_CHECK(waitpid(child, &code, 0) == child && WIFEXITED(code));
    T_CHECK(WEXITSTATUS(code) == DT_EPEER);
    T_CHECK(strstr(text, "not done with its last steps within 0.2 s") != NULL);
    T_CHECK(dt_now() - begin >= 0.2 && dt_now() - begin < 10);
}

int main(void) {
    T_BEGIN(60);
    T_OK(dt_comm_open(&dt_transport_none, NULL, NULL, &comm));
    settle(NULL, 0); /* a back end without a queue */
    settle(soon, 10);
    T_CHECK(looks == 6);
    settle(failed, 0);
    test_hung();
    dt_comm_free(&comm);
    return t_finish();
}
