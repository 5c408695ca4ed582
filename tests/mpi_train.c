/* ranks: 1 2 3 4
 * timeout: 120
 * tests/mpi_train.c - the trainer with the ref back end on a few small images: the same bits for
 * every number of ranks and threads, stopped anywhere and resumed; and planted faults, told by rank
 * and host. */
#include "t.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdint.h>

#include "dist/comm.h"
#include "dist/comm_impl.h"
#include "io/checkpoint.h"
#include "io/clock.h"
#include "io/runfile.h"
#include "launch/trainer.h"
#include "tests/queued.h"

static dt_comm *comm, *alone; /* all ranks; this one by itself */
static int rank, size;
static char dir[DT_PATH_MAX]; /* temporary; the same for all */

static void reduce_counts(long counts[2]) {
    int64_t both[2] = {counts[0], counts[1]};
    if (dt_comm_sum_i64(comm, both, 2) != DT_OK)
        both[1]++;
    counts[0] = both[0];
    counts[1] = both[1];
}

/* --- a back end that does what a test asks of it -----------------------------------------------
 */

/* Functions of the table that can fail, besides gradient and update. */
enum { OPEN, LOAD, SET_STATE, GET_STATE, EVALUATE, FINGERPRINT, N_FUNCTIONS };

static struct {
    int rank;         /* where; -1: nowhere */
    int64_t gradient; /* at this gradient() of the process, from 1 ... */
    enum { STOP, FAIL, EXPLODE } does;
    int64_t update; /* from this update() on a parameter is changed */
    int64_t fail_update;
    int64_t evaluate; /* at this evaluate() a stop is asked for */
    bool wrong_bits;  /* fingerprint() is wrong */
    bool other_cpu;   /* describe() tells of one */
    int64_t n_gradient, n_update, n_evaluate;
    int64_t fail[N_FUNCTIONS]; /* at this call of the function, from 1 */
    int64_t n[N_FUNCTIONS];
} plant;

static int pending; /* takes the place of launch/signals.c */

void dt_signals_install(void) {
}

int dt_signals_pending(void) {
    return pending;
}

const char *dt_signal_name(int number) {
    return number == 10 ? "SIGUSR1" : "?";
}

static void plant_nothing(void) {
    memset(&plant, 0, sizeof plant);
    plant.rank = -1;
    pending = 0;
}

static dt_status gradient(dt_device *device, const dt_work *work, dt_ready ready, void *ctx) {
    bool here = ++plant.n_gradient == plant.gradient && rank == plant.rank;
    if (here && plant.does == FAIL)
        return dt_fail(DT_EDEVICE, "planted: no gradient");
    DT_TRY(dt_backend_ref.gradient(device, work, ready, ctx));
    if (here && plant.does == STOP)
        pending = 10;
    if (here && plant.does == EXPLODE) {
        dt_gradient buffer = dt_backend_ref.buffer(device);
        buffer.sums[buffer.n_sums - DT_N_SUMS + DT_SUM_BAD] += 3;
    }
    return DT_OK;
}

static dt_status change_parameter(dt_device *device) {
    static float params[4096], slot[4096];
    float *slots[2] = {slot, NULL};
    DT_TRY(dt_backend_ref.get_state(device, params, slots));
    params[5] += 1e-3f;
    return dt_backend_ref.set_state(device, params, (const float *const *)slots);
}

static dt_status update(dt_device *device, const dt_update *u, double *norm) {
    DT_TRY(dt_backend_ref.update(device, u, norm));
    plant.n_update++;
    if (rank != plant.rank)
        return DT_OK;
    if (plant.n_update == plant.fail_update)
        return dt_fail(DT_EDEVICE, "planted: no update");
    return plant.n_update == plant.update ? change_parameter(device) : DT_OK;
}

static dt_status planted(int function) {
    if (++plant.n[function] != plant.fail[function] || rank != plant.rank)
        return DT_OK;
    return dt_fail(DT_EDEVICE, "planted: no function %d", function);
}

static dt_status open_device(const dt_device_config *config, dt_device **out) {
    *out = NULL;
    DT_TRY(planted(OPEN));
    return dt_backend_ref.open(config, out);
}

static dt_status load(dt_device *device, dt_set set, const uint8_t *images, const uint8_t *labels,
                      size_t n) {
    DT_TRY(planted(LOAD));
    return dt_backend_ref.load(device, set, images, labels, n);
}

static dt_status set_state(dt_device *device, const float *params, const float *const *slots) {
    DT_TRY(planted(SET_STATE));
    return dt_backend_ref.set_state(device, params, slots);
}

static dt_status get_state(dt_device *device, float *params, float *const *slots) {
    DT_TRY(planted(GET_STATE));
    return dt_backend_ref.get_state(device, params, slots);
}

static dt_status evaluate(dt_device *device, dt_set set, const dt_work *work, dt_eval *out) {
    DT_TRY(planted(EVALUATE));
    if (++plant.n_evaluate == plant.evaluate && rank == plant.rank)
        pending = 10;
    return dt_backend_ref.evaluate(device, set, work, out);
}

static dt_status fingerprint(dt_device *device, int worker, const int64_t *samples, uint32_t epoch,
                             char hex[65]) {
    DT_TRY(planted(FINGERPRINT));
    DT_TRY(dt_backend_ref.fingerprint(device, worker, samples, epoch, hex));
    if (plant.wrong_bits && rank == plant.rank && epoch > 0)
        hex[0] = hex[0] == '0' ? '1' : '0';
    return DT_OK;
}

static void describe(char *text, size_t nbytes) {
    dt_backend_ref.describe(text, nbytes);
    if (plant.other_cpu && rank == plant.rank)
        snprintf(text, nbytes, "another CPU");
}

static dt_backend backend;
static dt_gpus no_gpus;

/* --- data and options ---------------------------------------------------------------------------
 */

static void put32(FILE *f, uint32_t v) {
    for (int i = 3; i >= 0; i--)
        fputc((int)(v >> (8 * i) & 255), f);
}

/* n images of 8 x 8: three classes, a bright stripe each, in noise. */
static void write_set(const char *part, uint32_t n) {
    char path[2][DT_PATH_MAX + 64];
    snprintf(path[0], sizeof path[0], "%s/data/%s-images-idx3-ubyte", dir, part);
    snprintf(path[1], sizeof path[1], "%s/data/%s-labels-idx1-ubyte", dir, part);
    FILE *images = fopen(path[0], "wb"), *labels = fopen(path[1], "wb");
    put32(images, 0x803), put32(images, n), put32(images, 8), put32(images, 8);
    put32(labels, 0x801), put32(labels, n);
    uint32_t noise = 12345;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t p = 0; p < 64; p++) {
            noise = noise * 1664525u + 1013904223u;
            fputc((int)(p / 8 / 2 == i % 3 ? 150 + (noise >> 26) : noise >> 25), images);
        }
        fputc((int)(i % 3), labels);
    }
    T_CHECK(fclose(images) == 0 && fclose(labels) == 0);
}

/* 2 epochs of 5 steps: 150 samples in batches of 32, the last of 22; micro-batches of 4. */
static dt_options make_options(const char *out, ...) {
    static char data[DT_PATH_MAX + 64], path[DT_PATH_MAX + 64];
    const char *argv[64] = {"dtrain",        "train",  "--data",     data,
                            "--out",         path,     "--model",    "conv 4 3; relu; pool 2; fc 3",
                            "--samples",     "150",    "--batch",    "32",
                            "--micro-batch", "4",      "--epochs",   "2",
                            "--optimizer",   "sgd",    "--lr",       "0.05",
                            "--momentum",    "0.9",    "--progress", "none",
                            "--quiet",       "--seed", "7"};
    int argc = 27;
    va_list more;
    va_start(more, out);
    for (const char *word; (word = va_arg(more, const char *));)
        argv[argc++] = word;
    va_end(more);
    snprintf(data, sizeof data, "%s/data", dir);
    snprintf(path, sizeof path, "%s/%s", dir, out);
    dt_options options;
    T_OK(dt_options_parse(argc, (char *const *)argv, &options));
    dt_options_resolve(&options);
    return options;
}

/* The digest in out/latest.h5 as rank 0 reads it, for all; its position too. */
typedef struct {
    char digest[DT_SHA256_HEX];
    int64_t epoch, step;
} state;

static state read_latest(const char *out) {
    state s = {0};
    if (rank == 0) {
        char run[DT_PATH_MAX + 64], path[DT_PATH_MAX];
        dt_checkpoint *c = NULL;
        snprintf(run, sizeof run, "%s/%s", dir, out);
        T_OK(dt_checkpoint_resolve(run, true, path));
        if (T_OK(dt_checkpoint_read(path, &c))) {
            memcpy(s.digest, c->params_sha256, sizeof s.digest);
            s.epoch = c->epoch;
            s.step = c->step;
        }
        dt_checkpoint_free(&c);
    }
    T_OK(dt_comm_bcast(comm, &s, sizeof s, 0));
    return s;
}

/* What the log says of the last epoch, without the times: the sums of an epoch survive a stop. */
static void read_log(const char *out, char text[512]) {
    char path[DT_PATH_MAX + 64], line[4096];
    snprintf(path, sizeof path, "%s/%s/log.jsonl", dir, out);
    FILE *f = fopen(path, "r");
    text[0] = 0;
    while (f && fgets(line, sizeof line, f)) {
        char *from = strstr(line, "\"train_loss\""), *to = strstr(line, "\"learning_rate\"");
        if (from && to)
            snprintf(text, 512, "%.*s", (int)(to - from), from);
    }
    if (f)
        fclose(f);
}

/* run.h5 of a run that was stopped is that of one that was not, but for times. */
static void same_tables(const char *out) {
    static const int timeless[] = {DT_EPOCH_TRAIN_LOSS, DT_EPOCH_TRAIN_ACCURACY, DT_EPOCH_TEST_LOSS,
                                   DT_EPOCH_TEST_ACCURACY, DT_EPOCH_LEARNING_RATE};
    const char *names[2] = {"truth", out};
    dt_run *run[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        char path[DT_PATH_MAX + 64];
        snprintf(path, sizeof path, "%s/%s/run.h5", dir, names[i]);
        T_OK(dt_run_create(1, 3, &run[i]));
        T_OK(dt_run_restore(path, 99, 99, run[i]));
    }
    const dt_table *a = &run[0]->steps, *b = &run[1]->steps;
    T_CHECK(a->n == 10 && b->n == 10 && memcmp(a->key, b->key, 10 * sizeof *a->key) == 0);
    for (int c = 0; c < DT_STEP_COLUMNS && b->n == 10; c++)
        T_CHECK(memcmp(a->column[c].v, b->column[c].v, 10 * sizeof(double)) == 0);
    a = &run[0]->epochs, b = &run[1]->epochs;
    T_CHECK(a->n == 2 && b->n == 2 && memcmp(a->key, b->key, 2 * sizeof *a->key) == 0);
    for (size_t i = 0; i < sizeof timeless / sizeof *timeless && b->n == 2; i++)
        for (int e = 0; e < 2; e++) {
            double x = a->column[timeless[i]].v[e], y = b->column[timeless[i]].v[e];
            T_CHECK(x == y || (isnan(x) && isnan(y)));
        }
    T_CHECK(run[1]->n_confusion == 2);
    T_CHECK(b->n == 2 && memcmp(run[0]->confusion, run[1]->confusion, 18 * sizeof(int64_t)) == 0);
    dt_run_free(&run[0]);
    dt_run_free(&run[1]);
}

/* --- tests ---------------------------------------------------------------------------------------
 */

static state truth;
static char truth_log[512];

/* Rank 0 by itself. */
static void train_truth(void) {
    dt_options options = make_options("truth", NULL);
    if (rank == 0)
        T_OK(dt_train(&options, &backend, &no_gpus, alone));
    truth = read_latest("truth");
    read_log("truth", truth_log);
    T_CHECK(truth.epoch == 2 && truth.step == 10);
    T_CHECK(rank != 0 || strlen(truth_log) > 100);
}

static void check_truth(const char *out) {
    char text[512];
    state s = read_latest(out);
    T_CHECK(strcmp(s.digest, truth.digest) == 0);
    T_CHECK(s.epoch == truth.epoch && s.step == truth.step);
    if (rank == 0) {
        read_log(out, text);
        T_CHECK(strcmp(text, truth_log) == 0);
        same_tables(out);
    }
}

static void test_same_bits(void) {
    static const char *const threads[] = {"1", "2", "3"}, *const overlap[] = {"off", "on"};
    for (int i = 0; i < 6; i++) {
        char out[32];
        snprintf(out, sizeof out, "bits%d", i);
        dt_options options =
            make_options(out, "--threads", threads[i % 3], "--overlap", overlap[i / 3], NULL);
        T_OK(dt_train(&options, &backend, &no_gpus, comm));
        check_truth(out);
    }
}

/* Stopped by the last rank at a step, from 1; goes on with another number of ranks. */
static void test_stop(int64_t step) {
    char out[32];
    snprintf(out, sizeof out, "stop%d", (int)step);
    plant_nothing();
    plant.rank = size - 1;
    plant.gradient = step; /* heard at the step after */
    plant.does = STOP;
    dt_options options = make_options(out, NULL);
    T_FAILS(dt_train(&options, &backend, &no_gpus, comm), DT_ESTOPPED, "step");
    plant_nothing();
    state s = read_latest(out);
    T_CHECK(s.step == step + 1 && s.epoch == (step + 1 > 5 ? 1 : 0));
    options = make_options(out, "--resume", "--threads", "2", NULL);
    if (rank == 0)
        T_OK(dt_train(&options, &backend, &no_gpus, alone));
    check_truth(out);
}

/* Rank 0 by itself is stopped in its n-th call of evaluate(); all go on. */
static void test_stop_in_evaluation(int64_t n, int64_t epoch, int64_t step) {
    char out[32];
    snprintf(out, sizeof out, "eval%d", (int)n);
    plant_nothing();
    plant.rank = 0;
    plant.evaluate = n;
    dt_options options = make_options(out, "--threads", "1", NULL);
    if (rank == 0)
        T_FAILS(dt_train(&options, &backend, &no_gpus, alone), DT_ESTOPPED, "evaluation");
    plant_nothing();
    state s = read_latest(out);
    T_CHECK(s.step == step && s.epoch == epoch);
    options = make_options(out, "--resume", NULL);
    T_OK(dt_train(&options, &backend, &no_gpus, comm));
    check_truth(out);
}

/* The sentence names the rank and its host; with two ranks both are named. */
static void check_named(int bad) {
    char name[128];
    if (size == 2)
        T_CHECK(strstr(dt_error(), "rank 0") && strstr(dt_error(), "rank 1"));
    snprintf(name, sizeof name, "rank %d (%s)", bad, dt_comm_host(comm, bad));
    T_CHECK(strstr(dt_error(), name) != NULL);
    for (int r = 0; size > 2 && r < size; r++) {
        snprintf(name, sizeof name, "rank %d (", r);
        T_CHECK(r == bad || !strstr(dt_error(), name));
    }
}

/* Wrong from epoch 2 on: the state after epoch 1 stays. */
static void test_wrong_machine(bool computes, int bad) {
    char out[32];
    snprintf(out, sizeof out, "%s%d", computes ? "computes" : "stores", bad);
    plant_nothing();
    plant.rank = bad;
    plant.wrong_bits = computes;
    plant.update = computes ? 0 : 8;
    dt_options options = make_options(out, NULL);
    if (size == 1) {
        T_OK(dt_train(&options, &backend, &no_gpus, comm)); /* nobody to ask */
    } else {
        T_FAILS(dt_train(&options, &backend, &no_gpus, comm), DT_EPEER, "epoch 2");
        T_CHECK(strstr(dt_error(), computes ? "computes wrongly" : "stores wrongly"));
        check_named(bad);
        state s = read_latest(out);
        T_CHECK(s.epoch == 1 && s.step == 5);
    }
    plant_nothing();
}

/* A checkpoint that is whole, of this network and of these data, and lies in no epoch. */
static void test_impossible_position(void) {
    static const int64_t places[][2] = {{0, 6}, {1, 4}, {2, 11}, {3, 15}}; /* epoch, step */
    for (size_t i = 0; rank == 0 && i < 4; i++) {
        char out[32], run[DT_PATH_MAX + 64], path[DT_PATH_MAX];
        dt_checkpoint *c = NULL;
        snprintf(run, sizeof run, "%s/truth", dir);
        T_OK(dt_checkpoint_resolve(run, true, path));
        T_OK(dt_checkpoint_read(path, &c));
        c->epoch = places[i][0];
        c->step = places[i][1];
        snprintf(out, sizeof out, "nowhere%zu", i);
        snprintf(run, sizeof run, "%s/%s", dir, out);
        T_OK(dt_mkdirs(run));
        T_OK(dt_checkpoint_path(path, run, c->step));
        T_OK(dt_checkpoint_write(path, c));
        dt_checkpoint_free(&c);
        dt_options options = make_options(out, "--resume", NULL);
        T_FAILS(dt_train(&options, &backend, &no_gpus, alone), DT_EIO, "no place");
    }
}

/* A rank with another CPU may compute other bits: warned of at the start, and no fault. */
static void test_mixed_machines(void) {
    dt_options options = make_options("mixed", NULL);
    plant_nothing();
    plant.rank = size - 1;
    plant.wrong_bits = plant.other_cpu = true;
    T_OK(dt_train(&options, &backend, &no_gpus, comm));
    plant_nothing();
}

static void test_one_fails(void) {
    dt_options options = make_options("fails", NULL);
    plant_nothing();
    plant.rank = size - 1;
    plant.gradient = 7;
    plant.does = FAIL;
    T_FAILS(dt_train(&options, &backend, &no_gpus, comm), DT_EDEVICE, "planted: no gradient");
    T_CHECK(rank == plant.rank || strstr(dt_error(), "rank "));
    plant_nothing();
    for (int64_t step = 3; step <= 5; step += 2) { /* amid an epoch; the last of one */
        options = make_options(step == 3 ? "late3" : "late5", "--checkpoint-every", "1", NULL);
        plant.rank = 0;
        plant.fail_update = step;
        plant.n_update = 0;
        T_FAILS(dt_train(&options, &backend, &no_gpus, comm), DT_EDEVICE, "planted: no update");
        /* never a state under the number of a later one */
        T_CHECK(read_latest(step == 3 ? "late3" : "late5").step == step - 1);
    }
    plant_nothing();
}

/* Wherever one rank fails, all leave, with its sentence; rank 0's files are closed. */
static void test_one_fails_anywhere(void) {
    static const struct {
        int function;
        int64_t call;
    } where[] = {{OPEN, 1},     {LOAD, 2},     {SET_STATE, 1},   {GET_STATE, 1},  {GET_STATE, 2},
                 {EVALUATE, 1}, {EVALUATE, 2}, {FINGERPRINT, 1}, {FINGERPRINT, 4}};
    for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
        char out[32], words[64];
        snprintf(out, sizeof out, "fails%zu", i);
        snprintf(words, sizeof words, "planted: no function %d", where[i].function);
        dt_options options = make_options(out, "--threads", "1", "--checkpoint-every", "2", NULL);
        plant_nothing();
        plant.rank = where[i].function == GET_STATE ? 0 : size - 1; /* rank 0 saves */
        plant.fail[where[i].function] = where[i].call;
        dt_status status = dt_train(&options, &backend, &no_gpus, comm);
        if (size == 1 && where[i].function == FINGERPRINT) {
            T_CHECK(status == DT_OK); /* nobody to compare with */
            continue;
        }
        T_CHECK(status == DT_EDEVICE);
        T_CHECK(strstr(dt_error(), words) != NULL);
        T_CHECK(rank == plant.rank || strstr(dt_error(), "rank "));
    }
    plant_nothing();
}

static void test_divergence(void) {
    dt_options options = make_options("wild", NULL);
    plant_nothing();
    plant.rank = size - 1;
    plant.gradient = 8;
    plant.does = EXPLODE;
    T_FAILS(dt_train(&options, &backend, &no_gpus, comm), DT_EDIVERGED, "step 8");
    T_CHECK(strstr(dt_error(), "of step 5, is kept"));
    plant_nothing();
    state s = read_latest("wild");
    T_CHECK(s.epoch == 1 && s.step == 5);
    options = make_options("wild", "--resume", NULL);
    T_OK(dt_train(&options, &backend, &no_gpus, comm));
    check_truth("wild");
}

static void test_float_reduce(void) {
    dt_options options = make_options("float", "--reduce", "float", "--overlap", "on", NULL);
    T_OK(dt_train(&options, &backend, &no_gpus, comm));
    T_CHECK(read_latest("float").step == 10);
}

/* A rank that reads its samples for long: no step of another one begins before it has them. */
static double uploaded_at, stepped_at;

static dt_status slow_epoch(dt_device *device, const dt_work *work) {
    const struct timespec pause = {.tv_nsec = 200000000};
    if (rank == size - 1 && uploaded_at == 0)
        nanosleep(&pause, NULL);
    if (uploaded_at == 0)
        uploaded_at = dt_now();
    return queued_epoch(device, work);
}

static dt_status timed_step(dt_device *device, const dt_queued_step *step) {
    if (stepped_at == 0)
        stepped_at = dt_now();
    return queued_step(device, step);
}

static void test_slow_upload(void) {
    dt_backend slow = queued_backend(&backend, comm, 4);
    double all[2 * 8], mine[2];
    slow.epoch = slow_epoch;
    slow.step = timed_step;
    uploaded_at = stepped_at = 0;
    dt_options options = make_options("slow", NULL);
    T_OK(dt_train(&options, &slow, &no_gpus, comm));
    check_truth("slow");
    mine[0] = uploaded_at;
    mine[1] = stepped_at;
    T_OK(dt_comm_allgather(comm, mine, sizeof mine, all));
    for (int r = 0; r < size; r++)
        for (int other = 0; other < size; other++)
            T_CHECK(all[2 * r + 1] >= all[2 * other]);
}

/* A back end with a queue: the same bits, whether steps are submitted far ahead or only to the next
 * checkpoint; and a stop is heard by all at one step. */
static void test_queued(void) {
    plant_nothing();
    dt_backend ahead = queued_backend(&backend, comm, 4);
    dt_options options = make_options("ahead", "--threads", "2", NULL);
    T_OK(dt_train(&options, &ahead, &no_gpus, comm));
    check_truth("ahead");
    T_CHECK(queued.most == 5); /* an epoch has no more */

    ahead = queued_backend(&backend, comm, 4);
    queued.depth = 2;
    options = make_options("near", "--threads", "2", "--epochs", "4", NULL);
    T_OK(dt_train(&options, &ahead, &no_gpus, comm));
    T_CHECK(queued.most == 2);
    int64_t share = queued.list[0].n_micros / 5 + 1; /* of a step, at most */
    T_CHECK(queued.most_gathered > 0 && queued.most_gathered <= 2 * share);

    ahead = queued_backend(&backend, comm, 4);
    plant.rank = size - 1;
    plant.n_gradient = 0;
    plant.gradient = 3; /* in the second piece of two; heard in the third */
    plant.does = STOP;
    options = make_options("halt", "--checkpoint-every", "2", NULL);
    T_FAILS(dt_train(&options, &ahead, &no_gpus, comm), DT_ESTOPPED, "after step 5");
    T_CHECK(queued.most == 2 && queued.collected == 5);
    plant_nothing();
    ahead = queued_backend(&backend, comm, 4);
    options = make_options("halt", "--resume", NULL);
    T_OK(dt_train(&options, &ahead, &no_gpus, comm));
    check_truth("halt");

    ahead = queued_backend(&backend, comm, 4);
    plant.rank = 0;
    plant.n_gradient = 0;
    plant.gradient = 8;
    plant.does = EXPLODE;
    options = make_options("burst", NULL);
    T_FAILS(dt_train(&options, &ahead, &no_gpus, comm), DT_EDIVERGED, "step 8");
    plant_nothing();
    test_slow_upload();
    queued_end();
}

/* --- a temporary directory -----------------------------------------------------------------------
 */

static void make_dir(void) {
    if (rank == 0) {
        const char *base = getenv("TMPDIR");
        snprintf(dir, sizeof dir, "%s/dtrain-mpi_train.XXXXXX", base ? base : "/tmp");
        char data[DT_PATH_MAX + 64];
        T_CHECK(mkdtemp(dir) != NULL);
        snprintf(data, sizeof data, "%s/data", dir);
        T_OK(dt_mkdirs(data));
        write_set("train", 200);
        write_set("t10k", 70);
    }
    T_OK(dt_comm_bcast(comm, dir, sizeof dir, 0));
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at) {
    (void)info, (void)kind, (void)at;
    return remove(path);
}

int main(int argc, char **argv) {
    T_BEGIN(120);
    if (dt_comm_create(&argc, &argv, &comm) != DT_OK ||
        dt_comm_open(&dt_transport_none, NULL, NULL, &alone) != DT_OK) {
        fprintf(stderr, "%s\n", dt_error());
        return 1;
    }
    rank = t_rank = dt_comm_rank(comm);
    size = dt_comm_size(comm);
    t_reduce = reduce_counts;
    backend = dt_backend_ref;
    backend.open = open_device;
    backend.load = load;
    backend.set_state = set_state;
    backend.get_state = get_state;
    backend.gradient = gradient;
    backend.update = update;
    backend.evaluate = evaluate;
    backend.fingerprint = fingerprint;
    backend.describe = describe;
    plant_nothing();
    make_dir();

    train_truth();
    test_same_bits();
    for (int64_t step = 1; step < 10; step += 3)
        test_stop(step);
    test_stop_in_evaluation(1, 0, 5); /* 70 samples are two chunks of 16 micro-batches */
    test_stop_in_evaluation(4, 1, 10);
    for (int bad = 0; bad < size; bad++) {
        test_wrong_machine(true, bad);
        test_wrong_machine(false, bad);
    }
    test_impossible_position();
    test_mixed_machines();
    test_one_fails();
    test_one_fails_anywhere();
    test_divergence();
    test_float_reduce();
    test_queued();

    int failed = t_finish();
    if (rank == 0)
        nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    dt_comm_free(&alone);
    dt_comm_free(&comm);
    return failed;
}
