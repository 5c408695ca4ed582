/* The reference back end: the contract, and its gradient against the double loops. */
#include "model/dropout.h"
#include "model/loss.h"
#include "model/ref_layers.h"
#include "tests/contract.h"

enum { M = 8, MAX_LAYERS = 16 };

/* Summed loss and gradient of one micro-batch, everything in double. Rows without sample weigh 0.
 */
static double slow(const rig *r, const int64_t *samples, uint32_t epoch, double *dparams) {
    const dt_net *net = r->net;
    double *acts[MAX_LAYERS], *grads[MAX_LAYERS], *params, loss = 0;
    float *masks[MAX_LAYERS] = {NULL}, table[256];
    size_t n_pixels = dt_shape_size(net->in), classes = (size_t)net->classes;
    dt_input_table(r->config.mean, r->config.std, table);
    params = malloc(net->n_params * sizeof *params);
    for (size_t i = 0; i < net->n_params; i++)
        params[i] = r->params[i];
    for (int i = 0; i <= net->n_layers; i++) {
        size_t n = dt_shape_size(i == 0 ? net->in : net->layers[i - 1].out);
        acts[i] = malloc(M * n * sizeof **acts);
        grads[i] = malloc(M * n * sizeof **grads);
        if (i == net->n_layers || net->layers[i].kind != DT_DROPOUT)
            continue;
        masks[i] = malloc(M * n * sizeof(float));
        for (size_t j = 0; j < M; j++)
            dt_dropout_mask(r->config.seed, epoch, samples[j], i, net->layers[i].drop,
                            masks[i] + j * n, n);
    }
    for (size_t j = 0; j < M * n_pixels; j++)
        acts[0][j] =
            samples[j / n_pixels] < 0
                ? 0
                : table[r->images[(size_t)samples[j / n_pixels] * n_pixels + j % n_pixels]];
    dt_ref_net_forward_f64(net, M, params, masks, acts);
    double smoothing = (double)r->config.label_smoothing;
    for (size_t j = 0; j < M; j++) {
        const double *z = acts[net->n_layers] + j * classes;
        double total = 0;
        for (size_t k = 0; k < classes; k++)
            total += exp(z[k]);
        for (size_t k = 0; k < classes; k++) {
            bool hit = samples[j] >= 0 && r->labels[samples[j]] == k;
            double y = smoothing / (double)classes + (hit ? 1 - smoothing : 0);
            grads[net->n_layers][j * classes + k] = samples[j] < 0 ? 0 : exp(z[k]) / total - y;
            loss -= samples[j] < 0 ? 0 : y * log(exp(z[k]) / total);
        }
    }
    dt_ref_net_backward_f64(net, M, params, masks, acts, grads, dparams);
    for (int i = 0; i <= net->n_layers; i++) {
        free(acts[i]);
        free(grads[i]);
        free(masks[i]);
    }
    free(params);
    return loss;
}

static void test_against_double(const char *spec, dt_shape in) {
    rig r;
    int64_t samples[3 * M];
    dt_device_config config = rig_config();
    config.label_smoothing = 0.05f;
    T_OK(rig_open(&r, &dt_backend_ref, spec, in, config));
    size_t n = r.net->n_params;
    double *want = calloc(n, sizeof *want), *part = malloc(n * sizeof *part), loss = 0;
    dt_work work = rig_work(&r, samples, 5, 26, 3);
    T_OK(r.be->gradient(r.device, &work, NULL, NULL));
    for (int j = 0; j < 3; j++) {
        loss += slow(&r, samples + j * M, work.epoch, part);
        for (size_t i = 0; i < n; i++)
            want[i] += part[i];
    }
    double largest = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs(want[i]));
        worst = fmax(worst, fabs(want[i] - rig_gradient(&r, i)));
    }
    if (!T_CHECK(worst <= 3e-6 * largest && largest > 1e-3))
        fprintf(stderr, "    %s: off by %g of %g\n", spec, worst, largest);
    T_NEAR((double)rig_sums(&r)[DT_SUM_LOSS] * 0x1p-32, loss, 0, 1e-6);
    T_CHECK(rig_sums(&r)[DT_SUM_COUNT] == 21 && rig_sums(&r)[DT_SUM_BAD] == 0);
    free(want);
    free(part);
    rig_close(&r);
}

static void test_no_bf16(void) {
    rig r;
    dt_device_config config = rig_config();
    config.precision = DT_BF16;
    T_FAILS(rig_open(&r, &dt_backend_ref, "fc 10", contract_in, config), DT_EUSAGE, "f32 only");
    rig_close(&r);
}

int main(void) {
    T_BEGIN(300);
    contract_all(&dt_backend_ref);
    test_against_double(contract_spec, contract_in);
    test_against_double("conv 3 5 stride 2 pad 1; relu; pool 3 avg stride 2 pad 1; fc 4",
                        contract_in);
    test_against_double("dropout 0.5; fc 20; relu; dropout 0.2; fc 12", (dt_shape){3, 5, 4});
    test_no_bf16();
    return t_finish();
}
