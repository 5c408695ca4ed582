/* launch/onnx.c - a network as ONNX: its layers as nodes, its parameters as initializers.
 *
 * A file is one message of Protocol Buffers; the numbers of its fields are those of onnx.proto3
 * (github.com/onnx/onnx). A message inside another is written on its own and then put in by length.
 * The graph takes float pixels 0..1, [N][channels][height][width] for any N, normalises them as
 * training did, and gives logits [N][classes]. Dropout does nothing there and has no node. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "dtrain_version.h"
#include "launch/export.h"

enum { IR_VERSION = 8, OPSET = 13 };                     /* of ONNX 1.8, 2020 */
enum { VARINT = 0, BYTES = 2 };                          /* wire types */
enum { ELEMENT_FLOAT = 1, KIND_INT = 2, KIND_INTS = 7 }; /* of TensorProto, AttributeProto */

typedef struct {
    uint8_t *data;
    size_t n, capacity;
    bool failed; /* no memory; checked once, at the end */
} message;

/* --- the wire --- */

static void put(message *m, const void *bytes, size_t n) {
    if (m->failed || n == 0)
        return;
    if (m->n + n > m->capacity) {
        size_t capacity = 2 * m->capacity > m->n + n ? 2 * m->capacity : m->n + n + 64;
        uint8_t *more = realloc(m->data, capacity);
        if (!more) {
            m->failed = true;
            return;
        }
        m->data = more;
        m->capacity = capacity;
    }
    memcpy(m->data + m->n, bytes, n);
    m->n += n;
}

static void put_varint(message *m, uint64_t value) {
    uint8_t bytes[10];
    size_t n = 0;
    for (; value >= 128; value >>= 7)
        bytes[n++] = (uint8_t)(value | 128);
    bytes[n++] = (uint8_t)value;
    put(m, bytes, n);
}

static void put_int(message *m, unsigned field, int64_t value) {
    put_varint(m, field << 3 | VARINT);
    put_varint(m, (uint64_t)value);
}

static void put_bytes(message *m, unsigned field, const void *bytes, size_t n) {
    put_varint(m, field << 3 | BYTES);
    put_varint(m, n);
    put(m, bytes, n);
}

static void put_text(message *m, unsigned field, const char *text) {
    put_bytes(m, field, text, strlen(text));
}

/* part is written into m, and freed. */
static void put_message(message *m, unsigned field, message *part) {
    put_bytes(m, field, part->data, part->n);
    m->failed |= part->failed;
    free(part->data);
    *part = (message){0};
}

/* --- parts of a graph --- */

enum { NODE_INPUT = 1, NODE_OUTPUT, NODE_NAME, NODE_OP, NODE_ATTRIBUTE };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };

static void put_tensor(message *graph, const char *name, const int64_t *dims, int n_dims,
                       const float *values, size_t n) {
    message t = {0};
    for (int i = 0; i < n_dims; i++)
        put_int(&t, 1, dims[i]);
    put_int(&t, 2, ELEMENT_FLOAT);
    put_text(&t, 8, name);
    put_bytes(&t, 9, values, n * sizeof *values);
    put_message(graph, GRAPH_INITIALIZER, &t);
}

/* dims: [N][the rest]. */
static void put_value(message *graph, unsigned field, const char *name, const int64_t *rest,
                      int n_rest) {
    message value = {0}, type = {0}, tensor = {0}, shape = {0}, dim = {0};
    put_text(&dim, 2, "N");
    put_message(&shape, 1, &dim);
    for (int i = 0; i < n_rest; i++) {
        put_int(&dim, 1, rest[i]);
        put_message(&shape, 1, &dim);
    }
    put_int(&tensor, 1, ELEMENT_FLOAT);
    put_message(&tensor, 2, &shape);
    put_message(&type, 1, &tensor);
    put_text(&value, 1, name);
    put_message(&value, 2, &type);
    put_message(graph, field, &value);
}

static void put_attribute(message *node, const char *name, const int64_t *values, int n) {
    message a = {0};
    put_text(&a, 1, name);
    for (int i = 0; i < (n ? n : 1); i++)
        put_int(&a, n ? 8 : 3, values[i]);
    put_int(&a, 20, n ? KIND_INTS : KIND_INT);
    put_message(node, NODE_ATTRIBUTE, &a);
}

/* One number, where ONNX wants one. */
static void put_number(message *node, const char *name, int64_t value) {
    put_attribute(node, name, &value, 0);
}

/* The graph as it grows: each node takes what the one before gave. */
typedef struct {
    message graph;
    char last[32]; /* name of the tensor that the next node takes */
    bool is_flat;
} writer;

/* Begins a node of this op and name; its output is the last tensor from now on. */
static message begin_node(writer *w, const char *op, const char *name) {
    message node = {0};
    put_text(&node, NODE_INPUT, w->last);
    put_text(&node, NODE_NAME, name);
    put_text(&node, NODE_OP, op);
    snprintf(w->last, sizeof w->last, "%s", name);
    return node;
}

static void end_node(writer *w, message *node) {
    put_text(node, NODE_OUTPUT, w->last);
    put_message(&w->graph, GRAPH_NODE, node);
}

static void put_window(message *node, const dt_layer *l) {
    put_attribute(node, "kernel_shape", (int64_t[]){l->kernel, l->kernel}, 2);
    put_attribute(node, "strides", (int64_t[]){l->stride, l->stride}, 2);
    put_attribute(node, "pads", (int64_t[]){l->pad, l->pad, l->pad, l->pad}, 4);
}

/* Names of a layer's weight and bias as inputs of its node, which go behind the first. */
static void put_parameters(message *node, const dt_layer *l) {
    char name[32];
    snprintf(name, sizeof name, "%s.weight", l->name);
    put_text(node, NODE_INPUT, name);
    snprintf(name, sizeof name, "%s.bias", l->name);
    put_text(node, NODE_INPUT, name);
}

/* One more input, a single number that is stored with the graph. */
static void put_scalar_node(writer *w, const char *op, const char *name, const char *constant,
                            double value) {
    message node = begin_node(w, op, name);
    put_text(&node, NODE_INPUT, constant);
    end_node(w, &node);
    put_tensor(&w->graph, constant, NULL, 0, (float[]){(float)value}, 1);
}

static void put_flatten(writer *w, const dt_layer *l) {
    char name[32];
    if (w->is_flat)
        return;
    snprintf(name, sizeof name, "flatten_%s", l->name);
    message node = begin_node(w, "Flatten", name);
    put_number(&node, "axis", 1);
    end_node(w, &node);
    w->is_flat = true;
}

static void put_layer(writer *w, const dt_layer *l, const char *output) {
    message node = {0};
    switch (l->kind) {
    case DT_CONV:
        node = begin_node(w, "Conv", output);
        put_parameters(&node, l);
        put_window(&node, l);
        break;
    case DT_POOL:
        node = begin_node(w, l->average ? "AveragePool" : "MaxPool", output);
        put_window(&node, l);
        if (l->average)
            put_number(&node, "count_include_pad", 1);
        break;
    case DT_RELU:
        node = begin_node(w, "Relu", output);
        break;
    case DT_DROPOUT:
        return;
    case DT_FC:
        put_flatten(w, l);
        node = begin_node(w, "Gemm", output);
        put_parameters(&node, l);
        put_number(&node, "transB", 1);
        break;
    }
    end_node(w, &node);
}

static void put_graph(writer *w, const dt_checkpoint *c, const dt_net *net) {
    snprintf(w->last, sizeof w->last, "pixels");
    put_text(&w->graph, GRAPH_NAME, "dtrain");
    put_value(&w->graph, GRAPH_INPUT, "pixels", (int64_t[]){net->in.c, net->in.h, net->in.w}, 3);
    put_scalar_node(w, "Sub", "centred", "mean", c->mean);
    put_scalar_node(w, "Div", "normalised", "std", c->std);
    for (int i = 0; i < net->n_layers; i++)
        put_layer(w, &net->layers[i], i + 1 < net->n_layers ? net->layers[i].name : "logits");
    put_value(&w->graph, GRAPH_OUTPUT, "logits", (int64_t[]){net->classes}, 1);
    for (int i = 0; i < c->n_tensors; i++) {
        const dt_tensor *t = &c->tensors[i];
        char name[sizeof t->name];
        memcpy(name, t->name, sizeof name);
        *strchr(name, '/') = '.';
        put_tensor(&w->graph, name, t->dims, t->n_dims, c->params + t->at, t->n);
    }
}

static void put_property(message *model, const char *key, const char *value) {
    message entry = {0};
    put_text(&entry, 1, key);
    put_text(&entry, 2, value);
    put_message(model, 14, &entry);
}

dt_status dt_onnx(const dt_infer *infer, void **bytes, size_t *nbytes) {
    message model = {0}, opset = {0};
    writer w = {0};
    const dt_checkpoint *c = infer->checkpoint;
    put_graph(&w, c, infer->net);
    put_int(&model, 1, IR_VERSION);
    put_text(&model, 2, "dtrain");
    put_text(&model, 3, DTRAIN_VERSION);
    put_text(&model, 6,
             "Takes float pixels 0..1, 0 = background, [N][channels][height][width]; "
             "gives logits [N][classes].");
    put_message(&model, 7, &w.graph);
    put_text(&opset, 1, "");
    put_int(&opset, 2, OPSET);
    put_message(&model, 8, &opset);
    put_property(&model, "model", c->model);
    put_property(&model, "params_sha256", c->params_sha256);
    *bytes = model.failed ? NULL : model.data;
    *nbytes = model.failed ? 0 : model.n;
    if (!model.failed)
        return DT_OK;
    free(model.data);
    return dt_fail(DT_EDEVICE, "no memory for %zu parameters", c->n_params);
}
