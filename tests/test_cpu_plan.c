/* tests/test_cpu_plan.c - no network ends in oneDNN's reference loops, a hundred times slower than
 * its own code, because of a layout that the layer before chose. */
#include "t.h"

#include "model/cpu_impl.h"
#include "model/simd.h"

static const char *const specs[] = {
    "cnn",
    "fast",
    "lenet5",
    "mlp",
    "conv 3 3; relu; conv 5 3; pool 4; fc 10",
    "conv 4 3; relu; conv 6 3; relu; pool 4; fc 10",
    "conv 6 3; pool 2; conv 6 5; pool 4; fc 10",
    "conv 8 3; relu; pool 2; conv 12 3; relu; pool 4; fc 10",
    "conv 12 3; conv 16 3; dropout 0.1; pool 4; fc 10",
    "conv 16 3; pool 2; conv 24 3; pool 4; fc 10",
    "conv 16 3; pool 2 avg; conv 32 3; pool 4; conv 10 1; fc 10",
    "conv 24 3; pool 2; conv 16 3; conv 8 3; relu; conv 16 3; pool 4; fc 10",
    "conv 20 5 pad 0; pool 2; conv 50 5 pad 0; pool 2; fc 500; relu; fc 10",
    "conv 40 3 stride 2; relu; conv 7 3 stride 2; relu; conv 33 3; fc 10",
};

static void test_spec(const char *spec, dt_precision precision, int micro_batch) {
    dt_net *net = NULL;
    cpu_plan plan;
    dt_device_config config = {
        .precision = precision, .micro_batch = micro_batch, .exact = true, .max_micros = 16};
    if (!T_OK(dt_net_parse(spec, (dt_shape){1, 28, 28}, &net)))
        return;
    config.net = net;
    T_OK(cpu_plan_make(&config, &plan));
    for (int i = 0; i < plan.n_ops; i++) {
        const cpu_op *op = &plan.ops[i];
        if (op->kind != OP_MATMUL || !op->dnn->is_slow)
            continue;
        T_CHECK(!"a reference loop");
        fprintf(stderr, "    %s of \"%s\", precision %d, micro-batch %d\n", op->layer->name, spec,
                precision, micro_batch);
    }
    cpu_plan_free(&plan);
    dt_net_free(&net);
}

/* Where there is AVX2 at most, the presets are computed by our own code: nothing falls back
 * silently.
 */
static void test_own(const char *spec, int n_stems, int n_convs, int n_fcs) {
    dt_net *net = NULL;
    cpu_plan plan;
    dt_device_config config = {.micro_batch = 16, .exact = true, .max_micros = 16};
    if (!T_OK(dt_net_parse(spec, (dt_shape){1, 28, 28}, &net)))
        return;
    config.net = net;
    T_OK(cpu_plan_make(&config, &plan));
    for (int i = 0; i < plan.n_ops; i++) {
        n_stems -= plan.ops[i].kind == OP_STEM;
        n_convs -= plan.ops[i].own_conv;
        n_fcs -= plan.ops[i].own_fc;
    }
    T_CHECK(n_stems == 0 && n_convs == 0 && n_fcs == 0);
    cpu_plan_free(&plan);
    dt_net_free(&net);
}

int main(void) {
    T_BEGIN(60);
    dnn_single_thread();
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2")) {
        printf("skipped: this CPU has no AVX2\n");
        return 77;
    }
#endif
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++)
        for (int micro_batch = 1; micro_batch <= 64; micro_batch += 15) {
            test_spec(specs[i], DT_F32, micro_batch);
            if (dnn_has_bf16())
                test_spec(specs[i], DT_BF16, micro_batch);
        }
#if defined(__x86_64__)
    if (__builtin_cpu_supports("fma")) {
        dt_simd_limit(DT_SIMD_AVX2);
        test_own("cnn", 1, 1, 2);
        test_own("fast", 1, 1, 2);
        test_own("mlp", 0, 0, 2);
    }
#endif
    return t_finish();
}
