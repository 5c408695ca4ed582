/* The real cuDNN plans every convolution of the presets and of the networks that the tests train on
 * a GPU (odd shapes, tiny micro-batches), every pass and precision, for GPUs that are not here,
 * from descriptions of them; what it planned is planned again from its name.
 *
 * The descriptions are written from public data sheets, not read from cards. Planning shows that a
 * deterministic engine exists and which workspace it asks for. It runs nothing. */
#include "model/cuda_dnn.h"
#include "tests/contract.h"
#include "tests/ops_table.h"

typedef struct {
    const char *name;
    int version, processors, shared, blocks, threads;
    long long memory, cache;
} gpu;

static const gpu gpus[] = {
    {"Tesla T4", 750, 40, 65536, 16, 1024, 15828320256, 4194304},
    {"NVIDIA A100-SXM4-40GB", 800, 108, 166912, 32, 2048, 42298834944, 41943040},
    {"NVIDIA GeForce RTX 3060 Laptop GPU", 860, 30, 101376, 16, 1536, 6226378752, 3145728},
    {"NVIDIA L40S", 890, 142, 101376, 24, 1536, 47576711168, 100663296},
    {"NVIDIA H100 80GB HBM3", 900, 132, 232448, 32, 2048, 85028765696, 52428800},
    {"NVIDIA GeForce RTX 5090", 1200, 170, 101376, 24, 1536, 34190917632, 100663296},
    {"NVIDIA B200", 1000, 148, 232448, 32, 2048, 191000000000, 132644864},
};

static dt_status describe(const gpu *g, conv_place *place) {
    char json[1024];
    snprintf(json, sizeof json,
             "{\"deviceVer\":%d,\"multiProcessorCount\":%d,\"warpSize\":32,"
             "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":%d,"
             "\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,"
             "\"maxCtasPerSM\":%d,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":%d,"
             "\"regsPerBlock\":65536,\"totalGlobalMem\":%lld,\"smClockRateKHz\":1500000,"
             "\"l2CacheSize\":%lld,\"maxBlockSize\":[1024,1024,64],\"memClockRateKHz\":2619000,"
             "\"maxGridSize\":[2147483647,65535,65535],\"supportCoopLaunch\":1,\"pciDeviceId\":0,"
             "\"isTccDriver\":0,\"cudaDeviceId\":0,\"driverVer\":13000,\"deviceName\":\"%s\"}",
             g->version, g->processors, g->shared, g->blocks, g->threads, g->memory, g->cache,
             g->name);
    return conv_place_describe(json, place);
}

static void plan(const gpu *g, const conv_place *place, const conv_spec *spec) {
    static const char *const precisions[] = {"f32", "bf16", "tf32"};
    char text[CONV_TEXT_MAX];
    conv_plan *p = NULL;
    dt_status status = conv_choose(place, spec, text);
    if (status == DT_OK)
        status = conv_plan_make(place, spec, text, &p);
    T_OK(status);
    if (status != DT_OK)
        fprintf(stderr, "    %s, %s, %s, %s\n", g->name, spec->layer->name,
                conv_pass_names[spec->pass], precisions[spec->precision]);
    else
        T_CHECK(conv_plan_workspace(p) <= CONV_WORKSPACE_MAX);
    conv_plan_free(&p);
}

static void plan_net(const gpu *g, const conv_place *place, const char *words, dt_shape in, int m) {
    dt_net *net;
    T_OK(dt_net_parse(words, in, &net));
    for (int i = 0; i < net->n_layers; i++)
        for (int k = 0; net->layers[i].kind == DT_CONV && k < CONV_N_PASSES * 3; k++) {
            conv_spec spec = {.layer = &net->layers[i],
                              .m = m,
                              .precision = (dt_precision)(k / CONV_N_PASSES),
                              .relu = net->layers[i + 1].kind == DT_RELU,
                              .pass = (conv_pass)(k % CONV_N_PASSES)};
            bool is_needed = i > 0 || spec.pass != CONV_DATA;
            if (is_needed && (spec.precision == DT_F32 || g->version >= 800))
                plan(g, place, &spec);
        }
    dt_net_free(&net);
}

/* What users train, and what the tests train that tests/gpu.sh runs on a GPU. */
static void plan_all(const gpu *g, const conv_place *place) {
    static const int sizes[] = {32, 64, 128, 256};
    const dt_shape digits = {1, 28, 28}, other = {1, 9, 14}; /* contract_augment()'s */
    for (const dt_net_preset *s = dt_net_presets; s->name; s++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            plan_net(g, place, s->name, digits, sizes[i]);
    for (size_t i = 0; i < sizeof ops_table / sizeof *ops_table; i++)
        plan_net(g, place, ops_table[i].spec, ops_table[i].in, ops_table[i].micro_batch);
    plan_net(g, place, contract_spec, contract_in, rig_config().micro_batch);
    plan_net(g, place, contract_spec, other, rig_config().micro_batch);
}

/* What cuDNN cannot do is refused in words. */
static void refusals(const conv_place *place) {
    dt_net *net;
    char text[CONV_TEXT_MAX];
    conv_plan *p;
    T_OK(dt_net_parse("conv 8 3; relu; fc 10", (dt_shape){1, 28, 28}, &net));
    conv_spec spec = {.layer = &net->layers[0], .m = 16, .pass = CONV_FORWARD};
    T_FAILS(conv_plan_make(place, &spec, "30000", &p), DT_EDEVICE, "engine");
    T_FAILS(conv_plan_make(place, &spec, "none", &p), DT_EDEVICE, "names no engine");
    net->layers[0].out.w = 27;
    T_FAILS(conv_choose(place, &spec, text), DT_EDEVICE, "shapes");
    dt_net_free(&net);
    conv_place bad;
    T_FAILS(conv_place_describe("{}", &bad), DT_EDEVICE, "description");
}

int main(void) {
    T_BEGIN(280);
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++) {
        conv_place place;
        dt_status status = describe(&gpus[i], &place);
        T_OK(status);
        if (status != DT_OK)
            continue;
        plan_all(&gpus[i], &place);
        if (i == 0)
            refusals(&place);
        conv_place_free(&place);
    }
    return t_finish();
}
