/* Optimizers: PyTorch's values, algebra in double, any split and SIMD level gives the same bits,
 * norms. */
#include "model/optim.h"
#include "model/simd.h"
#include "tests/golden/values.h"
#include "tests/t.h"

static const dt_optim_config plain = {.kind = DT_SGD, .weight_decay = 0.0625f};
static const dt_optim_config momentum = {
    .kind = DT_SGD, .momentum = 0.875f, .weight_decay = 0.0625f};
static const dt_optim_config nesterov = {
    .kind = DT_SGD, .nesterov = true, .momentum = 0.875f, .weight_decay = 0.0625f};
static const dt_optim_config adamw = {.kind = DT_ADAMW,
                                      .momentum = 0.875f,
                                      .beta2 = 0.96875f,
                                      .epsilon = 0x1p-20f,
                                      .weight_decay = 0.0625f};
static const dt_optim_config *const all[] = {&plain, &momentum, &nesterov, &adamw};

/* The gradients of make_golden.py, times 8: undone by the gradient scale. */
static void test_pytorch(const dt_optim_config *c, const double want[7][5]) {
    float p[5] = {0.5f, -1.25f, 2.0f, 0.001f, 0.0f}, s[2][5] = {{0}}, g[5];
    float *const slots[2] = {s[0], s[1]};
    for (int t = 1; t <= 7; t++) {
        for (int i = 0; i < 5; i++)
            g[i] = (float)((3 * t + 5 * i) % 11 - 4);
        dt_update u = {.step = t, .learning_rate = 0.125f, .gradient_scale = 0.125f};
        dt_optim_apply(c, &u, g, p, slots, 0, 5);
        for (int i = 0; i < 5; i++)
            T_NEAR(p[i], want[t - 1][i], 3e-7, 1e-6);
    }
}

/* f(x) = |x - c|^2 / 2 has gradient x - c, and SGD without momentum contracts: x_t - c = (1 - lr)^t
 * (x_0 - c). */
static void test_closed_form(void) {
    const dt_optim_config c = {.kind = DT_SGD};
    float x[3] = {1.0f, -2.0f, 3.0f}, g[3];
    const double target[3] = {0.25, 0.5, -4};
    for (int t = 1; t <= 20; t++) {
        for (int i = 0; i < 3; i++)
            g[i] = x[i] - (float)target[i];
        dt_update u = {.step = t, .learning_rate = 0.2f, .gradient_scale = 1.0f};
        dt_optim_apply(&c, &u, g, x, (float *const[2]){NULL, NULL}, 0, 3);
    }
    for (int i = 0; i < 3; i++)
        T_NEAR(x[i], target[i] + pow(0.8, 20) * ((const double[3]){1, -2, 3}[i] - target[i]), 1e-5,
               0);
}

enum { N = 1003 };

static void fill(float *x, unsigned seed) {
    for (int i = 0; i < N; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = ((float)(seed >> 8) - 8388608.0f) * 0x1p-22f;
    }
}

/* Three steps in the given pieces at the given level; result: params, then slots. */
static void run(const dt_optim_config *c, size_t piece, dt_simd level, float out[3][N]) {
    static float g[N];
    dt_simd_limit(level);
    fill(out[0], 1);
    memset(out[1], 0, sizeof out[1]);
    memset(out[2], 0, sizeof out[2]);
    float *const slots[2] = {out[1], out[2]};
    for (int t = 1; t <= 3; t++) {
        fill(g, 10u + (unsigned)t);
        dt_update u = {.step = t, .learning_rate = 0.013f, .gradient_scale = 1.0f / 255.0f};
        for (size_t from = 0; from < N; from += piece)
            dt_optim_apply(c, &u, g, out[0], slots, from, from + piece < N ? from + piece : N);
    }
    dt_simd_limit(DT_N_SIMD);
}

static void test_same_bits(void) {
    static float want[3][N], got[3][N];
    static const size_t pieces[] = {1, 7, 16, 100, 1002, N};
    dt_simd best = dt_simd_level();
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        run(all[k], N, DT_SIMD_BASE, want);
        T_CHECK(want[0][N - 1] != 0);
        for (int level = 0; level <= (int)best; level++)
            for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
                run(all[k], pieces[i], (dt_simd)level, got);
                if (!T_CHECK(memcmp(want, got, sizeof want) == 0))
                    fprintf(stderr, "    optimizer %zu, pieces of %zu, %s\n", k, pieces[i],
                            dt_simd_name((dt_simd)level));
            }
    }
}

static void test_slots(void) {
    T_CHECK(dt_optim_slots(&plain) == 0);
    T_CHECK(dt_optim_slots(&momentum) == 1 && dt_optim_slots(&adamw) == 2);
    T_CHECK(strcmp(dt_optim_slot_name(&momentum, 0), "momentum") == 0);
    T_CHECK(strcmp(dt_optim_slot_name(&adamw, 0), "m") == 0);
    T_CHECK(strcmp(dt_optim_slot_name(&adamw, 1), "v") == 0);
}

/* Exact for small whole numbers; the same bits at every level; chunks of every length. */
static void test_norm(void) {
    enum { LONG = 3 * DT_NORM_CHUNK + 37 };
    static float x[LONG];
    double chunks[4], want = 0, rough = 0;
    dt_simd best = dt_simd_level();
    for (int i = 0; i < LONG; i++) {
        x[i] = (float)(i % 23 - 11);
        want += (double)x[i] * x[i];
    }
    for (size_t c = 0; c < 4; c++)
        chunks[c] = dt_norm_chunk(x, LONG, c);
    T_CHECK(dt_norm_total(chunks, 4) == sqrt(want));
    T_CHECK(dt_norm_chunk(x, LONG, 3) < 37 * 122 && chunks[3] > 0);
    T_CHECK(dt_norm_total(chunks, 0) == 0);
    for (int i = 0; i < LONG; i++) {
        x[i] = sinf((float)i) * 1e3f;
        rough += i < DT_NORM_CHUNK ? (double)x[i] * x[i] : 0;
    }
    double first = dt_norm_chunk(x, LONG, 0), last = dt_norm_chunk(x, LONG, 3);
    T_NEAR(first, rough, 0, 1e-14);
    for (int level = 0; level <= (int)best; level++) {
        dt_simd_limit((dt_simd)level);
        T_CHECK(dt_norm_chunk(x, LONG, 0) == first && dt_norm_chunk(x, LONG, 3) == last);
    }
    dt_simd_limit(DT_N_SIMD);
}

int main(void) {
    T_BEGIN(300);
    test_pytorch(&plain, golden_sgd_plain);
    test_pytorch(&momentum, golden_sgd_momentum);
    test_pytorch(&nesterov, golden_sgd_nesterov);
    test_pytorch(&adamw, golden_adamw);
    test_closed_form();
    test_same_bits();
    test_slots();
    test_norm();
    return t_finish();
}
