/* Schedules against PyTorch's, and at their ends. */
#include "model/optim.h"
#include "tests/golden/values.h"
#include "tests/t.h"

static void at(const dt_schedule_config *c, int64_t step, double rate) {
    T_NEAR(dt_schedule_at(c, step), rate, 1e-12, 1e-6);
}

static void test_pytorch(void) {
    dt_schedule_config c = {.kind = DT_ONECYCLE, .peak = 0.1f};
    c.total = 47;
    for (int i = 0; i < 47; i++)
        at(&c, i, golden_onecycle[i]);
    c.total = 40;
    c.warmup = 10;
    for (int i = 0; i < 40; i++)
        at(&c, i, golden_onecycle_warmup[i]);
    at(&c, 39, 0.1 / 1e4);
    at(&c, 40, 0.1 / 1e4);
    at(&c, 1000000, 0.1 / 1e4);
    at(&c, 9, 0.1);
    c = (dt_schedule_config){.kind = DT_COSINE, .peak = 0.1f, .total = 30};
    for (int i = 0; i < 30; i++)
        at(&c, i, golden_cosine[i]);
}

static void test_warmup(void) {
    dt_schedule_config c = {.kind = DT_CONSTANT, .peak = 0.5f, .total = 20};
    at(&c, 0, 0.5);
    at(&c, 25, 0.5);
    c.warmup = 4;
    at(&c, 0, 0.125);
    at(&c, 3, 0.5);
    at(&c, 4, 0.5);
    c.kind = DT_COSINE;
    at(&c, 2, 0.375);
    at(&c, 4, 0.5);
    at(&c, 12, 0.25);
    c.warmup = 50; /* longer than the run */
    at(&c, 19, 0.2);
}

/* Runs of a step or two, and warm-ups as long as the run: finite, positive, never above the peak.
 */
static void test_short(void) {
    for (int kind = DT_CONSTANT; kind <= DT_ONECYCLE; kind++)
        for (int total = 1; total <= 5; total++)
            for (int warmup = 0; warmup <= 6; warmup++)
                for (int step = 0; step <= total; step++) {
                    dt_schedule_config c = {
                        .kind = (dt_schedule)kind, .peak = 1.0f, .warmup = warmup, .total = total};
                    float rate = dt_schedule_at(&c, step);
                    T_CHECK(rate > 0 && rate <= 1);
                }
}

int main(void) {
    T_BEGIN(60);
    test_pytorch();
    test_warmup();
    test_short();
    return t_finish();
}
