/* The cpu back end against the reference over a table of networks: tests/ops.h.
 * timeout: 120 */
#include "tests/ops.h"

/* bf16 is there where the CPU has it, and refused in words elsewhere. */
static bool has_bf16(void) {
    rig r;
    dt_device_config config = rig_config();
    config.precision = DT_BF16;
    dt_status status = rig_open(&r, &dt_backend_cpu, "fc 10", (dt_shape){1, 8, 8}, config);
    bool cpu_has = __builtin_cpu_supports("avx512bf16");
    if (status == DT_OK)
        T_CHECK(r.device != NULL);
    else
        T_CHECK(status == DT_EUSAGE && strstr(dt_error(), "bf16") != NULL);
    T_CHECK(status == DT_OK || !cpu_has);
    rig_close(&r);
    return status == DT_OK;
}

int main(void) {
    T_BEGIN(600);
    const bounds f32 = {1e-5, 1e-11}, bf16_forward = {INFINITY, 1e-3},
                 bf16_backward = {INFINITY, 2e-2};
    bool bf16 = has_bf16();
    for (size_t i = 0; i < sizeof ops_table / sizeof *ops_table; i++) {
        test_case(&ops_table[i], &dt_backend_cpu, DT_F32, f32, f32);
        if (bf16)
            test_case(&ops_table[i], &dt_backend_cpu, DT_BF16, bf16_forward, bf16_backward);
    }
    return t_finish();
}
