/* model/net.c - from words to a network whose every shape, offset and cost is known.
 *
 * One pass over the text: read a word, read the numbers that belong to it, infer the output shape,
 * give the layer its slice of the flat parameter array. A parser that stops at the first thing that
 * cannot be knows where it stands, so every message ends with the spec and a caret under that word.
 *
 * What it does not do: it allocates no tensors and knows no device. */
#include "model/net.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/rng.h"

enum {
    MAX_CHANNELS = 65536,
    MAX_WINDOW = 1024,    /* kernel, stride */
    MAX_TENSOR = 1 << 28, /* values of one image between two layers */
    MAX_PARAMS = INT_MAX, /* all libraries count elements in an int */
    MAX_LAYERS = 999,     /* "dropout999" fits a name */
    SHOWN_BEFORE = 56,    /* of a long spec, what a message shows around the caret */
    SHOWN_AFTER = 32
};

const dt_net_preset dt_net_presets[] = {
    {"cnn", "conv 32 3; relu; pool 2; conv 64 3; relu; pool 2; fc 128; relu; fc 10",
     "two convolutions, the default"},
    {"fast", "conv 24 5 pad 0; pool 2; relu; conv 32 3 pad 0; pool 2; relu; fc 256; relu; fc 10",
     "reaches 99 % of MNIST in one epoch"},
    {"lenet5",
     "conv 6 5; relu; pool 2; conv 16 5 pad 0; relu; pool 2; fc 120; relu; fc 84; relu; "
     "fc 10",
     "after LeCun et al. 1998, with ReLU and max pooling"},
    {"mlp", "fc 256; relu; fc 10", "one hidden layer, no convolution"},
    {NULL, NULL, NULL}};

typedef struct {
    const char *text; /* the whole spec */
    const char *word; /* current word, not terminated; at a separator or the end: n_word == 0 */
    size_t n_word;
    const char *layer; /* first word of the current layer: where shape errors point */
} parser;

size_t dt_shape_size(dt_shape shape) {
    return (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
}

/* Fail with the sentence, the spec around at, and a caret below at. A byte is a column: what is not
 * printable ASCII is shown as something that is. */
static dt_status fail_at(const parser *p, const char *at, const char *format, ...) DT_PRINTF(3, 4);
static dt_status fail_at(const parser *p, const char *at, const char *format, ...) {
    char reason[256], shown[SHOWN_BEFORE + SHOWN_AFTER + 1];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);

    size_t column = (size_t)(at - p->text);
    size_t from = column > SHOWN_BEFORE ? column - SHOWN_BEFORE : 0;
    size_t n = strnlen(p->text + from, column - from + SHOWN_AFTER);
    bool cut = p->text[from + n] != '\0';
    for (size_t i = 0; i < n; i++) {
        char c = p->text[from + i];
        shown[i] = c == '\n' ? ';' : c == '\t' || c == '\r' ? ' ' : c < ' ' || c > '~' ? '?' : c;
    }
    shown[n] = '\0';
    const char *lead = from > 0 ? "..." : "";
    return dt_fail(DT_EUSAGE, "network: %s\n  %s%s%s\n  %*s^", reason, lead, shown,
                   cut ? "..." : "", (int)(strlen(lead) + column - from), "");
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static bool is_separator(char c) {
    return c == ';' || c == '\n';
}

static void next_word(parser *p) {
    const char *s = p->word + p->n_word;
    while (is_space(*s))
        s++;
    p->word = s;
    while (*s != '\0' && !is_space(*s) && !is_separator(*s))
        s++;
    p->n_word = (size_t)(s - p->word);
}

/* To the first word of the next layer, over empty layers; false at the end of the text. */
static bool next_layer(parser *p) {
    while (p->n_word == 0 && *p->word != '\0') {
        p->word++;
        next_word(p);
    }
    p->layer = p->word;
    return p->n_word > 0;
}

static bool word_is(const parser *p, const char *name) {
    return strlen(name) == p->n_word && memcmp(p->word, name, p->n_word) == 0;
}

/* How much of the current word a message repeats. */
static int word_shown(const parser *p) {
    return p->n_word < 40 ? (int)p->n_word : 40;
}

/* The next word as a whole number of [low, high]; what names it in messages. */
static dt_status read_int(parser *p, const char *what, int low, int high, int *value) {
    next_word(p);
    if (p->n_word == 0)
        return fail_at(p, p->word, "the %s is missing here", what);
    long v = 0;
    for (size_t i = 0; i < p->n_word; i++) {
        char c = p->word[i];
        if (c < '0' || c > '9')
            return fail_at(p, p->word, "'%.*s' is not a whole number: it should be the %s",
                           word_shown(p), p->word, what);
        v = v < INT_MAX / 10 ? v * 10 + (c - '0') : INT_MAX;
    }
    if (v < low || v > high)
        return fail_at(p, p->word, "the %s must be %d to %d, not %.*s", what, low, high,
                       word_shown(p), p->word);
    *value = (int)v;
    return DT_OK;
}

static dt_status read_probability(parser *p, float *value) {
    char copy[64], *end;
    next_word(p);
    if (p->n_word == 0)
        return fail_at(p, p->word, "the probability is missing here");
    if (p->n_word >= sizeof copy)
        return fail_at(p, p->word, "this is too long for a probability");
    memcpy(copy, p->word, p->n_word);
    copy[p->n_word] = '\0';
    float v = strtof(copy, &end);
    /* strtof also takes "inf", "nan" and hexadecimal: no letters but an exponent's */
    if (*end != '\0' || strspn(copy, "0123456789.eE+-") != p->n_word)
        return fail_at(p, p->word, "'%s' is not a number: it should be the probability", copy);
    if (!(v >= 0.0f && v < 1.0f))
        return fail_at(p, p->word, "the probability must be at least 0 and below 1, not %s", copy);
    *value = v;
    return DT_OK;
}

/* The optional words of conv and pool, in any order, each once. */
static dt_status read_window_options(parser *p, dt_layer *l) {
    bool seen_stride = false, seen_pad = false, seen_kind = false;
    for (next_word(p); p->n_word > 0; next_word(p)) {
        bool *seen;
        if (word_is(p, "stride"))
            seen = &seen_stride;
        else if (word_is(p, "pad"))
            seen = &seen_pad;
        else if (l->kind == DT_POOL && (word_is(p, "max") || word_is(p, "avg")))
            seen = &seen_kind;
        else
            return fail_at(p, p->word, "'%.*s' does not belong here: %s", word_shown(p), p->word,
                           l->kind == DT_CONV ? "after conv C K may follow stride S and pad P"
                                              : "after pool K may follow max or avg, stride S and "
                                                "pad P");
        if (*seen)
            return fail_at(p, p->word, "'%.*s' says again what was said before", word_shown(p),
                           p->word);
        *seen = true;
        if (seen == &seen_kind)
            l->average = word_is(p, "avg");
        else if (seen == &seen_stride)
            DT_TRY(read_int(p, "stride", 1, MAX_WINDOW, &l->stride));
        else /* a window made of nothing but padding has no maximum: pooling stops at half */
            DT_TRY(read_int(p,
                            l->kind == DT_CONV ? "padding (below the kernel)"
                                               : "padding (up to half the window)",
                            0, l->kind == DT_CONV ? l->kernel - 1 : l->kernel / 2, &l->pad));
    }
    return DT_OK;
}

static dt_status infer_window(const parser *p, dt_layer *l) {
    int h = l->in.h + 2 * l->pad - l->kernel, w = l->in.w + 2 * l->pad - l->kernel;
    if (h < 0 || w < 0)
        return fail_at(p, p->layer,
                       "a window of %d x %d does not fit an input of %d x %d with padding %d",
                       l->kernel, l->kernel, l->in.h, l->in.w, l->pad);
    l->out.h = h / l->stride + 1;
    l->out.w = w / l->stride + 1;
    return DT_OK;
}

static dt_status read_conv(parser *p, dt_layer *l) {
    l->kind = DT_CONV;
    DT_TRY(read_int(p, "number of filters", 1, MAX_CHANNELS, &l->out.c));
    DT_TRY(read_int(p, "kernel size", 1, MAX_WINDOW, &l->kernel));
    l->stride = 1;
    l->pad = l->kernel / 2;
    DT_TRY(read_window_options(p, l));
    DT_TRY(infer_window(p, l));
    l->n_b = (size_t)l->out.c;
    l->n_w = l->n_b * (size_t)l->in.c * (size_t)l->kernel * (size_t)l->kernel;
    return DT_OK;
}

static dt_status read_pool(parser *p, dt_layer *l) {
    l->kind = DT_POOL;
    DT_TRY(read_int(p, "window size", 1, MAX_WINDOW, &l->kernel));
    l->stride = l->kernel;
    DT_TRY(read_window_options(p, l));
    l->out.c = l->in.c;
    return infer_window(p, l);
}

static dt_status read_fc(parser *p, dt_layer *l) {
    l->kind = DT_FC;
    DT_TRY(read_int(p, "number of outputs", 1, MAX_CHANNELS, &l->out.c));
    l->out.h = l->out.w = 1;
    l->n_b = (size_t)l->out.c;
    l->n_w = l->n_b * dt_shape_size(l->in);
    next_word(p);
    return DT_OK;
}

static dt_status fail_unknown(const parser *p) {
    char presets[128] = "";
    size_t n = 0;
    for (const dt_net_preset *s = dt_net_presets; s->name && n < sizeof presets; s++)
        n += (size_t)snprintf(presets + n, sizeof presets - n, "%s%s", n ? ", " : "", s->name);
    return fail_at(p, p->word,
                   "'%.*s' is no layer; layers are conv, pool, relu, dropout and fc%s%s",
                   word_shown(p), p->word, p->word == p->text ? ", whole networks " : "",
                   p->word == p->text ? presets : "");
}

/* One layer, all its words; l->in is known. */
static dt_status read_layer(parser *p, dt_layer *l) {
    if (word_is(p, "conv")) {
        DT_TRY(read_conv(p, l));
    } else if (word_is(p, "pool")) {
        DT_TRY(read_pool(p, l));
    } else if (word_is(p, "fc")) {
        DT_TRY(read_fc(p, l));
    } else if (word_is(p, "relu") || word_is(p, "dropout")) {
        l->kind = word_is(p, "relu") ? DT_RELU : DT_DROPOUT;
        l->out = l->in;
        if (l->kind == DT_DROPOUT)
            DT_TRY(read_probability(p, &l->drop));
        next_word(p);
    } else {
        return fail_unknown(p);
    }
    if (p->n_word > 0)
        return fail_at(p, p->word, "'%.*s' is one word too many; layers are separated by ';'",
                       word_shown(p), p->word);
    return DT_OK;
}

static const char *kind_name(dt_layer_kind kind) {
    static const char *const names[] = {"conv", "pool", "relu", "dropout", "fc"};
    return names[kind];
}

/* Give the layer its name and its slice of the parameters, and count its work. */
static dt_status place_layer(const parser *p, dt_net *net, dt_layer *l) {
    if (dt_shape_size(l->out) > MAX_TENSOR)
        return fail_at(p, p->layer, "an output of %d x %d x %d values is too large (limit %d)",
                       l->out.c, l->out.h, l->out.w, MAX_TENSOR);
    if (l->n_w + l->n_b > MAX_PARAMS - net->n_params)
        return fail_at(p, p->layer, "%zu parameters here and %zu before are too many (limit %d)",
                       l->n_w + l->n_b, net->n_params, MAX_PARAMS);
    int number = 1;
    for (const dt_layer *before = net->layers; before < l; before++)
        number += before->kind == l->kind;
    snprintf(l->name, sizeof l->name, "%s%d", kind_name(l->kind), number);
    if (l->n_w == 0)
        return DT_OK;

    double flop = 2.0 * (double)l->n_w * (double)l->out.h * (double)l->out.w;
    bool first = net->n_params == 0; /* nothing before it learns: no input gradient */
    net->flop_forward += flop;
    net->flop_step += first ? 2.0 * flop : 3.0 * flop;
    l->w_at = net->n_params;
    l->b_at = l->w_at + l->n_w;
    net->n_params = l->b_at + l->n_b;
    return DT_OK;
}

/* A float in the fewest digits that read back the same. */
static int print_float(char *text, size_t nbytes, float v) {
    int n = 0;
    for (int digits = 1; digits <= 9; digits++) {
        n = snprintf(text, nbytes, "%.*g", digits, (double)v);
        if (strtof(text, NULL) == v)
            break;
    }
    return n;
}

static void print_layer(char *text, size_t nbytes, const dt_layer *l) {
    size_t n = (size_t)snprintf(text, nbytes, "%s", kind_name(l->kind));
    if (l->kind == DT_CONV || l->kind == DT_FC)
        n += (size_t)snprintf(text + n, nbytes - n, " %d", l->out.c);
    if (l->kind == DT_CONV || l->kind == DT_POOL)
        n += (size_t)snprintf(text + n, nbytes - n, " %d%s", l->kernel, l->average ? " avg" : "");
    if (l->kind == DT_DROPOUT) {
        text[n++] = ' ';
        n += (size_t)print_float(text + n, nbytes - n, l->drop);
    }
    if ((l->kind == DT_CONV && l->stride != 1) || (l->kind == DT_POOL && l->stride != l->kernel))
        n += (size_t)snprintf(text + n, nbytes - n, " stride %d", l->stride);
    if ((l->kind == DT_CONV && l->pad != l->kernel / 2) || (l->kind == DT_POOL && l->pad != 0))
        snprintf(text + n, nbytes - n, " pad %d", l->pad);
}

/* The longest layer is "conv 65536 1024 stride 1024 pad 1023". */
enum { WORDS_MAX = 64 };

static dt_status print_spec(dt_net *net) {
    net->spec = malloc((size_t)net->n_layers * WORDS_MAX);
    if (!net->spec)
        return dt_fail(DT_EDEVICE, "no memory for a network of %d layers", net->n_layers);
    char *end = net->spec;
    for (int i = 0; i < net->n_layers; i++) {
        if (i > 0)
            end = stpcpy(end, "; ");
        print_layer(end, WORDS_MAX - 2, &net->layers[i]);
        end += strlen(end);
    }
    return DT_OK;
}

static dt_status parse_layers(parser *p, dt_net *net, int max) {
    dt_shape in = net->in;
    while (next_layer(p)) {
        if (net->n_layers == max)
            return fail_at(p, p->word, "more than %d layers", max);
        dt_layer *l = &net->layers[net->n_layers];
        l->in = in;
        DT_TRY(read_layer(p, l));
        DT_TRY(place_layer(p, net, l));
        in = l->out;
        net->n_layers++;
    }
    if (net->n_layers == 0)
        return fail_at(p, p->text, "no layer is given");
    if (net->layers[net->n_layers - 1].kind != DT_FC)
        return fail_at(p, p->word, "the last layer must be fc: its outputs are the classes");
    net->classes = in.c;
    return DT_OK;
}

/* At most one layer more than separators; MAX_LAYERS guards what a file may ask for. */
static int count_layers(const char *text) {
    int n = 1;
    for (; *text && n < MAX_LAYERS; text++)
        n += is_separator(*text);
    return n;
}

dt_status dt_net_parse(const char *text, dt_shape in, dt_net **out) {
    *out = NULL;
    for (const dt_net_preset *s = dt_net_presets; s->name; s++)
        if (strcmp(text, s->name) == 0)
            text = s->spec;
    if (in.c < 1 || in.h < 1 || in.w < 1 || in.c > MAX_CHANNELS || in.h > MAX_CHANNELS ||
        in.w > MAX_CHANNELS || dt_shape_size(in) > MAX_TENSOR)
        return dt_fail(DT_EUSAGE, "network: no input can be %d x %d x %d values", in.c, in.h, in.w);

    parser p = {.text = text, .word = text};
    int max = count_layers(text);
    dt_status status = DT_OK;
    dt_net *net = calloc(1, sizeof *net);
    if (net)
        net->layers = calloc((size_t)max, sizeof *net->layers);
    if (!net || !net->layers) {
        status = dt_fail(DT_EDEVICE, "no memory for a network of %d layers", max);
        goto fail;
    }
    net->in = in;
    next_word(&p);
    DT_TRY_GOTO(status, parse_layers(&p, net, max), fail);
    DT_TRY_GOTO(status, print_spec(net), fail);
    *out = net;
    return DT_OK;
fail:
    dt_net_free(&net);
    return status;
}

void dt_net_free(dt_net **net) {
    if (!net || !*net)
        return;
    free((*net)->layers);
    free((*net)->spec);
    free(*net);
    *net = NULL;
}

/* Does a ReLU follow, with nothing but pooling and dropout between? */
static bool feeds_relu(const dt_net *net, int layer) {
    for (int i = layer + 1; i < net->n_layers; i++)
        if (net->layers[i].kind != DT_POOL && net->layers[i].kind != DT_DROPOUT)
            return net->layers[i].kind == DT_RELU;
    return false;
}

/* A standard normal value from two uniform ones (Box & Muller 1958). */
static double normal(const uint32_t bits[4]) {
    const double two_pi = 6.283185307179586;
    return sqrt(-2.0 * log((double)dt_uniform(bits[0]))) *
           cos(two_pi * (double)dt_uniform(bits[1]));
}

void dt_net_init(const dt_net *net, uint64_t seed, float *params) {
    for (int i = 0; i < net->n_layers; i++) {
        const dt_layer *l = &net->layers[i];
        if (l->n_w == 0)
            continue;
        double window = l->kind == DT_CONV ? (double)l->kernel * l->kernel : 1.0;
        double fan_in = (double)l->n_w / l->out.c, fan_out = l->out.c * window;
        double he = sqrt(2.0 / fan_in), glorot = sqrt(6.0 / (fan_in + fan_out));
        bool relu = feeds_relu(net, i);
        for (size_t j = l->w_at; j < l->w_at + l->n_w; j++) {
            uint32_t bits[4];
            dt_random(seed, DT_RNG_INIT, 0, j, bits);
            params[j] = (float)(relu ? he * normal(bits)
                                     : glorot * (2.0 * (double)dt_uniform(bits[0]) - 1.0));
        }
        memset(params + l->b_at, 0, l->n_b * sizeof *params);
    }
}
