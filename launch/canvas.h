/* launch/canvas.h - drawing into a picture: boxes, words, arrays of numbers in colours. */
#ifndef DT_LAUNCH_CANVAS_H
#define DT_LAUNCH_CANVAS_H

#include <stdint.h>
#include "io/image.h"

/* Colours are 0xrrggbb. */
enum {
    DT_GROUND = 0xfbfbf9,
    DT_INK = 0x22252b,
    DT_FAINT = 0x767b85,
    DT_RULE = 0xdcdcd6,
    DT_ACCENT = 0x0072b2 /* blue of Okabe and Ito */
};

typedef enum {
    DT_PALETTE_GREY,  /* black to white */
    DT_PALETTE_HEAT,  /* of values from 0: dark violet over red to pale yellow */
    DT_PALETTE_SIGNED /* of both signs: blue, white at 0, brown */
} dt_palette;

enum { DT_GLYPH_WIDTH = 6, DT_GLYPH_HEIGHT = 8 }; /* with the gap to the next, at scale 1 */

/* An empty picture; free it with dt_image_free(). DT_EDEVICE: no memory. */
DT_NODISCARD dt_status dt_canvas_open(int width, int height, dt_image *out);
/* All of these cut off what does not fit. */
void dt_canvas_box(dt_image *to, int x, int y, int width, int height, uint32_t colour);
/* Digits, lower-case letters and . , : ; - + % / ( ) = are known. */
void dt_canvas_text(dt_image *to, int x, int y, int scale, uint32_t colour, const char *text);
int dt_canvas_text_width(int scale, const char *text);
/* values[height][width], each a square of zoom pixels; range is 1 or -1 in the palette. */
void dt_canvas_map(dt_image *to, int x, int y, int zoom, const float *values, int height, int width,
                   float range, dt_palette palette);
/* The colour of value, -1..1. */
uint32_t dt_canvas_colour(dt_palette palette, float value);

#endif
