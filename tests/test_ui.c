/* The progress display as its reader sees it: what arrives at a pipe, at a terminal of some width,
 * and as JSON. */
#include "tests/t.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "io/json.h"
#include "io/log.h"
#include "launch/option_table.h"
#include "launch/term.h"
#include "launch/ui.h"

enum { MAX_OUTPUT = 1 << 20 };
static char output[MAX_OUTPUT];
static dt_options options;
static dt_net *net;

static void pause_seconds(double seconds) {
    struct timespec t = {.tv_sec = (time_t)seconds,
                         .tv_nsec = (long)(1e9 * (seconds - (double)(long)seconds))};
    nanosleep(&t, NULL);
}

static dt_epoch_line epoch_line(int64_t epoch) {
    return (dt_epoch_line){.epoch = epoch,
                           .epochs = 3,
                           .train_loss = epoch ? 0.25 : NAN,
                           .train_accuracy = epoch ? 93.5 : NAN,
                           .validation_loss = NAN,
                           .validation_accuracy = NAN,
                           .test_loss = 0.125,
                           .test_accuracy = 97.25,
                           .learning_rate = 0.002,
                           .seconds = epoch ? 2.5 : 0,
                           .images_per_second = epoch ? 24000 : 0,
                           .is_best = epoch == 1};
}

static void show_epochs(dt_ui *ui) {
    for (int64_t epoch = 0; epoch <= 2; epoch++) {
        dt_epoch_line line = epoch_line(epoch);
        dt_ui_epoch(ui, &line);
    }
}

static void show_steps(dt_ui *ui, int64_t from, int64_t to, double seconds_each) {
    for (int64_t step = from; step <= to; step++) {
        dt_step_line line = {.epoch = 1,
                             .epochs = 3,
                             .step = step,
                             .steps = 200,
                             .loss = 0.5,
                             .accuracy = 88.25,
                             .learning_rate = 0.004,
                             .gradient_norm = 1.5,
                             .images_per_second = 24310,
                             .eta_seconds = 83};
        dt_ui_step(ui, &line);
        if (seconds_each > 0)
            pause_seconds(seconds_each);
    }
}

static void show_banner_of(dt_ui *ui, const dt_place *places, int n_ranks) {
    dt_banner banner = {.options = &options,
                        .net = net,
                        .places = places,
                        .n_ranks = n_ranks,
                        .n_hosts = 2,
                        .batch = 64,
                        .micro = 16,
                        .max_micros = 4,
                        .total_workers = 5,
                        .n_train = 60000,
                        .n_test = 10000,
                        .steps_per_epoch = 938,
                        .fingerprint = "finger print",
                        .comm_library = "some MPI",
                        .sums = "",
                        .no_gpu = "",
                        .out_dir = "runs/x",
                        .resumed_step = 1200};
    dt_ui_banner(ui, &banner);
}

static void show_banner(dt_ui *ui) {
    static const dt_place places[3] = {
        {.host = "alpha", .device = "some CPU", .threads = 2, .job_cores = 8, .cores_open = 8},
        {.host = "alpha", .device = "some CPU", .threads = 2, .job_cores = 8, .cores_open = 8},
        {.host = "beta", .device = "some CPU", .threads = 1, .job_cores = 2, .cores_open = 8}};
    show_banner_of(ui, places, 3);
}

/* More GPUs than a banner has room for. */
static void show_gpus(dt_ui *ui) {
    static dt_place places[12];
    for (int r = 0; r < 12; r++) {
        places[r] = (dt_place){.host = "alpha", .device = "some GPU", .threads = 1};
        snprintf(places[r].pci, sizeof places[r].pci, "0000:%02x:00.0", (unsigned)r);
        snprintf(places[r].uuid, sizeof places[r].uuid, "GPU-%d", r);
    }
    show_banner_of(ui, places, 12);
}

static void show_end(dt_ui *ui) {
    dt_summary summary = {.status = DT_OK,
                          .test_accuracy = 98.75,
                          .best_value = 98.875,
                          .best_kind = "test",
                          .best_epoch = 2,
                          .seconds = 9.5,
                          .out_dir = "runs/x",
                          .params_sha256 = "0123abcd"};
    dt_ui_finish(ui, &summary);
}

static void show_all(dt_ui *ui) {
    show_banner(ui);
    show_steps(ui, 1, 200, 0);
    show_epochs(ui);
    show_end(ui);
}

static void show_bar(dt_ui *ui) {
    show_steps(ui, 1, 100, 0.004);
    dt_warn("in between");
    show_steps(ui, 101, 150, 0.004);
    show_epochs(ui);
}

static void show_quickly(dt_ui *ui) {
    pause_seconds(0.15);
    show_steps(ui, 1, 200, 0);
}

static void show_slowly(dt_ui *ui) {
    pause_seconds(5.1);
    show_steps(ui, 200, 200, 0);
}

/* Run show in a child whose stdout and stderr are fd; both ends' outcome is in output. */
static void run_child(int reader, int writer, void (*show)(dt_ui *)) {
    pid_t child = fork();
    if (child == 0) {
        close(reader);
        dup2(writer, STDOUT_FILENO);
        dup2(writer, STDERR_FILENO);
        dt_ui *ui = dt_ui_open(&options);
        show(ui);
        dt_ui_close(&ui);
        _exit(ui == NULL ? 0 : 1);
    }
    close(writer);
    size_t n = 0;
    ssize_t got;
    while ((got = read(reader, output + n, MAX_OUTPUT - 1 - n)) > 0 || (got < 0 && errno == EINTR))
        n += got > 0 ? (size_t)got : 0; /* a terminal ends with EIO */
    output[n] = '\0';
    close(reader);
    int status = -1;
    waitpid(child, &status, 0);
    T_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void at_pipe(void (*show)(dt_ui *)) {
    int fd[2];
    T_CHECK(pipe(fd) == 0);
    run_child(fd[0], fd[1], show);
}

static void at_terminal(int columns, void (*show)(dt_ui *)) {
    int reader = posix_openpt(O_RDWR | O_NOCTTY);
    T_CHECK(reader >= 0 && grantpt(reader) == 0 && unlockpt(reader) == 0);
    int writer = open(ptsname(reader), O_RDWR | O_NOCTTY);
    struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = 24};
    T_CHECK(writer >= 0 && ioctl(writer, TIOCSWINSZ, &size) == 0);
    run_child(reader, writer, show);
}

static void set_options(const char *first, const char *second) {
    char *argv[] = {(char *)"dtrain", (char *)first, (char *)second};
    T_OK(dt_options_parse(1 + (first != NULL) + (second != NULL), argv, &options));
    dt_options_resolve(&options);
}

/* How often what is in text. */
static int count(const char *text, const char *what) {
    int n = 0;
    for (; (text = strstr(text, what)) != NULL; text += strlen(what))
        n++;
    return n;
}

/* Columns of the longest line: UTF-8 characters, without escape sequences; '\r' starts again. */
static int columns(const char *text) {
    int n = 0, most = 0;
    for (; *text; text++) {
        if (*text == '\033') {
            while (*text && !((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z')))
                text++;
        } else if (*text == '\r' || *text == '\n') {
            n = 0;
        } else if (((unsigned char)*text & 0xc0) != 0x80) {
            n++;
        }
        most = n > most ? n : most;
    }
    return most;
}

static void test_pipe(void) {
    set_options(NULL, NULL);
    at_pipe(show_all);
    T_CHECK(!strchr(output, '\033') && !strchr(output, '\r'));
    T_CHECK(strstr(output, "0-1 on alpha: 2 threads each, some CPU\n"));
    T_CHECK(strstr(output, "2 on beta: 1 thread, some CPU\n"));
    T_CHECK(strstr(output, "batch 64 = 4 x 16 over 3 ranks (5 threads in all)\n"));
    T_CHECK(strstr(output, "60,000 to train") && strstr(output, "938 steps an epoch"));
    T_CHECK(strstr(output, "runs/x, resumed at step 1,200\n") && strstr(output, "421,642"));
    T_CHECK(strstr(output, "64 x 7 x 7"));
    T_CHECK(
        strstr(output, "warning: no work for 1 of 5 workers: a batch of 64 is 4 micro-batches") &&
        strstr(output, "--batch"));
    T_CHECK(strstr(output, "only 2 of the 8 cores of beta") && !strstr(output, "cores of alpha"));
    T_CHECK(strstr(output,
                   "\nepoch   0/3    train loss      - acc      -  test loss 0.1250 acc 97.25%"));
    T_CHECK(strstr(
        output,
        "\nepoch   1/3    train loss 0.2500 acc 93.50%  test loss 0.1250 acc 97.25%    24000 "
        "img/s     2.50 s  best\n"));
    T_CHECK(count(output, " best\n") == 1 &&
            count(output, "  step ") == 0); /* 5 s have not passed */
    T_CHECK(strstr(output, "test accuracy 98.75%") &&
            strstr(output, "98.88% of the test set, after epoch 2"));
    T_CHECK(strstr(output, "params_sha256 0123abcd\n"));
    T_CHECK(strstr(output, "runs/x:\n")); /* none of the files is there */

    at_pipe(show_gpus);
    T_CHECK(strstr(output, "7 on alpha: GPU some GPU, 0000:07:00.0, GPU-7\n"));
    T_CHECK(strstr(output, " 8-11: dtrain devices, started alike, tells of them; --json too\n"));
    set_options("--json", NULL);
    at_pipe(show_gpus);
    T_CHECK(strstr(output, "0000:0b:00.0") && strstr(output, "GPU-11"));
    set_options(NULL, NULL);

    at_pipe(show_slowly);
    T_CHECK(strcmp(output, "epoch   1/3    step    200/200     loss 0.5000 acc 88.25%  lr 4.0e-03  "
                           "grad     1.5    24310 "
                           "img/s  1:23 left\n") == 0);
}

static void test_terminal(void) {
    set_options(NULL, NULL);
    setenv("LC_ALL", "C.UTF-8", 1);
    at_terminal(120, show_bar);
    T_CHECK(strstr(output, "\033[36m\u2501") && strstr(output, "24,310 img/s  1:23 left"));
    T_CHECK(strstr(output, "88.25%  lr 4.0e-03"));
    T_CHECK(columns(output) <= 120);
    /* the bar makes way for the warning, which starts its line */
    T_CHECK(strstr(output, "\r\033[Kdtrain: warning: in between\r\n"));
    T_CHECK(strstr(output, "\r\033[Kepoch   0/3"));

    at_terminal(80, show_bar);
    T_CHECK(columns(output) <= 80 && !strstr(output, "  lr "));
    at_terminal(30, show_bar);
    T_CHECK(strstr(output, "epoch 1/3") && strchr(output, '\r'));

    at_terminal(120, show_quickly); /* 200 steps at once are one drawing */
    T_CHECK(count(output, "\repoch 1/3") == 1);

    setenv("LC_ALL", "C", 1);
    at_terminal(120, show_bar);
    T_CHECK(!strstr(output, "\u2501") && strstr(output, "====") && strstr(output, "----"));
    setenv("NO_COLOR", "1", 1);
    at_terminal(120, show_bar);
    T_CHECK(!strstr(output, "\033[36m") && !strstr(output, "\033[1m") && strstr(output, "====="));
    unsetenv("NO_COLOR");
    setenv("TERM", "dumb", 1);
    at_terminal(120, show_all);
    T_CHECK(!strchr(output, '\033') && strstr(output, "\nepoch   1/3"));
    setenv("TERM", "xterm", 1);
    setenv("OMPI_COMM_WORLD_SIZE", "2",
           1); /* a terminal made by mpirun is none when our parent's stdout is none */
    int saved = dup(STDOUT_FILENO), null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    at_terminal(120, show_all);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(null);
    T_CHECK(!strchr(output, '\033') && strstr(output, "\nepoch   1/3"));
    unsetenv("OMPI_COMM_WORLD_SIZE");
}

static void test_modes(void) {
    set_options("--quiet", NULL);
    at_pipe(show_all);
    T_CHECK(!strstr(output, "epoch") && strstr(output, "warning"));
    set_options("--progress", "none");
    at_pipe(show_all);
    T_CHECK(!strstr(output, "\nepoch ") && strstr(output, "params_sha256") &&
            strstr(output, "421,642"));
    set_options("--progress", "bar");
    at_pipe(show_bar);
    T_CHECK(strstr(output, "\repoch 1/3  ") && !strstr(output, "\033[36m"));
    dt_ui *none = NULL; /* of other ranks */
    show_all(none);
    dt_ui_close(&none);
}

static int n_members;
static char event[16], best[16];
static void visit(void *ctx, const char *key, const char *value) {
    (void)ctx;
    n_members++;
    if (strcmp(key, "event") == 0)
        snprintf(event, sizeof event, "%s", value);
    if (strcmp(key, "best") == 0)
        snprintf(best, sizeof best, "%s", value);
}

static void test_json(void) {
    static const char *const events[] = {"start", "epoch", "epoch", "epoch", "end"};
    int n = 0;
    set_options("--json", "--progress=bar");
    at_pipe(show_all);
    for (char *line = strtok(output, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "dtrain: warning", 15) == 0)
            continue;
        n_members = 0;
        T_OK(dt_json_each(line, visit, NULL));
        T_CHECK(n < 5 && strcmp(event, events[n]) == 0 && n_members > 8);
        if (n == 2)
            T_CHECK(strcmp(best, "true") == 0 && strstr(line, "\"test_accuracy\":97.25"));
        n++;
    }
    T_CHECK(n == 5);
}

static void test_numbers(void) {
    char text[DT_NUMBER_MAX];
    T_CHECK(strcmp(dt_text_thousands(0, text), "0") == 0);
    T_CHECK(strcmp(dt_text_thousands(999, text), "999") == 0);
    T_CHECK(strcmp(dt_text_thousands(-1234567, text), "-1,234,567") == 0);
    T_CHECK(strcmp(dt_text_thousands(-123, text), "-123") == 0);
    T_CHECK(strcmp(dt_text_thousands(INT64_MIN, text), "-9,223,372,036,854,775,808") == 0);
    T_CHECK(strcmp(dt_text_clock(59.6, text), "1:00") == 0);
    T_CHECK(strcmp(dt_text_clock(3723, text), "1:02:03") == 0);
    T_CHECK(strcmp(dt_text_clock(NAN, text), "-:--") == 0);
    T_CHECK(strcmp(dt_text_clock(INFINITY, text), "-:--") == 0);
    T_CHECK(strcmp(dt_text_seconds(0.312, text), "0.31 s") == 0);
    T_CHECK(strcmp(dt_text_seconds(83, text), "83.0 s") == 0);
    T_CHECK(strcmp(dt_text_seconds(3723, text), "1:02:03") == 0);
}

int main(void) {
    T_BEGIN(60);
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    unsetenv("OMPI_COMM_WORLD_SIZE");
    T_OK(dt_net_parse("cnn", (dt_shape){1, 28, 28}, &net));
    test_numbers();
    test_pipe();
    test_terminal();
    test_modes();
    test_json();
    dt_net_free(&net);
    return t_finish();
}
