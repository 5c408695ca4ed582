/* model/cuda_dnn.c - cuDNN's graph API as three kinds of graph.
 *
 * The API knows one kind of object, the descriptor with attributes. All descriptors of a graph are
 * kept in a list and destroyed together: cuDNN leaves open how long one refers to another. */
#include "model/cuda_dnn.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const conv_pass_names[CONV_N_PASSES] = {"forward", "input gradient", "filter gradient"};

typedef cudnnBackendDescriptor_t descriptor;

enum { MAX_DESCRIPTORS = 40, MAX_CONFIGS = 64, MAX_KNOBS = 24, MAX_NOTES = 16 };
enum { UID_X = 1, UID_W, UID_Y, UID_BIAS, UID_CONV, UID_SUM };

struct conv_plan {
    descriptor made[MAX_DESCRIPTORS];
    int n_made;
    descriptor graph, plan, pack;
    conv_pass pass;
    int64_t workspace;
};

static dt_status check(cudnnStatus_t status, const char *what) {
    if (status == CUDNN_STATUS_SUCCESS)
        return DT_OK;
    char text[256] = "";
    cudnnGetLastErrorString(text, sizeof text);
    return dt_fail(DT_EDEVICE, "cuDNN: %s: %s%s%s", what, cudnnGetErrorString(status),
                   text[0] ? ", " : "", text);
}

static dt_status create(conv_plan *p, cudnnBackendDescriptorType_t type, descriptor *out) {
    if (p->n_made == MAX_DESCRIPTORS)
        return dt_fail(DT_EDEVICE, "cuDNN: a graph of more than %d descriptors", MAX_DESCRIPTORS);
    DT_TRY(check(cudnnBackendCreateDescriptor(type, out), "no descriptor"));
    p->made[p->n_made++] = *out;
    return DT_OK;
}

static dt_status set(descriptor d, cudnnBackendAttributeName_t name,
                     cudnnBackendAttributeType_t type, int64_t n, const void *values) {
    char what[48];
    snprintf(what, sizeof what, "attribute %d is refused", (int)name);
    return check(cudnnBackendSetAttribute(d, name, type, n, values), what);
}

static dt_status set_longs(descriptor d, cudnnBackendAttributeName_t name, int64_t n,
                           const int64_t *values) {
    return set(d, name, CUDNN_TYPE_INT64, n, values);
}

static dt_status set_descriptor(descriptor d, cudnnBackendAttributeName_t name, descriptor value) {
    return set(d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static dt_status finalize(descriptor d, const char *what) {
    return check(cudnnBackendFinalize(d), what);
}

static dt_status get(descriptor d, cudnnBackendAttributeName_t name,
                     cudnnBackendAttributeType_t type, int64_t max, int64_t *n, void *values) {
    char what[48];
    snprintf(what, sizeof what, "attribute %d cannot be read", (int)name);
    return check(cudnnBackendGetAttribute(d, name, type, max, n, values), what);
}

/* A tensor [n][c][h][w] with the channel last in memory. A virtual one lives inside the graph. */
static dt_status add_tensor(conv_plan *p, int64_t uid, const int64_t dims[4], cudnnDataType_t type,
                            bool is_virtual, descriptor *out) {
    const int64_t c = dims[1], h = dims[2], w = dims[3], alignment = 16;
    const int64_t strides[4] = {c * h * w, 1, w * c, c};
    DT_TRY(create(p, CUDNN_BACKEND_TENSOR_DESCRIPTOR, out));
    DT_TRY(set(*out, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type));
    DT_TRY(set_longs(*out, CUDNN_ATTR_TENSOR_DIMENSIONS, 4, dims));
    DT_TRY(set_longs(*out, CUDNN_ATTR_TENSOR_STRIDES, 4, strides));
    DT_TRY(set_longs(*out, CUDNN_ATTR_TENSOR_UNIQUE_ID, 1, &uid));
    DT_TRY(set_longs(*out, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1, &alignment));
    if (is_virtual)
        DT_TRY(set(*out, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual));
    return finalize(*out, "a tensor of the convolution is refused");
}

static dt_status add_convolution(conv_plan *p, const dt_layer *l, descriptor *out) {
    const int64_t n_dims = 2, one[2] = {1, 1}, pad[2] = {l->pad, l->pad};
    const int64_t stride[2] = {l->stride, l->stride};
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    DT_TRY(create(p, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, out));
    DT_TRY(set_longs(*out, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 1, &n_dims));
    DT_TRY(set(*out, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type));
    DT_TRY(set(*out, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode));
    DT_TRY(set_longs(*out, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 2, pad));
    DT_TRY(set_longs(*out, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 2, pad));
    DT_TRY(set_longs(*out, CUDNN_ATTR_CONVOLUTION_DILATIONS, 2, one));
    DT_TRY(set_longs(*out, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 2, stride));
    return finalize(*out, "the convolution is refused");
}

/* The kind of operation and its attributes, in the order x, w, y, convolution, alpha, beta. */
static const struct {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t names[6];
} operations[CONV_N_PASSES] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
     {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA}},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
     {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA}},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}}};

static dt_status add_operation(conv_plan *p, conv_pass pass, const descriptor parts[4],
                               descriptor *out) {
    const float alpha = 1, beta = 0;
    const cudnnBackendAttributeName_t *names = operations[pass].names;
    DT_TRY(create(p, operations[pass].type, out));
    for (int i = 0; i < 4; i++)
        DT_TRY(set_descriptor(*out, names[i], parts[i]));
    DT_TRY(set(*out, names[4], CUDNN_TYPE_FLOAT, 1, &alpha));
    DT_TRY(set(*out, names[5], CUDNN_TYPE_FLOAT, 1, &beta));
    return finalize(*out, "the shapes of the convolution are refused");
}

/* y = x + b, or y = relu(x) when b is NULL. */
static dt_status add_pointwise(conv_plan *p, descriptor x, descriptor b, descriptor y,
                               descriptor *out) {
    const cudnnPointwiseMode_t mode = b ? CUDNN_POINTWISE_ADD : CUDNN_POINTWISE_RELU_FWD;
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    descriptor how;
    DT_TRY(create(p, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, &how));
    DT_TRY(set(how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode));
    DT_TRY(set(how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type));
    DT_TRY(finalize(how, "an operation on points is refused"));
    DT_TRY(create(p, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, out));
    DT_TRY(set_descriptor(*out, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how));
    DT_TRY(set_descriptor(*out, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x));
    if (b)
        DT_TRY(set_descriptor(*out, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b));
    DT_TRY(set_descriptor(*out, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y));
    return finalize(*out, "an operation on points is refused");
}

/* conv, + bias, relu as one graph: what is between them is virtual. */
static dt_status add_forward(conv_plan *p, const conv_spec *s, descriptor parts[4],
                             cudnnDataType_t type, const int64_t y_dims[4], descriptor ops[3],
                             int *n_ops) {
    const int64_t bias_dims[4] = {1, s->layer->out.c, 1, 1};
    descriptor y, bias, convolved, sum = NULL;
    DT_TRY(add_tensor(p, UID_Y, y_dims, type, false, &y));
    DT_TRY(add_tensor(p, UID_BIAS, bias_dims, type, false, &bias));
    DT_TRY(add_tensor(p, UID_CONV, y_dims, CUDNN_DATA_FLOAT, true, &convolved));
    if (s->relu)
        DT_TRY(add_tensor(p, UID_SUM, y_dims, CUDNN_DATA_FLOAT, true, &sum));
    parts[2] = convolved;
    DT_TRY(add_operation(p, CONV_FORWARD, parts, &ops[0]));
    DT_TRY(add_pointwise(p, convolved, bias, s->relu ? sum : y, &ops[1]));
    if (s->relu)
        DT_TRY(add_pointwise(p, sum, NULL, y, &ops[2]));
    *n_ops = s->relu ? 3 : 2;
    return DT_OK;
}

static dt_status add_graph(conv_plan *p, const conv_place *place, const conv_spec *s) {
    const dt_layer *l = s->layer;
    const int64_t x_dims[4] = {s->m, l->in.c, l->in.h, l->in.w};
    const int64_t w_dims[4] = {l->out.c, l->in.c, l->kernel, l->kernel};
    const int64_t y_dims[4] = {s->m, l->out.c, l->out.h, l->out.w};
    const cudnnDataType_t type = s->precision == DT_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    descriptor parts[4], ops[3];
    int n_ops = 1;
    p->pass = s->pass;
    DT_TRY(add_tensor(p, UID_X, x_dims, type, false, &parts[0]));
    DT_TRY(add_tensor(p, UID_W, w_dims, type, false, &parts[1]));
    DT_TRY(add_convolution(p, l, &parts[3]));
    if (s->pass == CONV_FORWARD) {
        DT_TRY(add_forward(p, s, parts, type, y_dims, ops, &n_ops));
    } else {
        DT_TRY(add_tensor(p, UID_Y, y_dims, type, false, &parts[2]));
        DT_TRY(add_operation(p, s->pass, parts, &ops[0]));
    }
    DT_TRY(create(p, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, &p->graph));
    DT_TRY(set(p->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n_ops, ops));
    if (place->handle)
        DT_TRY(
            set(p->graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &place->handle));
    return finalize(p->graph, "the graph of the convolution is refused");
}

/* Whether an engine's notes let it compute this. Tensor cores round float inputs to TF32. */
static dt_status may_use(const conv_spec *s, descriptor engine, bool *out) {
    cudnnBackendNumericalNote_t notes[MAX_NOTES];
    int64_t n = 0;
    DT_TRY(get(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, MAX_NOTES, &n,
               notes));
    *out = true;
    for (int64_t i = 0; i < n && i < MAX_NOTES; i++) {
        bool rounds = notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
                      notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
        bool is_tensor_core = notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
        if (notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC ||
            (rounds && s->precision != DT_TF32) || (is_tensor_core && s->precision == DT_F32))
            *out = false;
    }
    return DT_OK;
}

/* config's engine and knobs in words. */
static dt_status spell(const conv_spec *s, descriptor config, descriptor engine, bool *usable,
                       char text[CONV_TEXT_MAX]) {
    descriptor knobs[MAX_KNOBS];
    int64_t index = 0, n = 0, got = 0;
    int n_made = 0, at;
    dt_status status;
    *usable = false;
    DT_TRY(get(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n, &engine));
    DT_TRY(may_use(s, engine, usable));
    if (!*usable)
        return DT_OK;
    DT_TRY(get(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &n, &index));
    for (; n_made < MAX_KNOBS; n_made++)
        DT_TRY_GOTO(status,
                    check(cudnnBackendCreateDescriptor(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR,
                                                       &knobs[n_made]),
                          "no descriptor"),
                    done);
    DT_TRY_GOTO(status,
                get(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                    MAX_KNOBS, &got, knobs),
                done);
    at = snprintf(text, CONV_TEXT_MAX, "%" PRId64, index);
    for (int i = 0; i < got && at < CONV_TEXT_MAX; i++) {
        cudnnBackendKnobType_t type;
        int64_t value;
        DT_TRY_GOTO(
            status,
            get(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &n, &type),
            done);
        DT_TRY_GOTO(
            status,
            get(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &n, &value),
            done);
        at += snprintf(text + at, (size_t)(CONV_TEXT_MAX - at), "%c%d=%" PRId64, i ? ',' : ':',
                       (int)type, value);
    }
    if (at >= CONV_TEXT_MAX)
        status = dt_fail(DT_EDEVICE, "cuDNN: the knobs of engine %" PRId64 " do not fit %d letters",
                         index, CONV_TEXT_MAX);
done:
    while (n_made > 0)
        cudnnBackendDestroyDescriptor(knobs[--n_made]);
    return status;
}

static dt_status set_device(const conv_place *place, descriptor d, cudnnBackendAttributeName_t by,
                            cudnnBackendAttributeName_t described) {
    if (!place->handle)
        return set_descriptor(d, described, place->description);
    return by == described ? DT_OK : set(d, by, CUDNN_TYPE_HANDLE, 1, &place->handle);
}

/* The engine and knobs of text become a plan. */
static dt_status add_plan(conv_plan *p, const conv_place *place, const char *text) {
    descriptor engine, config, knobs[MAX_KNOBS];
    char *end;
    int64_t index = strtoll(text, &end, 10), n_knobs = 0, n;
    bool well_formed = end > text;
    DT_TRY(create(p, CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine));
    DT_TRY(set_descriptor(engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, p->graph));
    DT_TRY(set_longs(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, 1, &index));
    DT_TRY(set_device(place, engine, CUDNN_ATTR_ENGINE_DEVICEPROP, CUDNN_ATTR_ENGINE_DEVICEPROP));
    DT_TRY(finalize(engine, "the chosen engine cannot compute this here"));
    while (well_formed && *end && n_knobs < MAX_KNOBS) {
        const char *at = end + 1;
        cudnnBackendKnobType_t type = (cudnnBackendKnobType_t)strtoll(at, &end, 10);
        well_formed = end > at && *end == '=';
        int64_t value = well_formed ? strtoll(end + 1, &end, 10) : 0;
        DT_TRY(create(p, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &knobs[n_knobs]));
        DT_TRY(
            set(knobs[n_knobs], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type));
        DT_TRY(set_longs(knobs[n_knobs], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, 1, &value));
        DT_TRY(finalize(knobs[n_knobs++], "a knob of the chosen engine is refused"));
    }
    if (!well_formed || *end)
        return dt_fail(DT_EDEVICE, "'%s' names no engine of cuDNN", text);
    DT_TRY(create(p, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &config));
    DT_TRY(set_descriptor(config, CUDNN_ATTR_ENGINECFG_ENGINE, engine));
    if (n_knobs)
        DT_TRY(set(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                   n_knobs, knobs));
    DT_TRY(finalize(config, "the knobs of the chosen engine are refused"));
    DT_TRY(create(p, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &p->plan));
    DT_TRY(set_descriptor(p->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config));
    DT_TRY(set_device(place, p->plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE,
                      CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP));
    DT_TRY(finalize(p->plan, "the chosen engine cannot be planned here"));
    return get(p->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n,
               &p->workspace);
}

void conv_plan_free(conv_plan **plan) {
    conv_plan *p = plan ? *plan : NULL;
    if (!p)
        return;
    while (p->n_made > 0)
        cudnnBackendDestroyDescriptor(p->made[--p->n_made]);
    free(p);
    *plan = NULL;
}

dt_status conv_plan_make(const conv_place *place, const conv_spec *spec, const char *text,
                         conv_plan **out) {
    conv_plan *p = calloc(1, sizeof *p);
    *out = NULL;
    if (!p)
        return dt_fail(DT_EDEVICE, "no memory for the plan of a convolution");
    dt_status status = add_graph(p, place, spec);
    if (status == DT_OK)
        status = add_plan(p, place, text);
    if (status != DT_OK)
        conv_plan_free(&p);
    *out = p;
    return status;
}

size_t conv_plan_workspace(const conv_plan *plan) {
    return plan->workspace > 0 ? (size_t)plan->workspace : 0;
}

/* cuDNN's candidates in its order of preference: configs[0 .. *n), to be destroyed by the caller.
 */
static dt_status ask_heuristics(const conv_place *place, conv_plan *p, cudnnBackendHeurMode_t mode,
                                descriptor configs[MAX_CONFIGS], int *n) {
    descriptor heuristics;
    int64_t count = 0, got = 0;
    *n = 0;
    DT_TRY(create(p, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics));
    DT_TRY(set_descriptor(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, p->graph));
    DT_TRY(set(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode));
    DT_TRY(set_device(place, heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                      CUDNN_ATTR_ENGINEHEUR_DEVICEPROP));
    DT_TRY(finalize(heuristics, "its heuristics refuse the convolution"));
    DT_TRY(get(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count,
               NULL));
    for (; *n < count && *n < MAX_CONFIGS; ++*n)
        DT_TRY(check(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[*n]),
                     "no descriptor"));
    if (*n == 0)
        return DT_OK;
    DT_TRY(get(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, *n, &got,
               configs));
    while (*n > got)
        cudnnBackendDestroyDescriptor(configs[--*n]);
    return DT_OK;
}

/* The first of the candidates that may be used and can be planned. */
static dt_status pick(const conv_place *place, const conv_spec *spec, const descriptor *configs,
                      int n, char text[CONV_TEXT_MAX], bool *found) {
    descriptor engine;
    conv_plan *plan;
    *found = false;
    for (int i = 0; i < n && !*found; i++) {
        bool usable;
        DT_TRY(check(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine),
                     "no descriptor"));
        dt_status status = spell(spec, configs[i], engine, &usable, text);
        cudnnBackendDestroyDescriptor(engine);
        DT_TRY(status);
        if (usable && conv_plan_make(place, spec, text, &plan) == DT_OK) {
            *found = conv_plan_workspace(plan) <= CONV_WORKSPACE_MAX;
            conv_plan_free(&plan);
        }
    }
    return DT_OK;
}

dt_status conv_choose(const conv_place *place, const conv_spec *spec, char text[CONV_TEXT_MAX]) {
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    descriptor configs[MAX_CONFIGS];
    bool found = false;
    conv_plan *p = calloc(1, sizeof *p);
    if (!p)
        return dt_fail(DT_EDEVICE, "no memory for the plan of a convolution");
    dt_status status = add_graph(p, place, spec);
    for (int i = 0; i < 2 && status == DT_OK && !found; i++) {
        int n;
        status = ask_heuristics(place, p, modes[i], configs, &n);
        if (status == DT_OK)
            status = pick(place, spec, configs, n, text, &found);
        while (n > 0)
            cudnnBackendDestroyDescriptor(configs[--n]);
    }
    conv_plan_free(&p);
    if (status == DT_OK && !found) {
        static const char *const names[] = {"f32", "bf16", "tf32"};
        return dt_fail(DT_EDEVICE,
                       "cuDNN has no deterministic engine for the %s of %s in %s on this GPU: give "
                       "the layer another kernel or number of channels, or another --precision, or "
                       "--device cpu",
                       conv_pass_names[spec->pass], spec->layer->name, names[spec->precision]);
    }
    return status;
}

dt_status conv_bind(conv_plan *plan, const conv_pointers *pointers) {
    void *pointer[4] = {pointers->x, pointers->w, pointers->y, pointers->bias};
    void *workspace = pointers->workspace;
    const int64_t uids[4] = {UID_X, UID_W, UID_Y, UID_BIAS};
    const int64_t n = plan->pass == CONV_FORWARD ? 4 : 3;
    descriptor pack;
    DT_TRY(create(plan, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack));
    DT_TRY(set_longs(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, n, uids));
    DT_TRY(set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, pointer));
    DT_TRY(set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace));
    DT_TRY(finalize(pack, "the addresses of a convolution are refused"));
    plan->pack = pack;
    return DT_OK;
}

dt_status conv_run(const conv_plan *plan, cudnnHandle_t handle) {
    return check(cudnnBackendExecute(handle, plan->plan, plan->pack), "a convolution failed");
}

dt_status conv_place_describe(const char *json, conv_place *out) {
    *out = (conv_place){0};
    DT_TRY(
        check(cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &out->description),
              "no descriptor"));
    dt_status status = set(out->description, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                           CUDNN_TYPE_CHAR, (int64_t)strlen(json), json);
    if (status == DT_OK)
        status = finalize(out->description, "the description of a device is refused");
    if (status != DT_OK)
        conv_place_free(out);
    return status;
}

void conv_place_free(conv_place *place) {
    if (place->description)
        cudnnBackendDestroyDescriptor(place->description);
    *place = (conv_place){0};
}
