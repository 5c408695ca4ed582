/* launch/canvas.c - drawing into a picture, with a small font of its own.
 *
 * Colours go straight from one stop to the next. Signed values have the two ends that people of all
 * kinds of colour vision tell apart. */
#include "launch/canvas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows from above, the leftmost pixel is 16; the last row is for tails. */
static const struct {
    char letter;
    uint8_t rows[DT_GLYPH_HEIGHT];
} font[] = {
    {'0', {14, 17, 19, 21, 25, 17, 14, 0}}, {'1', {4, 12, 4, 4, 4, 4, 14, 0}},
    {'2', {14, 17, 1, 6, 8, 16, 31, 0}},    {'3', {14, 17, 1, 6, 1, 17, 14, 0}},
    {'4', {2, 6, 10, 18, 31, 2, 2, 0}},     {'5', {31, 16, 30, 1, 1, 17, 14, 0}},
    {'6', {6, 8, 16, 30, 17, 17, 14, 0}},   {'7', {31, 1, 2, 4, 8, 8, 8, 0}},
    {'8', {14, 17, 17, 14, 17, 17, 14, 0}}, {'9', {14, 17, 17, 15, 1, 2, 12, 0}},
    {'a', {0, 0, 14, 1, 15, 17, 15, 0}},    {'b', {16, 16, 30, 17, 17, 17, 30, 0}},
    {'c', {0, 0, 15, 16, 16, 16, 15, 0}},   {'d', {1, 1, 15, 17, 17, 17, 15, 0}},
    {'e', {0, 0, 14, 17, 31, 16, 15, 0}},   {'f', {6, 8, 30, 8, 8, 8, 8, 0}},
    {'g', {0, 0, 15, 17, 17, 15, 1, 14}},   {'h', {16, 16, 30, 17, 17, 17, 17, 0}},
    {'i', {4, 0, 12, 4, 4, 4, 14, 0}},      {'j', {2, 0, 6, 2, 2, 2, 2, 12}},
    {'k', {16, 16, 18, 20, 24, 20, 18, 0}}, {'l', {12, 4, 4, 4, 4, 4, 14, 0}},
    {'m', {0, 0, 26, 21, 21, 21, 21, 0}},   {'n', {0, 0, 30, 17, 17, 17, 17, 0}},
    {'o', {0, 0, 14, 17, 17, 17, 14, 0}},   {'p', {0, 0, 30, 17, 17, 30, 16, 16}},
    {'q', {0, 0, 15, 17, 17, 15, 1, 1}},    {'r', {0, 0, 22, 25, 16, 16, 16, 0}},
    {'s', {0, 0, 15, 16, 14, 1, 30, 0}},    {'t', {8, 8, 30, 8, 8, 8, 6, 0}},
    {'u', {0, 0, 17, 17, 17, 17, 15, 0}},   {'v', {0, 0, 17, 17, 17, 10, 4, 0}},
    {'w', {0, 0, 21, 21, 21, 21, 10, 0}},   {'x', {0, 0, 17, 10, 4, 10, 17, 0}},
    {'y', {0, 0, 17, 17, 17, 15, 1, 14}},   {'z', {0, 0, 31, 2, 4, 8, 31, 0}},
    {'.', {0, 0, 0, 0, 0, 12, 12, 0}},      {',', {0, 0, 0, 0, 0, 12, 12, 8}},
    {':', {0, 12, 12, 0, 12, 12, 0, 0}},    {';', {0, 12, 12, 0, 12, 12, 8, 0}},
    {'-', {0, 0, 0, 30, 0, 0, 0, 0}},       {'+', {0, 0, 4, 14, 4, 0, 0, 0}},
    {'%', {25, 25, 2, 4, 8, 19, 19, 0}},    {'/', {1, 2, 2, 4, 8, 8, 16, 0}},
    {'(', {2, 4, 8, 8, 8, 4, 2, 0}},        {')', {8, 4, 2, 2, 2, 4, 8, 0}},
    {'=', {0, 0, 30, 0, 30, 0, 0, 0}},
};

dt_status dt_canvas_open(int width, int height, dt_image *out) {
    *out = (dt_image){.width = width, .height = height, .channels = 3};
    out->pixels = malloc((size_t)width * (size_t)height * 3);
    if (!out->pixels)
        return dt_fail(DT_EDEVICE, "no memory for a picture of %d x %d", width, height);
    dt_canvas_box(out, 0, 0, width, height, DT_GROUND);
    return DT_OK;
}

void dt_canvas_box(dt_image *to, int x, int y, int width, int height, uint32_t colour) {
    int right = x + width < to->width ? x + width : to->width;
    int bottom = y + height < to->height ? y + height : to->height;
    for (int v = y > 0 ? y : 0; v < bottom; v++)
        for (int u = x > 0 ? x : 0; u < right; u++) {
            uint8_t *p = to->pixels + 3 * ((size_t)v * (size_t)to->width + (size_t)u);
            p[0] = (uint8_t)(colour >> 16);
            p[1] = (uint8_t)(colour >> 8);
            p[2] = (uint8_t)colour;
        }
}

static const uint8_t *glyph_of(char letter) {
    for (size_t i = 0; i < sizeof font / sizeof *font; i++)
        if (font[i].letter == letter)
            return font[i].rows;
    return NULL;
}

void dt_canvas_text(dt_image *to, int x, int y, int scale, uint32_t colour, const char *text) {
    for (; *text; text++, x += DT_GLYPH_WIDTH * scale) {
        const uint8_t *rows = glyph_of(*text);
        for (int v = 0; rows && v < DT_GLYPH_HEIGHT; v++)
            for (int u = 0; u < DT_GLYPH_WIDTH - 1; u++)
                if (rows[v] & 16 >> u)
                    dt_canvas_box(to, x + u * scale, y + v * scale, scale, scale, colour);
    }
}

int dt_canvas_text_width(int scale, const char *text) {
    return (int)strlen(text) * DT_GLYPH_WIDTH * scale;
}

/* At t = 0..1 between n colours at equal distances. */
static uint32_t between(const uint32_t *stops, int n, float t) {
    float at = fminf(1, fmaxf(0, t)) * (float)(n - 1);
    int i = at < (float)(n - 1) ? (int)at : n - 2;
    float part = at - (float)i;
    uint32_t colour = 0;
    for (int shift = 0; shift <= 16; shift += 8) {
        float a = (float)(stops[i] >> shift & 255), b = (float)(stops[i + 1] >> shift & 255);
        colour |= (uint32_t)lrintf(a + part * (b - a)) << shift;
    }
    return colour;
}

uint32_t dt_canvas_colour(dt_palette palette, float value) {
    static const uint32_t grey[] = {0x000000, 0xffffff};
    static const uint32_t heat[] = {0x0d0b26, 0x51127c, 0xb73779, 0xfc8961, 0xfcfdbf};
    static const uint32_t two[] = {0x053061, 0x4393c3, 0xf7f7f7, 0xd6924a, 0x6b3a00};
    switch (palette) {
    case DT_PALETTE_GREY:
        return between(grey, 2, value);
    case DT_PALETTE_HEAT:
        return between(heat, 5, value);
    case DT_PALETTE_SIGNED:
        break;
    }
    return between(two, 5, (value + 1) / 2);
}

void dt_canvas_map(dt_image *to, int x, int y, int zoom, const float *values, int height, int width,
                   float range, dt_palette palette) {
    for (int v = 0; v < height; v++)
        for (int u = 0; u < width; u++)
            dt_canvas_box(to, x + u * zoom, y + v * zoom, zoom, zoom,
                          dt_canvas_colour(palette, values[v * width + u] / range));
}
