/* The cuda back end against the reference over a table of networks: tests/ops.h. On a GPU, or on
 * the simulated device; "tf32" and "bf16" as an argument try that precision.
 *
 * Their bounds are those of inputs rounded to 11 and 8 bits. Where a network has a ReLU or a
 * maximum, rounding may decide it the other way, and a value moves by its full size: such networks
 * have wide bounds, which tell that the right things were computed, and the others tell how well.
 */
#include "tests/ops.h"

static bool is_smooth(const op_case *c) {
    dt_net *net;
    bool smooth = true;
    T_OK(dt_net_parse(c->spec, c->in, &net));
    for (int i = 0; i < net->n_layers; i++) {
        const dt_layer *l = &net->layers[i];
        smooth = smooth && l->kind != DT_RELU && (l->kind != DT_POOL || l->average);
    }
    dt_net_free(&net);
    return smooth;
}

int main(int argc, char **argv) {
    T_BEGIN(900);
    const char *word = argc > 1 ? argv[1] : "f32";
    static const bounds smooth[] = {{1e-5, 1e-11}, {2e-2, 1e-4}, {4e-3, 1e-5}};
    static const bounds kinked[] = {{1e-5, 1e-11}, {INFINITY, 6e-2}, {INFINITY, 2e-2}};
    const dt_precision precision = strcmp(word, "bf16") == 0   ? DT_BF16
                                   : strcmp(word, "tf32") == 0 ? DT_TF32
                                                               : DT_F32;
    for (size_t i = 0; i < sizeof ops_table / sizeof *ops_table; i++) {
        bounds b = (is_smooth(&ops_table[i]) ? smooth : kinked)[precision];
        test_case(&ops_table[i], &dt_backend_cuda, precision, b, b);
    }
    return t_finish();
}
