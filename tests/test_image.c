/* Pictures: every kind of PNG, JPEG, PGM and PPM becomes the same grey or RGB bytes; what is behind
 * a transparent picture is the opposite of its ink; damage, foreign formats and sizes beyond the
 * limits are refused in a sentence that names the file. */
#include <png.h>
#include <stdbool.h>
/* behind stdio.h */
#include <jpeglib.h>
#include "io/exif.h"
#include "io/image.h"
#include "tests/t.h"

enum { W = 7, H = 5 };

static uint8_t rgb[H * W * 3], grey[H * W];

static void fill(void) {
    for (int i = 0; i < W * H; i++) {
        grey[i] = (uint8_t)(i * 7);
        rgb[3 * i] = (uint8_t)(i * 7);
        rgb[3 * i + 1] = (uint8_t)(255 - i * 5);
        rgb[3 * i + 2] = (uint8_t)(i * 3);
    }
}

static size_t encode(png_uint_32 format, const void *pixels, void *to, size_t room) {
    png_image png = {.version = PNG_IMAGE_VERSION, .width = W, .height = H, .format = format};
    png_alloc_size_t n = room;
    T_CHECK(png_image_write_to_memory(&png, to, &n, 0, pixels, 0, NULL) != 0);
    return n;
}

/* file without its chunk of this name, if there is one. */
static size_t drop_chunk(uint8_t *file, size_t n, const char *name) {
    for (size_t at = 8; at + 12 <= n;) {
        size_t length = (size_t)file[at + 2] << 8 | file[at + 3]; /* they are short here */
        size_t next = at + 12 + length;
        if (memcmp(file + at + 4, name, 4) == 0) {
            memmove(file + at, file + next, n - next);
            return n - (next - at);
        }
        at = next;
    }
    return n;
}

static bool is_rgb(const dt_image *image) {
    return image->width == W && image->height == H && image->channels == 3 &&
           memcmp(image->pixels, rgb, sizeof rgb) == 0;
}

static bool is_grey(const dt_image *image) {
    return image->width == W && image->height == H && image->channels == 1 &&
           memcmp(image->pixels, grey, sizeof grey) == 0;
}

static void test_png(void) {
    uint8_t file[4096];
    dt_image image;
    size_t n = encode(PNG_FORMAT_GRAY, grey, file, sizeof file);
    T_OK(dt_image_parse("a.png", file, n, &image));
    T_CHECK(is_grey(&image));
    void *again;
    size_t n_again;
    T_OK(dt_image_png(&image, &again, &n_again));
    dt_image_free(&image);
    T_CHECK(image.pixels == NULL);
    T_OK(dt_image_parse("again", again, n_again, &image));
    T_CHECK(is_grey(&image));
    dt_image_free(&image);
    free(again);

    n = encode(PNG_FORMAT_RGB, rgb, file, sizeof file);
    T_OK(dt_image_parse("a.png", file, n, &image));
    T_CHECK(is_rgb(&image));
    T_OK(dt_image_png(&image, &again, &n_again));
    dt_image_free(&image);
    T_OK(dt_image_parse("again", again, n_again, &image));
    T_CHECK(is_rgb(&image));
    dt_image_free(&image);
    free(again);

    uint16_t linear[W * H]; /* 16 bits, black and white */
    for (int i = 0; i < W * H; i++)
        linear[i] = i % 2 ? 65535 : 0;
    n = encode(PNG_FORMAT_LINEAR_Y, linear, file, sizeof file);
    T_OK(dt_image_parse("a.png", file, n, &image));
    T_CHECK(image.channels == 1 && image.pixels[0] == 0 && image.pixels[1] == 255);
    dt_image_free(&image);

    for (int i = 0; i < W * H; i++) /* a scanner's, which says nothing of gamma */
        linear[i] = 0x3333;
    n = encode(PNG_FORMAT_LINEAR_Y, linear, file, sizeof file);
    size_t n_bare = drop_chunk(file, n, "gAMA");
    T_CHECK(n_bare == n - 16);
    n = drop_chunk(file, n_bare, "cHRM");
    T_OK(dt_image_parse("a.png", file, n, &image));
    T_CHECK(image.channels == 1 && image.pixels[0] == 0x33 && image.pixels[W * H - 1] == 0x33);
    dt_image_free(&image);
}

/* One pixel of ink in a picture that is else transparent. */
static void behind(uint8_t ink, uint8_t want) {
    uint8_t file[4096], rgba[W * H * 4] = {0};
    dt_image image;
    memset(rgba + 40, ink, 3);
    rgba[43] = 255;
    memset(rgba + 44, ink, 3);
    rgba[47] = 128;
    size_t n = encode(PNG_FORMAT_RGBA, rgba, file, sizeof file);
    T_OK(dt_image_parse("a.png", file, n, &image));
    T_CHECK(image.channels == 3 && image.pixels[0] == want && image.pixels[30] == ink);
    T_NEAR(image.pixels[33], (ink + want) / 2.0, 1.5, 0);
    dt_image_free(&image);
}

static size_t encode_jpeg(int channels, bool progressive, uint8_t **file) {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned long n = 0;
    *file = NULL;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, file, &n);
    jpeg.image_width = 64;
    jpeg.image_height = 64;
    jpeg.input_components = channels;
    jpeg.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 95, TRUE);
    if (progressive)
        jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    uint8_t row[64 * 4];
    JSAMPROW rows[1] = {row};
    while (jpeg.next_scanline < 64) {
        for (int i = 0; i < 64 * channels; i++)
            row[i] = jpeg.next_scanline < 32 ? 200 : (uint8_t)(i % channels == 0 ? 20 : 60);
        jpeg_write_scanlines(&jpeg, rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return n;
}

static void test_jpeg(void) {
    uint8_t *file;
    dt_image image;
    for (int kind = 0; kind < 4; kind++) {
        int channels = kind < 2 ? 1 : 3;
        size_t n = encode_jpeg(channels, kind % 2, &file);
        T_OK(dt_image_parse("a.jpg", file, n, &image));
        T_CHECK(image.width == 64 && image.height == 64 && image.channels == channels);
        T_NEAR(image.pixels[0], 200, 6, 0);
        T_NEAR(image.pixels[(size_t)(63 * 64) * (size_t)channels], 20, 6, 0);
        dt_image_free(&image);
        T_FAILS(dt_image_parse("a.jpg", file, n / 2, &image), DT_EDATA, "a.jpg: damaged JPEG");
        T_FAILS(dt_image_parse("a.jpg", file, n - 8, &image), DT_EDATA, "a.jpg: damaged JPEG");
        T_CHECK(image.pixels == NULL);
        free(file);
    }
    size_t n = encode_jpeg(4, false, &file);
    T_FAILS(dt_image_parse("a.jpg", file, n, &image), DT_EDATA, "of a kind that is not read");
    free(file);
}

/* A picture of flat blocks, whose pixels a JPEG keeps however they are turned: block (x, y) as it
 * is to be seen. */
enum { COLUMNS = 3, ROWS = 2, BLOCK = 8 };

static uint8_t block_of(int x, int y) {
    return (uint8_t)(20 + 40 * (y * COLUMNS + x));
}

/* Where each orientation has the picture's first row and first column, by Exif 2.3 (4.6.4): the
 * block that is seen at (x, y) in the stored picture. */
static uint8_t stored_block(int orientation, int x, int y) {
    const int at[9][2] = {{0, 0},
                          {x, y},
                          {COLUMNS - 1 - x, y},
                          {COLUMNS - 1 - x, ROWS - 1 - y},
                          {x, ROWS - 1 - y},
                          {y, x},
                          {COLUMNS - 1 - y, x},
                          {COLUMNS - 1 - y, ROWS - 1 - x},
                          {y, ROWS - 1 - x}};
    return block_of(at[orientation][0], at[orientation][1]);
}

static size_t encode_turned(int orientation, int channels, const uint8_t *exif, unsigned n_exif,
                            uint8_t **file) {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned long n = 0;
    uint8_t row[COLUMNS * BLOCK * 3];
    JSAMPROW rows[1] = {row};
    bool swaps = orientation >= 5;
    *file = NULL;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, file, &n);
    jpeg.image_width = (swaps ? ROWS : COLUMNS) * BLOCK;
    jpeg.image_height = (swaps ? COLUMNS : ROWS) * BLOCK;
    jpeg.input_components = channels;
    jpeg.in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 100, TRUE);
    if (channels == 3) /* no colour of one block in another */
        jpeg.comp_info[0].h_samp_factor = jpeg.comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(&jpeg, TRUE);
    jpeg_write_marker(&jpeg, JPEG_APP0 + 1, exif, n_exif);
    while (jpeg.next_scanline < jpeg.image_height) {
        for (int i = 0; i < (int)jpeg.image_width * channels; i++)
            row[i] =
                stored_block(orientation, i / channels / BLOCK, (int)jpeg.next_scanline / BLOCK) ^
                (i % channels == 1 ? 8 : 0);
        jpeg_write_scanlines(&jpeg, rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return n;
}

/* One picture stored in eight ways is one picture. */
static void test_turned(void) {
    uint8_t exif[] = "Exif\0\0MM\0*\0\0\0\x08\0\x02" /* two entries: the first is a width */
                     "\1\0\0\3\0\0\0\1\0\x18\0\0"
                     "\1\x12\0\3\0\0\0\1\0\1\0\0\0\0\0\0";
    uint8_t little[] = "Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\1\0\0\0";
    for (int kind = 0; kind < 4; kind++) {
        int channels = kind % 2 ? 3 : 1;
        dt_image first = {0}, image;
        for (uint8_t o = 1; o <= 8; o++) {
            uint8_t *file;
            exif[37] = little[24] = o;
            size_t n = encode_turned(o, channels, kind < 2 ? exif : little,
                                     kind < 2 ? sizeof exif - 1 : sizeof little - 1, &file);
            T_OK(dt_image_parse("a.jpg", file, n, o == 1 ? &first : &image));
            free(file);
            if (o == 1) {
                T_NEAR(first.pixels[0], block_of(0, 0), 2, 0);
                continue;
            }
            T_CHECK(image.width == COLUMNS * BLOCK && image.height == ROWS * BLOCK &&
                    image.channels == channels);
            T_CHECK(memcmp(image.pixels, first.pixels,
                           (size_t)(COLUMNS * BLOCK * ROWS * BLOCK * channels)) == 0);
            dt_image_free(&image);
        }
        dt_image_free(&first);
    }
}

/* Exif that leads nowhere: the picture is as it is stored. Each is as long as it says, so that
 * sanitizers see a byte too many. */
static void test_bad_exif(void) {
    static const char good[] = "\xff\xd8\xff\xe1\0\x1e"
                               "Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0";
    enum { N = sizeof good - 1 };
    const struct {
        size_t at;
        uint8_t value;
    } bad[] = {{2, 0},  {3, 0xe2}, {4, 0xff}, {5, 1},     {6, 'e'}, {12, 'X'}, {14, 0}, {16, 28},
               {17, 1}, {19, 255}, {20, 0},   {22, 0x13}, {24, 4},  {30, 0},   {30, 9}, {31, 1}};
    uint8_t *file = malloc(N);
    T_CHECK(file != NULL);
    if (!file)
        return;
    memcpy(file, good, N);
    T_CHECK(dt_exif_orientation(file, N) == 6);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memcpy(file, good, N);
        file[bad[i].at] = bad[i].value;
        T_CHECK(dt_exif_orientation(file, N) == 1);
    }
    free(file);
    for (size_t n = 0; n < N; n++) {
        file = malloc(n + 1);
        T_CHECK(file != NULL);
        if (file)
            memcpy(file, good, n);
        T_CHECK(dt_exif_orientation(file, n) == 1);
        free(file);
    }
}

static void pnm(const char *text, size_t n, int channels, const char *pixels) {
    dt_image image;
    T_OK(dt_image_parse("a.pnm", text, n, &image));
    T_CHECK(image.width == 2 && image.height == 1 && image.channels == channels);
    T_CHECK(image.pixels && memcmp(image.pixels, pixels, (size_t)(2 * channels)) == 0);
    dt_image_free(&image);
}

static void test_pnm(void) {
    dt_image image;
    pnm("P5 2 1 255\n\x10\x20", 13, 1, "\x10\x20");
    pnm("P5\n# of a scanner\n2 1\n# 15 levels\n15\n\x0f\x01", 39, 1, "\xff\x11");
    pnm("P5 2 1 65535\n\xff\xff\x80\x00", 17, 1, "\xff\x80");
    pnm("P6 2 1 255\nabcdef", 17, 3, "abcdef");
    pnm("P2 2 1 255 16 # one\n 32 ", 24, 1, "\x10\x20");
    pnm("P3 2 1 9 9 0 0 0 9 0", 20, 3, "\xff\0\0\0\xff\0");
    T_FAILS(dt_image_parse("a", "P5 2 1 255\n\x10", 12, &image), DT_EDATA, "a: cut short: 2 x 1");
    T_FAILS(dt_image_parse("a", "P5 2 x 255\n\x10", 12, &image), DT_EDATA,
            "a: damaged in its header");
    T_FAILS(dt_image_parse("a", "P5 2 1 0\n\x10\x10", 11, &image), DT_EDATA, "1 to 65535 levels");
    T_FAILS(dt_image_parse("a", "P5 0 1 255\nxx", 13, &image), DT_EDATA, "0 x 1 pixels");
    T_FAILS(dt_image_parse("a", "P5 16384 16384 255\n", 19, &image), DT_EDATA, "64 million in all");
    T_FAILS(dt_image_parse("a", "P5 16385 1 255\n", 15, &image), DT_EDATA, "at most 16384 a side");
}

static void test_refusals(void) {
    uint8_t file[4096];
    dt_image image;
    size_t n = encode(PNG_FORMAT_RGB, rgb, file, sizeof file);
    T_FAILS(dt_image_parse("a.png", file, n - 20, &image), DT_EDATA, "a.png: damaged PNG");
    T_CHECK(image.pixels == NULL);
    file[n / 2] ^= 1;
    T_FAILS(dt_image_parse("a.png", file, n, &image), DT_EDATA, "a.png: damaged PNG");
    T_FAILS(dt_image_parse("b", "GIF89a..", 8, &image), DT_EDATA, "b: no picture");
    T_FAILS(dt_image_parse("b", "", 0, &image), DT_EDATA, "b: no picture");
    T_FAILS(dt_image_read("/no/such.png", &image), DT_EDATA, "/no/such.png: No such file");
    T_FAILS(dt_image_read("/", &image), DT_EDATA, "not a regular file");
}

int main(void) {
    T_BEGIN(60);
    fill();
    test_png();
    behind(0, 255);
    behind(255, 0);
    test_jpeg();
    test_turned();
    test_bad_exif();
    test_pnm();
    test_refusals();
    char text[128];
    dt_image_libraries(text, sizeof text);
    T_CHECK(strncmp(text, "libpng 1.6", 10) == 0 && strstr(text, "libjpeg ") != NULL);
    return t_finish();
}
