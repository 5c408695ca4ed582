/* launch/features.c - `dtrain features`: sheets of activation maps, filters and saliency.
 *
 * A sheet has a title, maps in rows with their numbers, and the scale of its colours. All maps of a
 * sheet share the scale, so that a map that does little looks like it. Values of both signs are
 * blue and brown around white; those of layers that give none below 0 go from dark to light. */
#include "launch/features.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "launch/canvas.h"
#include "launch/predict.h"
#include "launch/term.h"

enum {
    MARGIN = 20,
    GAP = 12,
    TITLE = 3, /* scales of the font */
    LABEL = 2,
    TITLE_ROOM = 34,
    LABEL_ROOM = 20,
    SCALE_ROOM = 56, /* the bar of colours and its numbers */
    SCALE_WIDTH = 240,
    MAP_SIDE = 64,  /* pixels, at least */
    UNIT_SIDE = 26, /* of a single value */
    MOST_MAPS = 256
};

typedef struct {
    const char *title;
    const float *values; /* [n][height][width] */
    int n, height, width;
    bool is_signed;
    float range; /* of the colours */
} maps;

static float largest_of(const float *values, size_t n, bool *is_signed) {
    float most = 0;
    *is_signed = false;
    for (size_t i = 0; i < n; i++) {
        most = fmaxf(most, fabsf(values[i]));
        *is_signed |= values[i] < 0;
    }
    return most > 0 ? most : 1;
}

static dt_palette palette_of(const maps *m) {
    return m->is_signed ? DT_PALETTE_SIGNED : DT_PALETTE_HEAT;
}

/* The bar of colours at the foot of a sheet. */
static void draw_scale(dt_image *sheet, const maps *m, int y) {
    char text[32];
    int x = MARGIN, low = m->is_signed ? -1 : 0;
    for (int i = 0; i < SCALE_WIDTH; i++) {
        float t = ((float)i + 0.5f) / SCALE_WIDTH;
        dt_canvas_box(sheet, x + i, y, 1, 14,
                      dt_canvas_colour(palette_of(m), (float)low + t * (float)(1 - low)));
    }
    snprintf(text, sizeof text, "%.3g", low * (double)m->range);
    dt_canvas_text(sheet, x, y + 20, LABEL, DT_FAINT, text);
    if (m->is_signed)
        dt_canvas_text(sheet, x + SCALE_WIDTH / 2 - 5, y + 20, LABEL, DT_FAINT, "0");
    snprintf(text, sizeof text, "%.3g", (double)m->range);
    dt_canvas_text(sheet, x + SCALE_WIDTH - dt_canvas_text_width(LABEL, text), y + 20, LABEL,
                   DT_FAINT, text);
}

static int larger(int a, int b) {
    return a > b ? a : b;
}

/* A title, n maps in rows, the scale. */
static dt_status draw_maps(const maps *m, dt_image *sheet) {
    int shown = m->n < MOST_MAPS ? m->n : MOST_MAPS;
    bool single = m->height * m->width == 1;
    int zoom = single ? UNIT_SIDE : larger(1, MAP_SIDE / larger(m->width, m->height));
    int columns = single ? 16 : larger(1, (int)ceil(sqrt(shown * 1.6)));
    columns = columns < shown ? columns : shown;
    int width = larger(m->width * zoom, dt_canvas_text_width(LABEL, "000")) + GAP;
    int height = m->height * zoom + LABEL_ROOM + GAP;
    int rows = (shown + columns - 1) / columns, top = MARGIN + TITLE_ROOM;
    int least = larger(SCALE_WIDTH, dt_canvas_text_width(TITLE, m->title));
    DT_TRY(dt_canvas_open(larger(columns * width, least) + 2 * MARGIN,
                          top + rows * height + SCALE_ROOM, sheet));
    dt_canvas_text(sheet, MARGIN, MARGIN, TITLE, DT_INK, m->title);
    for (int i = 0; i < shown; i++) {
        char number[16];
        int x = MARGIN + i % columns * width, y = top + i / columns * height;
        dt_canvas_map(sheet, x, y, zoom, m->values + (size_t)i * (size_t)(m->height * m->width),
                      m->height, m->width, m->range, palette_of(m));
        snprintf(number, sizeof number, "%d", i);
        dt_canvas_text(sheet, x, y + m->height * zoom + 3, LABEL, DT_FAINT, number);
    }
    draw_scale(sheet, m, top + rows * height);
    return DT_OK;
}

/* The logits: a bar for each class, from the line of 0. */
static dt_status draw_logits(const dt_infer *infer, const float *logits, dt_image *sheet) {
    enum { ROW = 26, SIDE = 180, LEFT = 48, NUMBER = 90 };
    int n = infer->net->classes < MOST_MAPS ? infer->net->classes : MOST_MAPS;
    bool is_signed;
    float range = largest_of(logits, (size_t)n, &is_signed);
    dt_verdict v;
    dt_infer_judge(logits, infer->net->classes, NULL, &v);
    DT_TRY(dt_canvas_open(2 * (MARGIN + SIDE) + LEFT + NUMBER,
                          MARGIN + TITLE_ROOM + n * ROW + MARGIN, sheet));
    dt_canvas_text(sheet, MARGIN, MARGIN, TITLE, DT_INK, "logits");
    int zero = MARGIN + LEFT + (is_signed ? SIDE : 0);
    for (int i = 0; i < n; i++) {
        char text[32];
        int y = MARGIN + TITLE_ROOM + i * ROW, bar = (int)lrintf(SIDE * logits[i] / range);
        uint32_t colour = i == v.first ? DT_ACCENT : DT_RULE;
        snprintf(text, sizeof text, "%d", i);
        dt_canvas_text(sheet, MARGIN, y + 1, LABEL, DT_INK, text);
        dt_canvas_box(sheet, bar < 0 ? zero + bar : zero, y, abs(bar), ROW - 8, colour);
        snprintf(text, sizeof text, "%.2f", (double)logits[i]);
        dt_canvas_text(sheet, zero + (bar > 0 ? bar : 0) + 8, y + 1, LABEL,
                       i == v.first ? DT_INK : DT_FAINT, text);
    }
    dt_canvas_box(sheet, zero, MARGIN + TITLE_ROOM - 4, 1, n * ROW, DT_FAINT);
    return DT_OK;
}

dt_status dt_features_layer(const dt_infer *infer, const float *const *acts, int layer,
                            dt_image *sheet) {
    const dt_layer *l = &infer->net->layers[layer];
    char title[96];
    if (layer == infer->net->n_layers - 1)
        return draw_logits(infer, acts[layer + 1], sheet);
    maps m = {.title = title, .values = acts[layer + 1]};
    m.n = l->out.c;
    m.height = l->out.h;
    m.width = l->out.w;
    m.range = largest_of(m.values, dt_shape_size(l->out), &m.is_signed);
    if (m.height * m.width == 1)
        snprintf(title, sizeof title, "%s: %d values", l->name, m.n);
    else
        snprintf(title, sizeof title, "%s: %d maps of %d x %d", l->name, m.n, m.height, m.width);
    if (m.n > MOST_MAPS)
        snprintf(title + strlen(title), sizeof title - strlen(title), ", %d shown", MOST_MAPS);
    return draw_maps(&m, sheet);
}

dt_status dt_features_filters(const dt_infer *infer, dt_image *sheet) {
    const dt_layer *l = &infer->net->layers[0];
    char title[96];
    *sheet = (dt_image){0};
    if (l->kind != DT_CONV)
        return DT_OK;
    maps m = {.title = title, .values = infer->checkpoint->params + l->w_at};
    m.n = l->out.c * l->in.c;
    m.height = m.width = l->kernel;
    m.range = largest_of(m.values, l->n_w, &m.is_signed);
    snprintf(title, sizeof title, "%s: %d filters of %d x %d", l->name, m.n, l->kernel, l->kernel);
    return draw_maps(&m, sheet);
}

/* --- saliency --- */

/* The gradient's size in colours over a pale picture. */
static void draw_both(dt_image *sheet, int x, int y, int zoom, const uint8_t *image,
                      const float *gradient, int height, int width, float range) {
    for (int i = 0; i < height * width; i++) {
        float t = fabsf(gradient[i]) / range, ink = (float)image[i] / 255;
        uint32_t heat = dt_canvas_colour(DT_PALETTE_HEAT, t), colour = 0;
        for (int shift = 0; shift <= 16; shift += 8) {
            float grey = 40 + 150 * ink, hot = (float)(heat >> shift & 255);
            colour |= (uint32_t)lrintf(grey + fminf(1, 1.4f * t) * (hot - grey)) << shift;
        }
        dt_canvas_box(sheet, x + i % width * zoom, y + i / width * zoom, zoom, zoom, colour);
    }
}

static dt_status draw_saliency(const dt_infer *infer, const uint8_t *image, const float *logits,
                               const float *gradient, float *pixels, dt_image *sheet) {
    int height = infer->net->in.h, width = infer->net->in.w;
    int zoom = larger(1, 280 / larger(width, height)), side = width * zoom + 2 * GAP,
        top = MARGIN + TITLE_ROOM;
    char title[96];
    maps m = {.is_signed = true};
    bool is_signed;
    dt_verdict v;
    dt_infer_judge(logits, infer->net->classes, NULL, &v);
    m.range = largest_of(gradient, dt_shape_size(infer->net->in), &is_signed);
    for (int i = 0; i < height * width; i++)
        pixels[i] = image[i];
    DT_TRY(dt_canvas_open(2 * MARGIN + 3 * side,
                          top + height * zoom + LABEL_ROOM + SCALE_ROOM + GAP, sheet));
    snprintf(title, sizeof title, "what speaks for %d (%.1f %%)", v.first, 100 * v.p_first);
    dt_canvas_text(sheet, MARGIN, MARGIN, TITLE, DT_INK, title);
    dt_canvas_map(sheet, MARGIN, top, zoom, pixels, height, width, 255, DT_PALETTE_GREY);
    dt_canvas_map(sheet, MARGIN + side, top, zoom, gradient, height, width, m.range,
                  DT_PALETTE_SIGNED);
    draw_both(sheet, MARGIN + 2 * side, top, zoom, image, gradient, height, width, m.range);
    int y = top + height * zoom + 5;
    dt_canvas_text(sheet, MARGIN, y, LABEL, DT_FAINT, "the picture");
    dt_canvas_text(sheet, MARGIN + side, y, LABEL, DT_FAINT, "more light there helps");
    dt_canvas_text(sheet, MARGIN + 2 * side, y, LABEL, DT_FAINT, "where it matters");
    draw_scale(sheet, &m, y + LABEL_ROOM + 8);
    return DT_OK;
}

dt_status dt_features_saliency(dt_infer *infer, const uint8_t *image, const float *const *acts,
                               dt_image *sheet) {
    const float *logits = acts[infer->net->n_layers];
    size_t n = dt_shape_size(infer->net->in);
    float *gradient = malloc(2 * n * sizeof *gradient);
    dt_verdict v;
    *sheet = (dt_image){0};
    if (!gradient)
        return dt_fail(DT_EDEVICE, "no memory for a gradient");
    dt_infer_judge(logits, infer->net->classes, NULL, &v);
    dt_status status = dt_infer_saliency(infer, v.first, gradient);
    if (status == DT_OK)
        status = draw_saliency(infer, image, logits, gradient, gradient + n, sheet);
    free(gradient);
    return status;
}

/* --- all sheets --- */

/* Writes the sheet as dir/name and frees it; one without pixels is none. */
static dt_status save(const dt_options *options, const char *name, dt_image *sheet) {
    const char *dir = options->report[0] ? options->report : "features";
    char path[DT_PATH_MAX];
    void *bytes = NULL;
    size_t nbytes;
    if (!sheet->pixels)
        return DT_OK;
    dt_status status = dt_path_join(path, dir, name);
    if (status == DT_OK)
        status = dt_image_png(sheet, &bytes, &nbytes);
    dt_image_free(sheet);
    if (status == DT_OK)
        status = dt_file_write(path, bytes, nbytes);
    free(bytes);
    if (status == DT_OK && !options->quiet)
        printf("%s\n", path);
    return status;
}

static dt_status draw_all(const dt_options *options, dt_infer *infer, const uint8_t *image) {
    const float *const *acts;
    dt_image sheet;
    char name[64];
    DT_TRY(dt_infer_look(infer, image, &acts));
    DT_TRY(dt_features_saliency(infer, image, acts, &sheet));
    DT_TRY(save(options, "saliency.png", &sheet));
    DT_TRY(dt_features_filters(infer, &sheet));
    DT_TRY(save(options, "filters.png", &sheet));
    for (int i = 0; i < infer->net->n_layers; i++) {
        snprintf(name, sizeof name, "%02d-%s.png", i + 1, infer->net->layers[i].name);
        DT_TRY(dt_features_layer(infer, acts, i, &sheet));
        DT_TRY(save(options, name, &sheet));
    }
    return dt_stdout_flush();
}

dt_status dt_features(const dt_options *options, dt_comm *comm) {
    dt_infer infer;
    dt_digit found;
    uint8_t image[DT_DIGIT_BYTES];
    DT_TRY(dt_alone("features", comm));
    DT_TRY(dt_infer_open(options->checkpoint, options->last, &infer));
    dt_status status = dt_predict_load(&infer, options->subjects, image, &found);
    if (status == DT_OK)
        status = dt_mkdirs(options->report[0] ? options->report : "features");
    if (status == DT_OK)
        status = draw_all(options, &infer, image);
    dt_infer_close(&infer);
    return status;
}
