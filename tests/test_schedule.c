/* Schedules against PyTorch's, and at their ends. */
#include "model/optim.h"
#include "tests/golden/values.h"
#include "tests/t.h"

static void at(const dt_schedule_config *c, int64_t step, double rate, double momentum) {
    float got[2];
    dt_schedule_at(c, step, &got[0], &got[1]);
    T_NEAR(got[0], rate, 1e-12, 1e-6);
    T_NEAR(got[1], momentum, 0, 1e-6);
}

static void test_pytorch(void) {
    dt_schedule_config c = {
        .kind = DT_ONECYCLE, .peak = 0.1f, .base_momentum = 0.9f, .cycle_momentum = true};
    c.total = 47;
    for (int i = 0; i < 47; i++)
        at(&c, i, golden_onecycle[i][0], golden_onecycle[i][1]);
    c.total = 40;
    c.warmup = 10;
    for (int i = 0; i < 40; i++)
        at(&c, i, golden_onecycle_warmup[i][0], golden_onecycle_warmup[i][1]);
    at(&c, 39, 0.1 / 1e4, 0.9);
    at(&c, 40, 0.1 / 1e4, 0.9);
    at(&c, 1000000, 0.1 / 1e4, 0.9);
    at(&c, 9, 0.1, 0.8);
    c.cycle_momentum = false;
    at(&c, 9, 0.1, 0.9);
    c = (dt_schedule_config){.kind = DT_COSINE, .peak = 0.1f, .base_momentum = 0.9f, .total = 30};
    for (int i = 0; i < 30; i++)
        at(&c, i, golden_cosine[i][0], golden_cosine[i][1]);
}

static void test_warmup(void) {
    dt_schedule_config c = {.kind = DT_CONSTANT, .peak = 0.5f, .base_momentum = 0.9f, .total = 20};
    at(&c, 0, 0.5, 0.9);
    at(&c, 25, 0.5, 0.9);
    c.warmup = 4;
    at(&c, 0, 0.125, 0.9);
    at(&c, 3, 0.5, 0.9);
    at(&c, 4, 0.5, 0.9);
    c.kind = DT_COSINE;
    at(&c, 2, 0.375, 0.9);
    at(&c, 4, 0.5, 0.9);
    at(&c, 12, 0.25, 0.9);
    c.warmup = 50; /* longer than the run */
    at(&c, 19, 0.2, 0.9);
}

/* Runs of a step or two, and warm-ups as long as the run: finite, positive, never above the peak.
 */
static void test_short(void) {
    for (int kind = DT_CONSTANT; kind <= DT_ONECYCLE; kind++)
        for (int total = 1; total <= 5; total++)
            for (int warmup = 0; warmup <= 6; warmup++)
                for (int step = 0; step <= total; step++) {
                    dt_schedule_config c = {.kind = (dt_schedule)kind,
                                            .peak = 1.0f,
                                            .base_momentum = 0.9f,
                                            .cycle_momentum = true,
                                            .warmup = warmup,
                                            .total = total};
                    float rate, momentum;
                    dt_schedule_at(&c, step, &rate, &momentum);
                    T_CHECK(rate > 0 && rate <= 1);
                    T_CHECK(momentum > 0.79f && momentum < 0.91f);
                }
}

int main(void) {
    T_BEGIN(60);
    test_pytorch();
    test_warmup();
    test_short();
    return t_finish();
}
