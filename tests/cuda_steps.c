/* Queued steps of the cuda back end, without ranks: they leave the bits that gradient() and
 * update() leave, by graphs and by plain launches, with idle steps and epochs that follow one
 * another; and a diverged step stops all that are queued behind it. On a GPU, or on the simulated
 * device.
 *
 * With the argument "failing" it runs once through everything and prints how that failed: for the
 * test that makes single calls fail. */
#include <cuda_runtime_api.h>
#include <stdatomic.h>
#include <time.h>
#include "io/clock.h"
#include "model/cuda_dnn.h"
#include "tests/contract.h"

enum { MICROS = 6, M = 8 };

/* Steps of an epoch: the first micro-batch and how many. The last step is idle on this rank. */
static const int steps[][2] = {{0, 2}, {2, 3}, {5, 1}, {6, 0}};
enum { N_STEPS = 4, N_EPOCHS = 3 };

typedef struct {
    float params[16384], momentum[16384];
    double norms[N_EPOCHS * N_STEPS];
    int64_t sums[N_EPOCHS * N_STEPS][DT_N_SUMS];
} trace;

static dt_update update_of(int step) {
    return (dt_update){.step = step + 1, .learning_rate = 0.05f / (float)(1 + step)};
}

static dt_work work_of(rig *r, int64_t *samples, int epoch) {
    dt_work work = rig_work(r, samples, epoch, epoch + MICROS * M - 3, MICROS);
    work.epoch = (uint32_t)epoch;
    return work;
}

/* The truth: step by step, through the host. */
static void train_plainly(rig *r, trace *t) {
    int64_t samples[MICROS * M];
    for (int i = 0; i < N_EPOCHS * (N_STEPS - 1); i++) {
        dt_work work = work_of(r, samples, i / (N_STEPS - 1));
        const int *step = steps[i % (N_STEPS - 1)];
        dt_update u = update_of(i);
        work.samples += step[0] * M;
        work.n_micros = step[1];
        T_OK(r->be->gradient(r->device, &work, NULL, NULL));
        memcpy(t->sums[i], rig_sums(r), sizeof t->sums[i]);
        T_OK(r->be->update(r->device, &u, &t->norms[i]));
    }
    T_OK(r->be->get_state(r->device, t->params, (float *const[2]){t->momentum, NULL}));
}

/* In their order, not before a step was submitted, and not after it was collected. */
static void check_times(const dt_step_outcome *out, double submitted) {
    double last = submitted;
    for (int i = 0; i < DT_N_STAMPS; i++) {
        T_CHECK(out->at[i] >= last - 1e-6);
        last = out->at[i];
    }
    T_CHECK(last <= dt_now() + 1e-6);
}

/* In parts of this many micro-batches. */
static dt_status give_epoch(rig *r, const dt_work *work, int size) {
    for (int first = 0; first < MICROS; first += size) {
        dt_work part = *work;
        part.samples += first * M;
        part.n_micros = size;
        part.first = first;
        part.rest = MICROS - first - size;
        DT_TRY(r->be->epoch(r->device, &part));
    }
    return DT_OK;
}

/* All steps of an epoch are queued, and collected while those of the next one are. */
static dt_status train_queued(rig *r, trace *t) {
    int64_t samples[MICROS * M];
    int n = 0, collected = 0;
    double last = dt_now();
    bool done;
    for (int epoch = 0; epoch < N_EPOCHS; epoch++) {
        dt_work work = work_of(r, samples, epoch);
        DT_TRY(give_epoch(r, &work, epoch % 2 ? 2 : MICROS));
        memset(samples, 0x55, sizeof samples); /* the list was read */
        for (int i = 0; i < N_STEPS - 1; i++, n++) {
            dt_queued_step step = {(uint32_t)epoch, steps[i][0], steps[i][1], update_of(n), n == 4};
            DT_TRY(r->be->step(r->device, &step));
        }
        for (; collected < n - 2 || (epoch == N_EPOCHS - 1 && collected < n); collected++) {
            dt_step_outcome out;
            DT_TRY(r->be->collect(r->device, true, &done, &out));
            T_CHECK(done && out.votes == (collected == 4));
            check_times(&out, last);
            last = out.at[DT_STAMP_ENDED];
            t->norms[collected] = out.norm;
            memcpy(t->sums[collected], out.sums, sizeof out.sums);
        }
    }
    return r->be->get_state(r->device, t->params, (float *const[2]){t->momentum, NULL});
}

static void test_same_bits(bool exact) {
    static trace want, got;
    int64_t calls[2] = {0};
    for (int graph = 0; graph < 2; graph++) {
        rig r;
        dt_device_config config = rig_config();
        config.graph = graph;
        config.exact = exact;
        memset(&want, 0, sizeof want);
        memset(&got, 0, sizeof got);
        T_OK(rig_open(&r, &dt_backend_cuda, contract_spec, contract_in, config));
        train_plainly(&r, &want);
        T_OK(r.be->set_state(r.device, r.params, NULL));
        T_OK(train_queued(&r, &got));
        T_CHECK(memcmp(&want, &got, sizeof want) == 0);
        dt_device_usage usage;
        r.be->usage(r.device, &usage);
        T_CHECK(usage.calls[0] > 10 && usage.calls[1] > usage.calls[0]);
        T_CHECK(usage.graphs == (graph ? 2 : 0));
        for (int i = 0; i < 2; i++) { /* one count each, whichever way it runs */
            calls[i] = graph ? calls[i] : usage.calls[i];
            T_CHECK(usage.calls[i] == calls[i]);
            T_CHECK(graph ? usage.nodes[i] >= calls[i] : usage.nodes[i] == 0);
        }
        T_CHECK(usage.device_bytes > r.net->n_params * 16);
        T_CHECK(usage.device_bytes < CONV_WORKSPACE_MAX + (64 << 20));
        rig_close(&r);
    }
}

/* A step that has no samples on any rank, then good ones: nothing moves any more. */
static void test_stopped(void) {
    rig r;
    int64_t samples[MICROS * M];
    dt_device_config config = rig_config();
    static float got[16384];
    bool done = false;
    dt_step_outcome out;
    config.graph = true;
    T_OK(rig_open(&r, &dt_backend_cuda, contract_spec, contract_in, config));
    dt_work work = work_of(&r, samples, 0);
    T_OK(r.be->epoch(r.device, &work));
    for (int i = 0; i < 3; i++) {
        dt_queued_step step = {0, i == 0 ? 0 : 2, i == 0 ? 0 : 2, update_of(i), false};
        T_OK(r.be->step(r.device, &step));
    }
    for (int i = 0; i < 3; i++)
        T_CHECK(r.be->collect(r.device, true, &done, &out) == DT_EDIVERGED && done);
    T_FAILS(r.be->collect(r.device, true, &done, &out), DT_EDEVICE, "no step");
    T_OK(r.be->get_state(r.device, got, NULL));
    T_CHECK(memcmp(got, r.params, r.net->n_params * sizeof *got) == 0);
    r.params[0] = NAN; /* cuDNN's ReLU may hide it */
    T_OK(r.be->set_state(r.device, r.params, NULL));
    dt_queued_step step = {0, 0, 1, update_of(0), false};
    T_OK(r.be->step(r.device, &step));
    T_FAILS(r.be->collect(r.device, true, &done, &out), DT_EDIVERGED, "not finite");
    rig_close(&r);
}

/* -- A peer that never comes -- */

static atomic_bool is_held;

static void hold(void *unused) {
    const struct timespec pause = {.tv_nsec = 10000000};
    (void)unused;
    do
        nanosleep(&pause, NULL);
    while (atomic_load(&is_held));
}

static dt_status hanging_sum(void *ctx, int64_t *v, size_t n, void *stream) {
    (void)ctx, (void)v, (void)n;
    return cudaLaunchHostFunc(stream, hold, NULL) == cudaSuccess
               ? DT_OK
               : dt_fail(DT_EDEVICE, "no function of the host in a stream");
}

/* Sums that do not come keep nobody in a call: not the next epoch's upload, not a look at what is
 * done or still queued. */
static void test_hung(void) {
    rig r;
    int64_t samples[MICROS * M];
    bool done = true, idle = true;
    dt_step_outcome out;
    const dt_reducer reducer = {.sum_i64 = hanging_sum, .captures = true};
    dt_device_config config = rig_config();
    config.reduce = &reducer;
    T_OK(rig_open(&r, &dt_backend_cuda, contract_spec, contract_in, config));
    dt_work work = work_of(&r, samples, 0);
    T_OK(r.be->epoch(r.device, &work));
    atomic_store(&is_held, true);
    double begin = dt_now();
    for (int i = 0; i < 3; i++) {
        dt_queued_step step = {0, steps[i][0], steps[i][1], update_of(i), false};
        T_OK(r.be->step(r.device, &step));
    }
    work = work_of(&r, samples, 1);
    T_OK(r.be->epoch(r.device, &work));
    work.n_micros++;
    T_FAILS(r.be->epoch(r.device, &work), DT_EDEVICE, "while steps are queued");
    T_OK(r.be->collect(r.device, false, &done, &out));
    T_OK(r.be->idle(r.device, &idle));
    T_CHECK(!done && !idle && dt_now() - begin < 20);
    atomic_store(&is_held, false);
    for (int i = 0; i < 3; i++) {
        T_OK(r.be->collect(r.device, true, &done, &out));
        check_times(&out, begin);
        T_CHECK(out.at[DT_STAMP_SUMMED] - out.at[DT_STAMP_COMPUTED] > 0.009);
    }
    while (!idle)
        T_OK(r.be->idle(r.device, &idle));
    rig_close(&r);
}

/* Behind a sum that does not come, as many steps are queued as the back end says it can take, and
 * no launch waits for room: SIMDEV_QUEUE ends the double's queue where drivers end theirs at the
 * soonest. */
static void test_crowded(bool graph) {
    rig r;
    int64_t samples[MICROS * M];
    bool done = false, idle = false;
    dt_step_outcome out;
    const dt_reducer reducer = {.sum_i64 = hanging_sum, .captures = true};
    dt_device_config config = rig_config();
    config.graph = graph;
    config.reduce = &reducer;
    T_OK(rig_open(&r, &dt_backend_cuda, contract_spec, contract_in, config));
    dt_work work = work_of(&r, samples, 0);
    T_OK(r.be->epoch(r.device, &work));
    int depth = r.be->depth(r.device, MICROS);
    T_CHECK(depth >= 1 && depth <= r.be->depth(r.device, 1));
    T_CHECK(r.be->depth(r.device, 1) >= 2 && r.be->depth(r.device, 1000) == 1);
    setenv("SIMDEV_QUEUE", "512", 1);
    atomic_store(&is_held, true);
    for (int i = 0; i < depth; i++) {
        dt_queued_step step = {0, 0, MICROS, update_of(i), false};
        T_OK(r.be->step(r.device, &step));
    }
    atomic_store(&is_held, false);
    for (int i = 0; i < depth; i++)
        T_OK(r.be->collect(r.device, true, &done, &out));
    unsetenv("SIMDEV_QUEUE");
    while (!idle)
        T_OK(r.be->idle(r.device, &idle));
    rig_close(&r);
}

static void test_misuse(void) {
    rig r;
    int64_t samples[MICROS * M];
    dt_device_config config = rig_config();
    T_OK(rig_open(&r, &dt_backend_cuda, contract_spec, contract_in, config));
    dt_work work = work_of(&r, samples, 0);
    T_OK(r.be->epoch(r.device, &work));
    dt_queued_step step = {0, 5, 2, update_of(0), false};
    T_FAILS(r.be->step(r.device, &step), DT_EDEVICE, "not loaded");
    step = (dt_queued_step){1, 0, 1, update_of(0), false};
    T_FAILS(r.be->step(r.device, &step), DT_EDEVICE, "not loaded");
    rig_close(&r);
    config.choices = "1 conv1.f=0";
    T_FAILS(rig_open(&r, &dt_backend_cuda, contract_spec, contract_in, config), DT_EDEVICE,
            "no engine was chosen");
    T_CHECK(r.device == NULL);
    rig_close(&r);
    config.choices = NULL;
    config.index = 99;
    T_FAILS(rig_open(&r, &dt_backend_cuda, contract_spec, contract_in, config), DT_EDEVICE,
            "cannot be used");
    rig_close(&r);
}

/* A step that is polled for, and a look at what is still queued. */
static dt_status poll_once(rig *r) {
    int64_t samples[MICROS * M];
    bool done = false, idle;
    dt_step_outcome out;
    dt_work work = work_of(r, samples, 0);
    dt_queued_step step = {0, 0, 1, update_of(1), false};
    DT_TRY(r->be->epoch(r->device, &work));
    DT_TRY(r->be->step(r->device, &step));
    while (!done)
        DT_TRY(r->be->collect(r->device, false, &done, &out));
    return r->be->idle(r->device, &idle);
}

static dt_status run_all(rig *r, trace *t) {
    int64_t samples[RIG_SAMPLES];
    char hex[65];
    double norm;
    dt_device_config config = rig_config();
    dt_eval eval = {0};
    config.graph = true;
    DT_TRY(rig_open(r, &dt_backend_cuda, contract_spec, contract_in, config));
    DT_TRY(train_queued(r, t));
    dt_work work = rig_work(r, samples, 0, 20, 3);
    dt_update u = update_of(1);
    DT_TRY(r->be->gradient(r->device, &work, NULL, NULL));
    DT_TRY(r->be->update(r->device, &u, &norm));
    DT_TRY(r->be->evaluate(r->device, DT_TEST, &work, &eval));
    DT_TRY(poll_once(r));
    return r->be->fingerprint(r->device, 0, samples, 1, hex);
}

int main(int argc, char **argv) {
    T_BEGIN(300);
    if (argc > 1 && strcmp(argv[1], "failing") == 0) {
        static trace t;
        rig r;
        dt_status status = run_all(&r, &t);
        rig_close(&r);
        printf("%d: %s\n", (int)status, status == DT_OK ? "" : dt_error());
        return 0;
    }
    test_same_bits(true);
    test_same_bits(false);
    test_stopped();
    test_hung();
    test_crowded(false);
    test_crowded(true);
    test_misuse();
    return t_finish();
}
