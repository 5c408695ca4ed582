/* tests/simdev/shapes.c REAL DOUBLE - does the double of cuDNN accept and refuse as cuDNN does?
 *
 * Both libraries side by side, each with symbols of its own; random descriptors of tensors,
 * convolutions and their three operations, most of them sound, some wrong in one place. Compared is
 * whether each is accepted and, if not, the kind of error. What the double refuses as not simulated
 * is counted, not compared. Needs no device. */
#include <cudnn.h>
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { CASES = 4000, CALLS = 5, NOT_SUPPORTED = 3 };

typedef struct {
    __typeof__(&cudnnBackendCreateDescriptor) create;
    __typeof__(&cudnnBackendDestroyDescriptor) destroy;
    __typeof__(&cudnnBackendSetAttribute) set;
    __typeof__(&cudnnBackendFinalize) finalize;
} library;

typedef struct { /* one random convolution */
    int64_t x[4], w[4], y[4], pad[2], after[2], stride[2], dilation[2], alignment;
    int pass, missing; /* which attribute of a tensor is left out; -1: none */
} problem;

static uint32_t state = 20240607;
static int64_t from(int64_t low, int64_t high) {
    state = state * 1664525u + 1013904223u;
    return low + (int64_t)((state >> 8) % (uint32_t)(high - low + 1));
}

static void *symbol(void *lib, const char *name) {
    void *p = dlsym(lib, name);
    if (!p) {
        fprintf(stderr, "shapes: %s is missing\n", name);
        exit(1);
    }
    return p;
}

static library load(const char *path) {
    void *lib = dlmopen(LM_ID_NEWLM, path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        fprintf(stderr, "shapes: %s\n", dlerror());
        exit(1);
    }
    library l;
    *(void **)&l.create = symbol(lib, "cudnnBackendCreateDescriptor");
    *(void **)&l.destroy = symbol(lib, "cudnnBackendDestroyDescriptor");
    *(void **)&l.set = symbol(lib, "cudnnBackendSetAttribute");
    *(void **)&l.finalize = symbol(lib, "cudnnBackendFinalize");
    return l;
}

static problem invent(void) {
    problem p = {.pass = (int)from(0, 2), .missing = -1, .alignment = 16};
    for (int i = 0; i < 2; i++) {
        p.pad[i] = p.after[i] = from(0, 3);
        p.stride[i] = from(1, 3), p.dilation[i] = from(1, 2);
    }
    p.x[0] = p.y[0] = from(1, 9);
    p.x[1] = p.w[1] = from(1, 5);
    p.w[0] = p.y[1] = from(1, 6);
    for (int i = 2; i < 4; i++) {
        p.x[i] = from(1, 14), p.w[i] = from(1, 5);
        int64_t reach = p.x[i] + 2 * p.pad[i - 2] - p.dilation[i - 2] * (p.w[i] - 1) - 1;
        p.y[i] = reach < 0 ? 1 : reach / p.stride[i - 2] + 1;
    }
    int64_t *spoiled[] = {&p.x[0], &p.y[0],   &p.w[0],      &p.y[1],        &p.y[2],     &p.y[3],
                          &p.x[2], &p.pad[0], &p.stride[0], &p.dilation[1], &p.alignment};
    int64_t what = from(0, 30);
    if (what < (int64_t)(sizeof spoiled / sizeof *spoiled))
        *spoiled[what] += from(-2, 2);
    else if (what < 15)
        p.missing = (int)from(0, 3);
    p.after[0] = p.pad[0];
    return p;
}

static int make(const library *l, cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *d) {
    return l->create(type, d);
}

/* The kind of error of a tensor: 0 accepted. */
static int tensor(const library *l, const problem *p, int64_t uid, const int64_t dim[4],
                  cudnnBackendDescriptor_t *d) {
    const int64_t strides[4] = {dim[1] * dim[2] * dim[3], dim[2] * dim[3], dim[3], 1};
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    int status = make(l, CUDNN_BACKEND_TENSOR_DESCRIPTOR, d);
    if (!status && p->missing != 0)
        status = l->set(*d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    if (!status && p->missing != 1)
        status = l->set(*d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dim);
    if (!status && p->missing != 2)
        status = l->set(*d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    if (!status && p->missing != 3)
        status = l->set(*d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    if (!status)
        status = l->set(*d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &p->alignment);
    return (status ? status : (int)l->finalize(*d)) / 1000;
}

static int convolution(const library *l, const problem *p, cudnnBackendDescriptor_t *d) {
    const int64_t dims = 2;
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const struct {
        cudnnBackendAttributeName_t name;
        cudnnBackendAttributeType_t type;
        int64_t n;
        const void *value;
    } all[] = {
        {CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &dims},
        {CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type},
        {CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode},
        {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, p->pad},
        {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, p->after},
        {CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, p->dilation},
        {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, p->stride},
    };
    int status = make(l, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, d);
    for (size_t i = 0; i < sizeof all / sizeof *all && !status; i++)
        status = l->set(*d, all[i].name, all[i].type, all[i].n, all[i].value);
    return (status ? status : (int)l->finalize(*d)) / 1000;
}

static int operation(const library *l, const problem *p, const cudnnBackendDescriptor_t parts[4],
                     cudnnBackendDescriptor_t *d) {
    static const cudnnBackendDescriptorType_t types[] = {
        CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
        CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
        CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR};
    static const cudnnBackendAttributeName_t names[3][6] = {
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};
    const float one = 1, zero = 0;
    int status = make(l, types[p->pass], d);
    for (int i = 0; i < 4 && !status; i++)
        status = l->set(*d, names[p->pass][i], CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &parts[i]);
    if (!status)
        status = l->set(*d, names[p->pass][4], CUDNN_TYPE_FLOAT, 1, &one);
    if (!status)
        status = l->set(*d, names[p->pass][5], CUDNN_TYPE_FLOAT, 1, &zero);
    return (status ? status : (int)l->finalize(*d)) / 1000;
}

/* The kinds of error of the three tensors, the convolution and the operation; -1: not asked. */
static void try(const library *l, const problem *p, int kinds[CALLS]) {
    cudnnBackendDescriptor_t d[CALLS] = {0};
    kinds[0] = tensor(l, p, 1, p->x, &d[0]);
    kinds[1] = tensor(l, p, 2, p->w, &d[1]);
    kinds[2] = tensor(l, p, 3, p->y, &d[2]);
    kinds[3] = convolution(l, p, &d[3]);
    kinds[4] = -1;
    if (!kinds[0] && !kinds[1] && !kinds[2] && !kinds[3])
        kinds[4] = operation(l, p, d, &d[4]);
    for (int i = 0; i < CALLS; i++)
        if (d[i])
            l->destroy(d[i]);
}

static void show(const problem *p, int call, int real, int sim) {
    printf("call %d: cuDNN says %d, the double %d: pass %d x %d %d %d %d w %d %d %d %d y %d %d %d "
           "%d pad %d %d stride %d %d dilation %d %d alignment %d missing %d\n",
           call, real, sim, p->pass, (int)p->x[0], (int)p->x[1], (int)p->x[2], (int)p->x[3],
           (int)p->w[0], (int)p->w[1], (int)p->w[2], (int)p->w[3], (int)p->y[0], (int)p->y[1],
           (int)p->y[2], (int)p->y[3], (int)p->pad[0], (int)p->pad[1], (int)p->stride[0],
           (int)p->stride[1], (int)p->dilation[0], (int)p->dilation[1], (int)p->alignment,
           p->missing);
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    library real = load(argv[1]), sim = load(argv[2]);
    int differ = 0, accepted = 0, refused = 0, left_out = 0;
    for (int i = 0; i < CASES; i++) {
        problem p = invent();
        int a[CALLS], b[CALLS];
        try(&real, &p, a);
        try(&sim, &p, b);
        for (int k = 0; k < CALLS; k++) {
            if (b[k] == NOT_SUPPORTED || b[k] < 0 || a[k] < 0) {
                left_out++;
            } else if (a[k] != b[k]) {
                if (differ++ < 8)
                    show(&p, k, a[k], b[k]);
            } else {
                *(a[k] ? &refused : &accepted) += 1;
            }
        }
    }
    printf("%d accepted by both, %d refused by both, %d not compared, %d differ\n", accepted,
           refused, left_out, differ);
    return differ > 0 || accepted < CASES || refused < CASES / 20;
}
