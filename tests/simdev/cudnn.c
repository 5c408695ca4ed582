/* tests/simdev/cudnn.c - the double of cuDNN's graph API, for graphs of one convolution.
 *
 * A descriptor is a list of attributes until it is finalized; then what it means is worked out and
 * kept by value, so that nothing refers to another descriptor later. Known graphs: convolution,
 * optionally + bias, optionally ReLU; either gradient of a convolution. Five engines are offered,
 * in the order 3, 1, 2, 4, 0. Of them 3 wants a workspace that no training should grant, 1 says
 * that it is not deterministic, 2 (from capability 8.0) says that it rounds floats for tensor
 * cores, and does so, and 4 is for capabilities 8.0 to 8.9 alone; 0 is as good as it looks. Tensors
 * of float, or of bfloat16 from capability 8.0.
 *
 * Shapes that cuDNN refuses are refused: test_simdev_dnn.c compares with the real library. */
#include "dnn.h"

#include <stdlib.h>

enum { MAX_ATTRIBUTES = 16, MAX_BYTES = 128, N_ENGINES = 5, WORKSPACE_BYTES = 4096 };
enum { GREEDY = 3, UNSTEADY = 1, ROUNDING = 2, DATED = 4 }; /* engines */
#define GREEDY_BYTES (2ll << 30)

struct cudnnContext {
    cudaStream_t stream;
};

typedef struct {
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t n;
    unsigned char value[MAX_BYTES];
} attribute;

typedef struct descriptor {
    struct descriptor *next; /* all that exist */
    cudnnBackendDescriptorType_t type;
    bool finalized;
    attribute attributes[MAX_ATTRIBUTES];
    int n;
    /* once finalized */
    dnn_tensor tensor;
    dnn_graph graph; /* of operations, graphs, engines, their configurations, plans */
    int64_t engine;
} descriptor;

static descriptor *all;
static char last_error[256];

static cudnnStatus_t fail(cudnnStatus_t status, const char *text) {
    snprintf(last_error, sizeof last_error, "%s", text);
    return status;
}
static cudnnStatus_t bad(const char *text) {
    return fail(CUDNN_STATUS_BAD_PARAM, text);
}

/* ---- the library ---- */
SIM_API size_t cudnnGetVersion(void) {
    return (size_t)sim_setting("SIMDEV_CUDNN", CUDNN_VERSION);
}
SIM_API size_t cudnnGetCudartVersion(void) {
    return CUDART_VERSION;
}

SIM_API const char *cudnnGetErrorString(cudnnStatus_t status) {
    switch (status / 1000) {
    case 0:
        return status ? "CUDNN_STATUS_NOT_INITIALIZED" : "CUDNN_STATUS_SUCCESS";
    case 1:
        return "CUDNN_STATUS_NOT_INITIALIZED";
    case 2:
        return "CUDNN_STATUS_BAD_PARAM";
    case 3:
        return "CUDNN_STATUS_NOT_SUPPORTED";
    case 4:
        return "CUDNN_STATUS_INTERNAL_ERROR";
    default:
        return "CUDNN_STATUS_EXECUTION_FAILED";
    }
}

SIM_API void cudnnGetLastErrorString(char *message, size_t nbytes) {
    snprintf(message, nbytes, "%s", last_error);
    last_error[0] = '\0';
}

SIM_API cudnnStatus_t cudnnCreate(cudnnHandle_t *out) {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || sim_fails("cudnnCreate"))
        return fail(CUDNN_STATUS_NOT_INITIALIZED, "no device, or a planned failure");
    *out = calloc(1, sizeof **out);
    if (!*out)
        return fail(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, "no memory");
    sim_count("cuDNN handle", 1);
    return CUDNN_STATUS_SUCCESS;
}

SIM_API cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
    free(handle);
    sim_count("cuDNN handle", -1);
    return CUDNN_STATUS_SUCCESS;
}

SIM_API cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
    if (sim_fails("cudnnSetStream"))
        return fail(CUDNN_STATUS_INTERNAL_ERROR, "planned failure");
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

/* ---- descriptors ---- */
static descriptor *known(void *handle) {
    for (descriptor *d = all; d; d = d->next)
        if (d == handle)
            return d;
    sim_violation("cuDNN: a descriptor is used that does not exist or was destroyed");
    return NULL;
}

SIM_API cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                                   cudnnBackendDescriptor_t *out) {
    if (sim_fails("cudnnBackendCreateDescriptor"))
        return fail(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, "planned failure");
    descriptor *d = calloc(1, sizeof *d);
    if (!d)
        return fail(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, "no memory");
    d->type = type;
    d->next = all;
    all = d;
    *out = d;
    sim_count("cuDNN descriptor", 1);
    return CUDNN_STATUS_SUCCESS;
}

SIM_API cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t handle) {
    descriptor *d = known(handle);
    if (!d)
        return bad("no such descriptor");
    for (descriptor **p = &all; *p; p = &(*p)->next)
        if (*p == d) {
            *p = d->next;
            break;
        }
    free(d);
    sim_count("cuDNN descriptor", -1);
    return CUDNN_STATUS_SUCCESS;
}

static size_t size_of(cudnnBackendAttributeType_t type) {
    switch (type) {
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
        return 1;
    case CUDNN_TYPE_FLOAT:
    case CUDNN_TYPE_INT32:
        return 4;
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
        return 8;
    default:
        return sizeof(int); /* the enumerations */
    }
}

SIM_API cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t handle,
                                               cudnnBackendAttributeName_t name,
                                               cudnnBackendAttributeType_t type, int64_t n,
                                               const void *values) {
    descriptor *d = known(handle);
    if (!d || n < 0 || (n > 0 && !values))
        return bad("no descriptor or no values");
    if (sim_fails("cudnnBackendSetAttribute"))
        return fail(CUDNN_STATUS_INTERNAL_ERROR, "planned failure");
    if (d->finalized)
        return bad("the descriptor is finalized");
    size_t nbytes = (size_t)n * size_of(type);
    if (nbytes > MAX_BYTES)
        return fail(CUDNN_STATUS_NOT_SUPPORTED, "more values than the simulated device keeps");
    attribute *a = d->attributes;
    while (a < d->attributes + d->n && a->name != name)
        a++;
    if (a == d->attributes + MAX_ATTRIBUTES)
        return fail(CUDNN_STATUS_NOT_SUPPORTED, "more attributes than the simulated device keeps");
    d->n += a == d->attributes + d->n;
    a->name = name, a->type = type, a->n = n;
    if (nbytes)
        memcpy(a->value, values, nbytes);
    return CUDNN_STATUS_SUCCESS;
}

static const attribute *find(const descriptor *d, cudnnBackendAttributeName_t name,
                             cudnnBackendAttributeType_t type) {
    for (int i = 0; i < d->n; i++)
        if (d->attributes[i].name == name && d->attributes[i].type == type)
            return &d->attributes[i];
    return NULL;
}

/* Exactly n values of an attribute. */
static bool values(const descriptor *d, cudnnBackendAttributeName_t name,
                   cudnnBackendAttributeType_t type, int64_t n, void *out) {
    const attribute *a = find(d, name, type);
    if (!a || a->n != n)
        return false;
    memcpy(out, a->value, (size_t)n * size_of(type));
    return true;
}

/* The finalized descriptor of this type that an attribute names. */
static descriptor *part(const descriptor *d, cudnnBackendAttributeName_t name,
                        cudnnBackendDescriptorType_t type) {
    void *handle;
    descriptor *found = NULL;
    if (values(d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &handle))
        found = known(handle);
    return found && found->finalized && found->type == type ? found : NULL;
}

/* ---- what finalizing works out ---- */
static cudnnStatus_t make_tensor(descriptor *d) {
    dnn_tensor *t = &d->tensor;
    int64_t alignment = 0;
    const attribute *dims = find(d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64);
    if (!dims || dims->n < 1 || dims->n > 4)
        return bad("a tensor has one to four dimensions here");
    t->n_dims = (int)dims->n;
    memcpy(t->dim, dims->value, (size_t)dims->n * sizeof *t->dim);
    if (!values(d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, dims->n, t->stride) ||
        !values(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment))
        return bad("a tensor lacks strides or alignment");
    /* what cuDNN does not insist on: float, and 0 */
    values(d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &t->type);
    values(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &t->uid);
    values(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &t->is_virtual);
    for (int i = 0; i < t->n_dims; i++)
        if (t->dim[i] < 0 || t->stride[i] < 0) /* 0 is fine for cuDNN, at this stage */
            return bad("a dimension or stride of a tensor is below 0");
    if (alignment < 1 || (alignment & (alignment - 1)))
        return bad("the alignment is no power of two");
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t make_convolution(descriptor *d) {
    dnn_graph *g = &d->graph;
    int64_t n = 0, after[2];
    cudnnDataType_t type;
    cudnnConvolutionMode_t mode;
    if (!values(d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &n) || n != 2 ||
        !values(d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type) ||
        !values(d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode) ||
        !values(d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, g->pad) ||
        !values(d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after) ||
        !values(d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, g->dilation) ||
        !values(d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, g->stride))
        return bad("a convolution of two dimensions lacks an attribute");
    for (int i = 0; i < 2; i++) {
        if (g->pad[i] < 0 || after[i] < 0 || g->stride[i] < 1 || g->dilation[i] < 1)
            return bad("padding below 0, or stride or dilation below 1");
        if (after[i] != g->pad[i])
            return fail(CUDNN_STATUS_NOT_SUPPORTED, "uneven padding is not simulated");
    }
    if (mode != CUDNN_CROSS_CORRELATION || type != CUDNN_DATA_FLOAT)
        return fail(CUDNN_STATUS_NOT_SUPPORTED, "only cross-correlation in float is simulated");
    return CUDNN_STATUS_SUCCESS;
}

int64_t dnn_output(int64_t in, int64_t before, int64_t after, int64_t kernel, int64_t stride,
                   int64_t dilation) {
    int64_t reach = in + before + after - dilation * (kernel - 1) - 1;
    return reach < 0 ? 0 : reach / stride + 1;
}

static cudnnStatus_t check_shapes(const dnn_graph *g) {
    if (g->x.n_dims != 4 || g->w.n_dims != 4 || g->y.n_dims != 4)
        return bad("a convolution takes tensors of four dimensions");
    if (g->x.dim[0] != g->y.dim[0] || g->w.dim[0] != g->y.dim[1])
        return bad("samples or output channels of a convolution do not fit");
    if (g->x.dim[1] != g->w.dim[1])
        return bad("the filter has other input channels (groups are not simulated)");
    for (int i = 0; i < 2; i++)
        if (g->y.dim[2 + i] < 1 ||
            g->y.dim[2 + i] != dnn_output(g->x.dim[2 + i], g->pad[i], g->pad[i], g->w.dim[2 + i],
                                          g->stride[i], g->dilation[i]))
            return bad("the output's height or width does not follow from the input's");
    return CUDNN_STATUS_SUCCESS;
}

/* The attributes of the three operations: x, w, y, convolution, alpha, beta. */
static const cudnnBackendAttributeName_t names[3][6] = {
    {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};

static cudnnStatus_t make_operation(descriptor *d, dnn_pass pass) {
    descriptor *tensors[3], *convolution;
    for (int i = 0; i < 3; i++) {
        tensors[i] = part(d, names[pass][i], CUDNN_BACKEND_TENSOR_DESCRIPTOR);
        if (!tensors[i])
            return bad("a convolution lacks a finalized tensor");
    }
    convolution = part(d, names[pass][3], CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    if (!convolution)
        return bad("an operation lacks its finalized convolution");
    d->graph = convolution->graph;
    d->graph.pass = pass;
    d->graph.x = tensors[0]->tensor, d->graph.w = tensors[1]->tensor;
    d->graph.y = tensors[2]->tensor;
    float alpha = 1, beta = 0;
    values(d, names[pass][4], CUDNN_TYPE_FLOAT, 1, &alpha);
    values(d, names[pass][5], CUDNN_TYPE_FLOAT, 1, &beta);
    if (alpha != 1 || beta != 0)
        return fail(CUDNN_STATUS_NOT_SUPPORTED, "alpha 1 and beta 0 are simulated");
    return check_shapes(&d->graph);
}

static cudnnStatus_t make_pointwise(descriptor *d) {
    cudnnPointwiseMode_t mode;
    cudnnDataType_t type;
    if (!values(d, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode) ||
        !values(d, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type))
        return bad("an operation on points lacks its mode or precision");
    return CUDNN_STATUS_SUCCESS;
}

static bool same_shape(const dnn_tensor *a, const dnn_tensor *b) {
    return a->n_dims == b->n_dims && !memcmp(a->dim, b->dim, sizeof a->dim);
}

/* One more operation behind what g holds so far: y = y + bias, or y = relu(y). */
static cudnnStatus_t append_pointwise(dnn_graph *g, descriptor *op) {
    descriptor *how =
        part(op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    descriptor *x = part(op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    descriptor *b = part(op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    descriptor *y = part(op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    cudnnPointwiseMode_t mode = CUDNN_POINTWISE_IDENTITY;
    cudnnNanPropagation_t nan = CUDNN_NOT_PROPAGATE_NAN;
    if (!how || !x || !y || x->tensor.uid != g->y.uid || !g->y.is_virtual ||
        !same_shape(&x->tensor, &g->y) || !same_shape(&x->tensor, &y->tensor))
        return bad("an operation on points does not follow the one before it");
    values(how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    values(how, CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION, 1, &nan);
    if (mode == CUDNN_POINTWISE_ADD && b && !g->has_bias && !g->relu) {
        const dnn_tensor *t = &b->tensor;
        if (t->n_dims != 4 || t->dim[1] != g->y.dim[1] || t->dim[0] * t->dim[2] * t->dim[3] != 1)
            return fail(CUDNN_STATUS_NOT_SUPPORTED, "a bias of one value a channel is simulated");
        g->has_bias = true, g->bias = *t;
    } else if (mode == CUDNN_POINTWISE_RELU_FWD && !g->relu) {
        g->relu = true, g->relu_keeps_nan = nan == CUDNN_PROPAGATE_NAN;
    } else {
        return fail(CUDNN_STATUS_NOT_SUPPORTED, "bias, then ReLU are simulated");
    }
    g->y = y->tensor;
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t make_graph(descriptor *d) {
    void *ops[3];
    const attribute *a = find(d, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR);
    if (!a || a->n < 1 || a->n > 3)
        return bad("a graph has one to three operations here");
    memcpy(ops, a->value, (size_t)a->n * sizeof *ops);
    for (int64_t i = 0; i < a->n; i++) {
        descriptor *op = known(ops[i]);
        if (!op || !op->finalized)
            return bad("an operation of the graph is not finalized");
        if (i == 0)
            d->graph = op->graph;
        cudnnStatus_t status = i == 0 ? CUDNN_STATUS_SUCCESS : append_pointwise(&d->graph, op);
        if (status)
            return status;
    }
    const dnn_graph *g = &d->graph;
    if (g->x.is_virtual || g->w.is_virtual || g->y.is_virtual)
        return bad("inputs and the result of a graph cannot be virtual");
    return CUDNN_STATUS_SUCCESS;
}

static int capability(void) {
    int device = 0, major = 0;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    return major;
}

/* All of one type, which is float, or bfloat16 where the device has it. */
static bool simulated(const dnn_graph *g, int64_t engine) {
    const cudnnDataType_t type = g->x.type;
    if (g->w.type != type || g->y.type != type || (g->has_bias && g->bias.type != type))
        return false;
    if (engine == DATED && capability() != 8)
        return false;
    if (type == CUDNN_DATA_BFLOAT16)
        return engine != ROUNDING && capability() >= 8;
    return type == CUDNN_DATA_FLOAT && (engine != ROUNDING || capability() >= 8);
}

/* Descriptors that carry on what one part of theirs has worked out. */
static cudnnStatus_t inherit(descriptor *d, cudnnBackendAttributeName_t name,
                             cudnnBackendDescriptorType_t type) {
    const descriptor *from = part(d, name, type);
    if (!from)
        return bad("a descriptor lacks the finalized one that it is made from");
    d->graph = from->graph;
    d->engine = from->engine;
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t make_engine(descriptor *d) {
    cudnnStatus_t status =
        inherit(d, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (status)
        return status;
    if (!values(d, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &d->engine) ||
        d->engine < 0 || d->engine >= N_ENGINES)
        return bad("no such engine");
    return simulated(&d->graph, d->engine)
               ? CUDNN_STATUS_SUCCESS
               : fail(CUDNN_STATUS_NOT_SUPPORTED, "this engine does not compute in this type here");
}

static cudnnStatus_t make_pack(const descriptor *d) {
    const attribute *ids = find(d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64);
    const attribute *pointers = find(d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR);
    if (!ids || !pointers || ids->n != pointers->n)
        return bad("unique ids and pointers are as many");
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t finalize(descriptor *d) {
    switch (d->type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
        return make_tensor(d);
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
        return make_convolution(d);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
        return make_operation(d, DNN_FORWARD);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
        return make_operation(d, DNN_DATA);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
        return make_operation(d, DNN_FILTER);
    case CUDNN_BACKEND_POINTWISE_DESCRIPTOR:
        return make_pointwise(d);
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
    case CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR:
        return CUDNN_STATUS_SUCCESS; /* looked at where they are used */
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
        return make_graph(d);
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
        return inherit(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                       CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR:
        return make_engine(d);
    case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR:
        if (find(d, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR))
            return fail(CUDNN_STATUS_NOT_SUPPORTED, "the simulated engines have no knobs");
        return inherit(d, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
        return inherit(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                       CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
        return make_pack(d);
    default:
        return fail(CUDNN_STATUS_NOT_SUPPORTED, "a descriptor that is not simulated");
    }
}

SIM_API cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t handle) {
    descriptor *d = known(handle);
    if (!d)
        return bad("no such descriptor");
    if (sim_fails("cudnnBackendFinalize"))
        return fail(CUDNN_STATUS_INTERNAL_ERROR, "planned failure");
    cudnnStatus_t status = finalize(d);
    d->finalized = status == CUDNN_STATUS_SUCCESS;
    return status;
}

/* ---- reading ---- */
/* An engine configuration into the descriptor that the caller has made. */
static cudnnStatus_t give(void *handle, cudnnBackendDescriptorType_t type, const dnn_graph *g,
                          int64_t engine) {
    descriptor *d = known(handle);
    if (!d || d->type != type)
        return bad("the result does not fit the descriptor given for it");
    d->graph = *g, d->engine = engine, d->finalized = true;
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t read_results(const descriptor *d, int64_t max, int64_t *n, void **out) {
    static const int64_t order[N_ENGINES] = {GREEDY, UNSTEADY, ROUNDING, DATED, 0};
    *n = 0;
    for (int i = 0; i < N_ENGINES; i++) {
        if (!simulated(&d->graph, order[i]) || (out && *n == max))
            continue;
        cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
        if (out)
            status = give(out[*n], CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &d->graph, order[i]);
        if (status)
            return status;
        ++*n;
    }
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t read_notes(int64_t engine, int64_t max, int64_t *n,
                                cudnnBackendNumericalNote_t *out) {
    static const cudnnBackendNumericalNote_t unsteady[] = {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC},
                                             rounding[] = {
                                                 CUDNN_NUMERICAL_NOTE_TENSOR_CORE,
                                                 CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS};
    const cudnnBackendNumericalNote_t *notes = engine == UNSTEADY ? unsteady : rounding;
    *n = engine == UNSTEADY ? 1 : engine == ROUNDING ? 2 : 0;
    for (int64_t i = 0; out && i < *n && i < max; i++)
        out[i] = notes[i];
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t read_number(int64_t value, int64_t *n, void *out) {
    *n = 1;
    if (out)
        memcpy(out, &value, sizeof value);
    return CUDNN_STATUS_SUCCESS;
}

SIM_API cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const handle,
                                               cudnnBackendAttributeName_t name,
                                               cudnnBackendAttributeType_t type, int64_t max,
                                               int64_t *n, void *out) {
    descriptor *d = known(handle);
    int64_t unused;
    n = n ? n : &unused;
    if (!d || !d->finalized)
        return bad("attributes of finalized descriptors are read");
    if (sim_fails("cudnnBackendGetAttribute"))
        return fail(CUDNN_STATUS_INTERNAL_ERROR, "planned failure");
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
        return read_results(d, max, n, out);
    case CUDNN_ATTR_ENGINECFG_ENGINE:
        *n = 1;
        return give(*(void **)out, CUDNN_BACKEND_ENGINE_DESCRIPTOR, &d->graph, d->engine);
    case CUDNN_ATTR_ENGINECFG_KNOB_CHOICES:
    case CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE:
        *n = 0;
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
        return read_notes(d->engine, max, n, out);
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
        return read_number(d->engine, n, out);
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        return read_number(d->engine == GREEDY ? GREEDY_BYTES : WORKSPACE_BYTES, n, out);
    default:
        break;
    }
    const attribute *a = find(d, name, type);
    if (!a)
        return fail(CUDNN_STATUS_NOT_SUPPORTED, "an attribute that is not simulated");
    *n = a->n;
    if (out)
        memcpy(out, a->value, (size_t)(a->n < max ? a->n : max) * size_of(type));
    return CUDNN_STATUS_SUCCESS;
}

/* ---- running ---- */
/* The address that the pack gives for a tensor; NULL: none, or not aligned as promised. */
static void *address(const descriptor *pack, const dnn_tensor *t) {
    int64_t ids[8];
    void *pointers[8];
    const attribute *a = find(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64);
    int64_t n = a->n < 8 ? a->n : 8;
    memcpy(ids, a->value, (size_t)n * sizeof *ids);
    values(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, a->n, pointers);
    for (int64_t i = 0; i < n; i++)
        if (ids[i] == t->uid)
            return (uintptr_t)pointers[i] % 16 ? NULL : pointers[i];
    return NULL;
}

SIM_API cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                          cudnnBackendDescriptor_t pack) {
    descriptor *p = known(plan), *v = known(pack);
    if (!p || !v || !p->finalized || !v->finalized)
        return bad("plan or pack is not finalized");
    if (sim_fails("cudnnBackendExecute"))
        return fail(CUDNN_STATUS_EXECUTION_FAILED, "planned failure");
    dnn_job job = {.graph = p->graph,
                   .is_tf32 = p->engine == ROUNDING,
                   .workspace_bytes = p->engine == GREEDY ? GREEDY_BYTES : WORKSPACE_BYTES};
    job.x = address(v, &p->graph.x), job.w = address(v, &p->graph.w);
    job.y = address(v, &p->graph.y);
    if (p->graph.has_bias)
        job.bias = address(v, &p->graph.bias);
    values(v, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &job.workspace);
    if (!job.x || !job.w || !job.y || !job.workspace || (p->graph.has_bias && !job.bias))
        return bad("the pack lacks an address, or one is not aligned to 16 bytes");
    static const char *const kinds[] = {"convolution", "input gradient", "filter gradient"};
    cudaError_t error =
        sim_enqueue(handle->stream, dnn_run, &job, sizeof job, kinds[p->graph.pass]);
    return error ? fail(CUDNN_STATUS_EXECUTION_FAILED, "the stream takes no work")
                 : CUDNN_STATUS_SUCCESS;
}
