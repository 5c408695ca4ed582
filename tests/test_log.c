/* The log: every line is one write(2), seen by reading stderr from a pipe in packet mode; lines of
 * threads do not mix. */
#include <fcntl.h>
#include <pthread.h>
#include "io/log.h"
#include "tests/t.h"

enum {
    THREADS = 4,
    LINES = 50
}; /* all fit the pipe, where a packet takes a page of the megabyte */

static int kept_stderr, packets;

static void catch_stderr(void) {
    int ends[2];
    if (pipe2(ends, O_DIRECT | O_NONBLOCK) != 0 || fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) < 0)
        exit(1);
    kept_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    packets = ends[0];
}

static void release_stderr(void) {
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
}

/* The next write, as a string; "" if there is none. */
static const char *next_write(void) {
    static char text[4096];
    ssize_t n = read(packets, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

#define WROTE(line) T_CHECK(strcmp(next_write(), line) == 0)

static int n_before;
static void before(void) {
    n_before++;
}

static void test_lines(void) {
    catch_stderr();
    dt_warn("%d of %s", 3, "4");
    (void)dt_fail(DT_EIO, "the reason");
    dt_log_error();
    dt_log_identity(2, 4, "node7");
    dt_log_before(before);
    dt_warn("two\nlines\033[2J");
    dt_log_error();
    dt_log_before(NULL);
    dt_error_set("pool 40\n     ^\033[2J");
    dt_log_error();
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    dt_warn("%s", text);
    release_stderr();
    WROTE("dtrain: warning: 3 of 4\n");
    WROTE("dtrain: the reason\n");
    WROTE("dtrain: warning: rank 2 (node7): two?lines?[2J\n");
    WROTE("dtrain: rank 2 (node7): the reason\n");
    WROTE("dtrain: rank 2 (node7): pool 40\n     ^?[2J\n");
    T_CHECK(n_before == 2);
    size_t n = strlen(next_write());
    T_CHECK(n > 1000 && n <= 1024); /* cut, but a line; shorter than PIPE_BUF */
    WROTE("");
    close(packets);
}

static void *warn_often(void *arg) {
    for (int i = 0; i < LINES; i++)
        dt_warn("thread %d line %d.", *(int *)arg, i);
    return NULL;
}

static void test_threads(void) {
    pthread_t thread[THREADS];
    int number[THREADS], next[THREADS] = {0}, good = 1;
    catch_stderr();
    for (int i = 0; i < THREADS; i++) {
        number[i] = i;
        if (pthread_create(&thread[i], NULL, warn_often, &number[i]) != 0)
            exit(1);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    release_stderr();
    for (int i = 0; i < THREADS * LINES && good; i++) {
        int t, line;
        char end[3] = "";
        good = sscanf(next_write(), "dtrain: warning: rank 2 (node7): thread %d line %d%2c", &t,
                      &line, end) == 3 &&
               strcmp(end, ".\n") == 0 && t >= 0 && t < THREADS && next[t]++ == line;
    }
    T_CHECK(good);
    WROTE("");
}

int main(void) {
    T_BEGIN(60);
    test_lines();
    test_threads();
    return t_finish();
}
