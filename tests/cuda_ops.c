/* The cuda back end against the reference over a table of networks: tests/ops.h. On a GPU, or on
 * the simulated device; "tf32" and "bf16" as an argument try that precision, which needs a GPU. */
#include "tests/ops.h"

int main(int argc, char **argv) {
    T_BEGIN(900);
    const char *word = argc > 1 ? argv[1] : "f32";
    const bounds f32 = {1e-5, 1e-11}, tf32 = {INFINITY, 1e-4}, bf16 = {INFINITY, 2e-2};
    const dt_precision precision = strcmp(word, "bf16") == 0   ? DT_BF16
                                   : strcmp(word, "tf32") == 0 ? DT_TF32
                                                               : DT_F32;
    const bounds b = precision == DT_BF16 ? bf16 : precision == DT_TF32 ? tf32 : f32;
    for (size_t i = 0; i < sizeof ops_table / sizeof *ops_table; i++)
        test_case(&ops_table[i], &dt_backend_cuda, precision, b, b);
    return t_finish();
}
