/* The layer language: presets, shapes, costs, normal form, errors with carets, initial values. */
#include "model/net.h"
#include "tests/t.h"

static const dt_shape mnist = {1, 28, 28};

static dt_net *parse(const char *text) {
    dt_net *net = NULL;
    T_OK(dt_net_parse(text, mnist, &net));
    if (!net)
        exit(t_finish());
    return net;
}

static void test_presets(void) {
    static const struct {
        const char *name;
        size_t n_params;
        double flop_step;
    } want[] = {{"cnn", 421642, 24995328.0},
                {"fast", 215194, 0},
                {"lenet5", 61706, 0},
                {"mlp", 203530, 4.0 * 784 * 256 + 6.0 * 2560}};
    int n = 0;
    for (const dt_net_preset *p = dt_net_presets; p->name; p++, n++) {
        dt_net *net = parse(p->name);
        T_CHECK(strcmp(p->name, want[n].name) == 0);
        T_CHECK(net->n_params == want[n].n_params);
        T_CHECK(net->classes == 10);
        T_CHECK(want[n].flop_step == 0 || net->flop_step == want[n].flop_step);
        T_CHECK(strcmp(net->spec, p->spec) == 0); /* presets are written in normal form */
        dt_net_free(&net);
        T_CHECK(net == NULL);
    }
    T_CHECK(n == 4);
}

static void test_shapes(void) {
    dt_net *net = parse("conv 8 5 stride 2 pad 1\n pool 3 avg stride 2 pad 1\n\nrelu;dropout 0.25;"
                        "conv 4 2;fc 3;");
    const dt_layer *l = net->layers;
    T_CHECK(net->n_layers == 6);
    T_CHECK(l[0].out.c == 8 && l[0].out.h == 13 && l[0].out.w == 13); /* (28 + 2 - 5) / 2 + 1 */
    T_CHECK(l[0].n_w == 200 && l[0].n_b == 8 && l[0].w_at == 0 && l[0].b_at == 200);
    T_CHECK(l[1].out.c == 8 && l[1].out.h == 7 && l[1].average); /* (13 + 2 - 3) / 2 + 1 */
    T_CHECK(l[3].drop == 0.25f && l[3].out.h == 7);
    T_CHECK(l[4].pad == 1 && l[4].out.h == 8 && l[4].w_at == 208); /* even kernels grow the map */
    T_CHECK(l[5].in.c == 4 && l[5].n_w == 3u * 4 * 8 * 8 && l[5].out.h == 1);
    T_CHECK(strcmp(l[0].name, "conv1") == 0 && strcmp(l[4].name, "conv2") == 0);
    T_CHECK(strcmp(l[3].name, "dropout1") == 0 && strcmp(l[5].name, "fc1") == 0);
    T_CHECK(net->n_params == l[5].b_at + 3);
    T_CHECK(strcmp(net->spec, "conv 8 5 stride 2 pad 1; pool 3 avg stride 2 pad 1; relu; "
                              "dropout 0.25; conv 4 2; fc 3") == 0);
    dt_net_free(&net);
}

/* The normal form parses to the same network, options in any order. */
static void test_normal_form(void) {
    static const char *const texts[] = {
        "conv 3 3 pad 0 stride 3; pool 2 stride 2 max pad 0; dropout 0.1; fc 12",
        " \t conv 7 1 ;; ;relu\n;\npool 5 pad 2 avg stride 1\r\nfc 99 ",
        "dropout 1e-7;fc 65536",
        "relu; pool 28 avg; dropout .333333333; fc 2",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        dt_net *a = parse(texts[i]), *b = parse(a->spec);
        T_CHECK(strcmp(a->spec, b->spec) == 0);
        T_CHECK(a->n_layers == b->n_layers && a->n_params == b->n_params);
        T_CHECK(memcmp(a->layers, b->layers, (size_t)a->n_layers * sizeof *a->layers) == 0);
        dt_net_free(&a);
        dt_net_free(&b);
    }
}

/* text must be refused with a sentence that contains word and a caret below at. */
static void refuse(const char *text, const char *word, const char *at) {
    dt_net *net = (dt_net *)&mnist;
    T_FAILS(dt_net_parse(text, mnist, &net), DT_EUSAGE, word);
    T_CHECK(net == NULL);
    const char *caret = strrchr(dt_error(), '\n'), *shown = caret;
    if (!T_CHECK(caret != NULL))
        return;
    while (shown > dt_error() && shown[-1] != '\n')
        shown--;
    size_t column = strlen(caret + 1) - 1;
    if (!T_CHECK(strncmp(shown + column, at, strlen(at)) == 0))
        fprintf(stderr, "    %s\n", dt_error());
}

static void test_errors(void) {
    refuse("", "no layer", "");
    refuse("  ;\n ", "no layer", " ");
    refuse("cnov 3 3; fc 10", "layers are conv", "cnov");
    refuse("cnm", "cnn, fast, lenet5, mlp", "cnm");
    refuse("conv 3 3; flatten; fc 10", "no layer", "flatten");
    refuse("conv 12x 3; fc 10", "not a whole number", "12x");
    refuse("conv 3; fc 10", "kernel size is missing", ";");
    refuse("fc", "number of outputs is missing", "");
    refuse("conv 0 3; fc 10", "1 to 65536", "0 3");
    refuse("conv 99999999999999999999 3; fc 10", "1 to 65536", "9999");
    refuse("conv -1 3; fc 10", "not a whole number", "-1");
    refuse("conv 4 3 pad 3; fc 10", "padding", "3; fc");
    refuse("pool 2 pad 2; fc 10", "padding", "2; fc");
    refuse("conv 4 3 pad 1 pad 1; fc 10", "says again", "pad 1; fc");
    refuse("pool 2 avg max; fc 10", "says again", "max");
    refuse("conv 4 3 max; fc 10", "does not belong", "max");
    refuse("conv 4 3 stride 0; fc 10", "stride", "0; fc");
    refuse("relu 3; fc 10", "one word too many", "3; fc");
    refuse("fc 10 20", "one word too many", "20");
    refuse("relu; conv 4 3", "last layer must be fc", "");
    refuse("fc 10; relu", "last layer must be fc", "");
    refuse("pool 2; pool 2; pool 2; pool 2; pool 2; fc 10", "does not fit", "pool 2; fc");
    refuse("dropout 1; fc 10", "below 1", "1; fc");
    refuse("dropout 0.99999999999; fc 10", "below 1", "0.9"); /* rounds to 1 as a float */
    refuse("dropout nan; fc 10", "not a number", "nan");
    refuse("dropout 0x0p1; fc 10", "not a number", "0x0");
    refuse("dropout -0.5; fc 10", "below 1", "-0.5");
    refuse("dropout; fc 10", "missing", ";");
    refuse("conv 65536 3; conv 65536 3; fc 10", "parameters", "conv 65536 3; fc");
    refuse("conv 2 3; conv 65536 99 pad 0; fc 10", "99 x 99", "conv 65536 99");
    refuse("\xff\xfe\x80 3", "no layer", "??");
    /* long specs are cut around the caret */
    char text[4096] = "", *end = text;
    for (int i = 0; i < 200; i++)
        end = stpcpy(end, "relu; ");
    end = stpcpy(end, "boom; ");
    for (int i = 0; i < 100; i++)
        end = stpcpy(end, "relu; ");
    refuse(text, "no layer", "boom; relu");
    T_CHECK(strlen(dt_error()) < DT_ERROR_MAX - 1);
}

static void test_limits(void) {
    char text[8192] = "", *end = text;
    for (int i = 0; i < 1000; i++)
        end = stpcpy(end, "relu;");
    strcpy(end, "fc 10");
    dt_net *net;
    T_FAILS(dt_net_parse(text, mnist, &net), DT_EUSAGE, "more than 999 layers");
    T_FAILS(dt_net_parse("fc 10", (dt_shape){1, 0, 28}, &net), DT_EUSAGE, "1 x 0 x 28");
    T_FAILS(dt_net_parse("fc 10", (dt_shape){60000, 60000, 60000}, &net), DT_EUSAGE, "60000");
    T_FAILS(dt_net_parse("cnn", (dt_shape){1, 3, 3}, &net), DT_EUSAGE, "does not fit");
}

/* Mean and spread of each layer's weights, biases 0, same seed same bits, other seed others. */
static void test_init(void) {
    dt_net *net = parse("conv 32 3; pool 2; relu; fc 128; relu; fc 10");
    float *a = malloc(net->n_params * sizeof *a), *b = malloc(net->n_params * sizeof *b);
    dt_net_init(net, 7, a);
    dt_net_init(net, 7, b);
    T_CHECK(memcmp(a, b, net->n_params * sizeof *a) == 0);
    dt_net_init(net, 8, b);
    size_t same = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const dt_layer *l = &net->layers[i];
        double sum = 0, sum2 = 0, largest = 0, n = (double)l->n_w;
        for (size_t j = l->w_at; j < l->w_at + l->n_w; j++) {
            same += a[j] == b[j];
            sum += a[j];
            sum2 += (double)a[j] * a[j];
            largest = fmax(largest, fabs(a[j]));
        }
        for (size_t j = l->b_at; j < l->b_at + l->n_b; j++)
            T_CHECK(a[j] == 0.0f);
        if (l->n_w == 0)
            continue;
        double fan_in = n / l->out.c;
        double variance = i < 5 ? 2 / fan_in : 2 / (fan_in + l->out.c);
        T_NEAR(sum / n, 0, 4 * sqrt(variance / n), 0);
        T_NEAR(sum2 / n, variance, 0, 6 / sqrt(n));
        if (i == 5) /* uniform: bounded */
            T_CHECK(largest <= sqrt(3 * variance));
        else /* normal: not */
            T_CHECK(largest > 2 * sqrt(variance));
    }
    T_CHECK(same < 5);
    free(a);
    free(b);
    dt_net_free(&net);
}

int main(void) {
    T_BEGIN(60);
    test_presets();
    test_shapes();
    test_normal_form();
    test_errors();
    test_limits();
    test_init();
    return t_finish();
}
