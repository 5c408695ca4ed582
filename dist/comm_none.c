/* dist/comm_none.c - the transport of a group of one: nothing to send, nothing to wait for. */
#include "dist/comm_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_status none_open(int *argc, char ***argv, dt_group *group, void **state) {
    (void)argc, (void)argv;
    *state = NULL;
    *group = (dt_group){.size = 1, .local_size = 1, .n_hosts = 1};
    group->hosts = calloc(1, sizeof *group->hosts);
    if (!group->hosts)
        return dt_fail(DT_EDEVICE, "no memory for a group of one rank");
    dt_host_name(group->hosts->name);
    snprintf(group->library, sizeof group->library, "none");
    return DT_OK;
}

static void none_close(void *state, bool broken) {
    (void)state, (void)broken;
}

static dt_status none_sum_i64(void *state, int64_t *v, size_t n) {
    (void)state, (void)v, (void)n;
    return DT_OK;
}

static dt_status none_sum_f32(void *state, float *v, size_t n) {
    (void)state, (void)v, (void)n;
    return DT_OK;
}

static dt_status none_bcast(void *state, void *buf, size_t nbytes, int root) {
    (void)state, (void)buf, (void)nbytes, (void)root;
    return DT_OK;
}

static dt_status none_allgather(void *state, const void *mine, size_t nbytes, void *all) {
    (void)state;
    if (nbytes > 0)
        memmove(all, mine, nbytes);
    return DT_OK;
}

static dt_status none_barrier(void *state) {
    (void)state;
    return DT_OK;
}

static dt_status none_share(void *state, size_t n, int64_t **v) {
    (void)state, (void)n;
    *v = NULL;
    return DT_OK;
}

/* There is no other rank to ask. */
static dt_status none_probe(void *state, int peer, size_t nbytes, double seconds, dt_probe *out) {
    (void)state, (void)peer, (void)nbytes, (void)seconds;
    *out = (dt_probe){0};
    return DT_OK;
}

/* The one rank's part of itself; its state is not NULL, which would mean no part in it. */
static dt_status none_split(void *state, int colour, int key, dt_group *group, void **part) {
    static char itself;
    (void)state, (void)key;
    *part = NULL;
    if (colour < 0)
        return DT_OK;
    void *none;
    DT_TRY(none_open(NULL, NULL, group, &none));
    *part = &itself;
    return DT_OK;
}

static void none_abort(int exit_code) {
    (void)exit_code; /* comm.c ends this process, and there is no other */
}

const dt_transport dt_transport_none = {
    .own_thread = false,
    .open = none_open,
    .close = none_close,
    .sum_i64 = none_sum_i64,
    .sum_f32 = none_sum_f32,
    .share = none_share,
    .bcast = none_bcast,
    .allgather = none_allgather,
    .barrier = none_barrier,
    .idle_barrier = none_barrier,
    .probe = none_probe,
    .split = none_split,
    .abort = none_abort,
};
