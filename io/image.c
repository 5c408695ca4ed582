/* io/image.c - PNG by libpng, JPEG by libjpeg, PGM and PPM by a few lines.
 *
 * Sizes are checked before memory is asked for. A damaged file is refused even where the library
 * would go on with grey blocks: half a digit is no digit. */
#include "io/image.h"

#include <png.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/exif.h"
#include "io/file.h"
/* needs stdio.h and size_t before it */
#include <jpeglib.h>

enum { MOST_SCANS = 100 }; /* of a progressive JPEG: each costs as much as the whole picture */

static dt_status take_room(const char *name, size_t width, size_t height, int channels,
                           dt_image *out) {
    if (width < 1 || height < 1 || width > DT_IMAGE_SIDE || height > DT_IMAGE_SIDE ||
        width * height > DT_IMAGE_PIXELS)
        return dt_fail(DT_EDATA,
                       "%s: %zu x %zu pixels; at most %d a side and %d million in all are read",
                       name, width, height, DT_IMAGE_SIDE, DT_IMAGE_PIXELS >> 20);
    *out = (dt_image){.width = (int)width, .height = (int)height, .channels = channels};
    out->pixels = malloc(width * height * (size_t)channels);
    if (!out->pixels)
        return dt_fail(DT_EDATA, "%s: no memory for %zu x %zu pixels", name, width, height);
    return DT_OK;
}

void dt_image_free(dt_image *image) {
    free(image->pixels);
    *image = (dt_image){0};
}

/* --- PNG --- */

static size_t count_of(const dt_image *image) {
    return (size_t)image->width * (size_t)image->height;
}

/* Is what a picture shows lighter than middle grey, on the whole? Then black is behind it. */
static bool is_light(const uint8_t *rgba, size_t n) {
    uint64_t light = 0, cover = 0;
    for (size_t i = 0; i < n; i++, rgba += 4) {
        light += (uint64_t)rgba[3] * (rgba[0] + 2u * rgba[1] + rgba[2]);
        cover += rgba[3];
    }
    return light > 4 * 128 * cover;
}

/* RGB over the background, in place: pixel i moves from 4 i to 3 i. */
static void composite(dt_image *image, uint8_t *rgba) {
    size_t n = count_of(image);
    unsigned behind = is_light(rgba, n) ? 0 : 255;
    for (size_t i = 0; i < n; i++) {
        unsigned alpha = rgba[4 * i + 3];
        for (size_t c = 0; c < 3; c++)
            rgba[3 * i + c] =
                (uint8_t)((rgba[4 * i + c] * alpha + behind * (255 - alpha) + 127) / 255);
    }
    image->channels = 3;
}

/* The simplified interface of libpng: it knows every kind of PNG and fails without a longjmp. */
static dt_status parse_png(const char *name, const void *bytes, size_t nbytes, dt_image *out) {
    png_image png = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_memory(&png, bytes, nbytes))
        return dt_fail(DT_EDATA, "%s: damaged PNG: %s", name, png.message);
    png.flags |= PNG_IMAGE_FLAG_16BIT_sRGB; /* 16 bits without a gamma are no linear light */
    bool alpha = (png.format & PNG_FORMAT_FLAG_ALPHA) != 0;
    bool colour = (png.format & PNG_FORMAT_FLAG_COLOR) != 0;
    png.format = alpha ? PNG_FORMAT_RGBA : colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
    dt_status status =
        take_room(name, png.width, png.height, (int)PNG_IMAGE_PIXEL_CHANNELS(png.format), out);
    if (status == DT_OK && !png_image_finish_read(&png, NULL, out->pixels, 0, NULL))
        status = dt_fail(DT_EDATA, "%s: damaged PNG: %s", name, png.message);
    png_image_free(&png);
    if (status == DT_OK && alpha)
        composite(out, out->pixels);
    return status;
}

dt_status dt_image_png(const dt_image *image, void **bytes, size_t *nbytes) {
    png_image png = {.version = PNG_IMAGE_VERSION,
                     .width = (png_uint_32)image->width,
                     .height = (png_uint_32)image->height,
                     .format = image->channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB};
    png_alloc_size_t n = PNG_IMAGE_PNG_SIZE_MAX(png);
    *nbytes = 0;
    *bytes = malloc(n);
    if (!*bytes)
        return dt_fail(DT_EDEVICE, "no memory for a PNG of %d x %d", image->width, image->height);
    if (png_image_write_to_memory(&png, *bytes, &n, 0, image->pixels, 0, NULL)) {
        *nbytes = n;
        return DT_OK;
    }
    free(*bytes);
    *bytes = NULL;
    return dt_fail(DT_EDEVICE, "libpng cannot write %d x %d pixels: %s", image->width,
                   image->height, png.message);
}

/* --- JPEG --- */

typedef struct {
    struct jpeg_error_mgr base; /* is what libjpeg sees */
    jmp_buf out;
    char text[JMSG_LENGTH_MAX];
} jpeg_errors;

static void jpeg_fails(j_common_ptr jpeg) {
    jpeg_errors *errors = (jpeg_errors *)jpeg->err;
    errors->base.format_message(jpeg, errors->text);
    longjmp(errors->out, 1);
}

/* A warning (level -1) tells of damage that libjpeg would paint over. */
static void jpeg_says(j_common_ptr jpeg, int level) {
    if (level < 0)
        jpeg_fails(jpeg);
}

static void jpeg_progress(j_common_ptr jpeg) {
    jpeg_errors *errors = (jpeg_errors *)jpeg->err;
    if (((j_decompress_ptr)jpeg)->input_scan_number <= MOST_SCANS)
        return;
    snprintf(errors->text, sizeof errors->text, "more than %d scans", MOST_SCANS);
    longjmp(errors->out, 1);
}

static dt_status decode_jpeg(const char *name, struct jpeg_decompress_struct *jpeg, dt_image *out) {
    int channels = jpeg->num_components == 1 ? 1 : 3;
    jpeg->out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB; /* not of CMYK: it fails */
    jpeg_calc_output_dimensions(jpeg);
    DT_TRY(take_room(name, jpeg->output_width, jpeg->output_height, channels, out));
    (void)jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        size_t row = (size_t)jpeg->output_width * (size_t)channels;
        JSAMPROW to = out->pixels + jpeg->output_scanline * row;
        (void)jpeg_read_scanlines(jpeg, &to, 1);
    }
    (void)jpeg_finish_decompress(jpeg);
    return DT_OK;
}

/* As the camera was held. */
static dt_status turn(const char *name, int orientation, dt_image *image) {
    if (orientation == 1)
        return DT_OK;
    bool swaps = orientation >= 5;
    dt_image turned;
    DT_TRY(take_room(name, (size_t)(swaps ? image->height : image->width),
                     (size_t)(swaps ? image->width : image->height), image->channels, &turned));
    dt_exif_turn(orientation, image->pixels, image->width, image->height, image->channels,
                 turned.pixels);
    dt_image_free(image);
    *image = turned;
    return DT_OK;
}

static dt_status parse_jpeg(const char *name, const void *bytes, size_t nbytes, dt_image *out) {
    struct jpeg_decompress_struct jpeg = {0};
    struct jpeg_progress_mgr progress = {.progress_monitor = jpeg_progress};
    jpeg_errors errors;
    dt_status status;
    jpeg.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = jpeg_fails;
    errors.base.emit_message = jpeg_says;
    if (setjmp(errors.out) != 0) {
        jpeg_destroy_decompress(&jpeg);
        return dt_fail(DT_EDATA, "%s: damaged JPEG, or of a kind that is not read: %s", name,
                       errors.text);
    }
    jpeg_create_decompress(&jpeg);
    jpeg.progress = &progress;
    jpeg_mem_src(&jpeg, bytes, nbytes);
    (void)jpeg_read_header(&jpeg, TRUE);
    status = decode_jpeg(name, &jpeg, out);
    jpeg_destroy_decompress(&jpeg);
    return status == DT_OK ? turn(name, dt_exif_orientation(bytes, nbytes), out) : status;
}

/* --- PGM and PPM (netpbm's pgm(5) and ppm(5)) --- */

typedef struct {
    const uint8_t *at, *end;
    bool failed;
} reader;

/* The next number of the header, or of a plain file: blanks and comments come before it. */
static unsigned next_number(reader *r) {
    unsigned value = 0;
    bool comment = false;
    for (; r->at < r->end && (comment || *r->at == '#' || *r->at <= ' '); r->at++)
        comment = *r->at == '#' || (comment && *r->at != '\n');
    const uint8_t *first = r->at;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9' && value < 100000; r->at++)
        value = 10 * value + (unsigned)(*r->at - '0');
    r->failed |= r->at == first;
    return value;
}

static unsigned next_byte(reader *r) {
    r->failed |= r->at == r->end;
    return r->failed ? 0 : *r->at++;
}

/* P2 and P3 hold numbers, P5 and P6 one byte a value, or two from 256 levels on. */
static dt_status parse_pnm(const char *name, const void *bytes, size_t nbytes, dt_image *out) {
    reader r = {.at = bytes, .end = (const uint8_t *)bytes + nbytes};
    unsigned kind = r.at[1] - '0';
    r.at += 2;
    unsigned width = next_number(&r), height = next_number(&r), most = next_number(&r);
    (void)next_byte(&r); /* the one blank behind the header */
    if (r.failed || most < 1 || most > 65535)
        return dt_fail(
            DT_EDATA, "%s: damaged in its header: width, height and 1 to 65535 levels are expected",
            name);
    int channels = kind == 3 || kind == 6 ? 3 : 1;
    DT_TRY(take_room(name, width, height, channels, out));
    size_t n = count_of(out) * (size_t)channels;
    for (size_t i = 0; i < n && !r.failed; i++) {
        unsigned value = kind < 4 ? next_number(&r) : next_byte(&r);
        if (kind > 4 && most > 255)
            value = value << 8 | next_byte(&r);
        out->pixels[i] = (uint8_t)(value >= most ? 255 : (value * 255 + most / 2) / most);
    }
    if (r.failed)
        return dt_fail(DT_EDATA, "%s: cut short: %u x %u pixels do not fit into its %zu bytes",
                       name, width, height, nbytes);
    return DT_OK;
}

/* --- any --- */

dt_status dt_image_parse(const char *name, const void *bytes, size_t nbytes, dt_image *out) {
    const uint8_t *b = bytes;
    dt_status status;
    *out = (dt_image){0};
    if (nbytes >= 8 && memcmp(b, "\x89PNG\r\n\x1a\n", 8) == 0)
        status = parse_png(name, bytes, nbytes, out);
    else if (nbytes >= 3 && memcmp(b, "\xff\xd8\xff", 3) == 0)
        status = parse_jpeg(name, bytes, nbytes, out);
    else if (nbytes >= 8 && b[0] == 'P' && strchr("2356", b[1]) && b[1] != '\0')
        status = parse_pnm(name, bytes, nbytes, out);
    else
        status = dt_fail(DT_EDATA, "%s: no picture that is read here: PNG, JPEG, PGM or PPM", name);
    if (status != DT_OK)
        dt_image_free(out);
    return status;
}

dt_status dt_image_read(const char *path, dt_image *out) {
    void *bytes;
    size_t nbytes;
    *out = (dt_image){0};
    if (dt_file_read(path, DT_IMAGE_FILE_BYTES, &bytes, &nbytes) != DT_OK)
        return dt_fail(DT_EDATA, "%s", dt_error());
    dt_status status = dt_image_parse(path, bytes, nbytes, out);
    free(bytes);
    return status;
}

void dt_image_libraries(char *text, size_t nbytes) {
    snprintf(text, nbytes, "libpng %s, libjpeg %d.%d", png_get_libpng_ver(NULL),
             JPEG_LIB_VERSION / 10, JPEG_LIB_VERSION % 10);
}
