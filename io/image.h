/* io/image.h - pictures of other programs as plain bytes: PNG, JPEG, PGM and PPM in, PNG out.
 *
 * The format is told by content, never by name. Whatever a file holds (palettes, 16 bits, grey or
 * colour, interlaced, progressive) becomes 8 bits of grey or of RGB; a JPEG is turned as its Exif
 * orientation says. What shines through a picture
 * is black where its ink is light, and white elsewhere. */
#ifndef DT_IO_IMAGE_H
#define DT_IO_IMAGE_H

#include <stddef.h>
#include <stdint.h>
#include "io/err.h"

enum {
    DT_IMAGE_SIDE = 16384,        /* most pixels in a row or column */
    DT_IMAGE_PIXELS = 1 << 26,    /* most pixels in all: what no camera of today exceeds much */
    DT_IMAGE_FILE_BYTES = 1 << 28 /* longest file that is read */
};

typedef struct {
    int width, height;
    int channels;    /* 1: grey, 3: red, green, blue */
    uint8_t *pixels; /* [height][width][channels] */
} dt_image;

/* Decode a file. *out is zeroed on failure; free it with dt_image_free(). DT_EDATA: cannot be
 * read, of another format, damaged, or larger than the limits; the message names the file and what
 * is wrong. */
DT_NODISCARD dt_status dt_image_read(const char *path, dt_image *out);
/* The same from memory; name is for messages. */
DT_NODISCARD dt_status dt_image_parse(const char *name, const void *bytes, size_t nbytes,
                                      dt_image *out);
void dt_image_free(dt_image *image);

/* The picture as a PNG file in memory; free *bytes with free(). DT_EDEVICE: no memory, or libpng
 * refused. */
DT_NODISCARD dt_status dt_image_png(const dt_image *image, void **bytes, size_t *nbytes);

/* "libpng 1.6.39, libjpeg 6.2", of the libraries that are loaded. */
void dt_image_libraries(char *text, size_t nbytes);

#endif
