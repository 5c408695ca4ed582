/* Fuzzer for pictures: PNG, JPEG, PGM and PPM. Nothing is read outside, leaked or allocated beyond
 * the limits, a failure has a sentence and leaves nothing, and what is accepted is whole: it can be
 * read to its last pixel, and written as PNG and read again as the same. */
#include <stdlib.h>
#include <string.h>
#include "io/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Of large pictures it takes too long. */
static void there_and_back(const dt_image *image, size_t size) {
    void *png;
    size_t nbytes;
    dt_image again;
    if (dt_image_png(image, &png, &nbytes) != DT_OK || dt_image_parse("again", png, nbytes, &again))
        abort();
    if (again.width != image->width || again.height != image->height ||
        again.channels != image->channels || memcmp(again.pixels, image->pixels, size) != 0)
        abort();
    dt_image_free(&again);
    free(png);
}

/* Mutations find large sizes at once, and then nothing else: only headers of small ones go on. PNG
 * has them in bytes 16 to 24. */
static int is_large(const uint8_t *b, size_t n) {
    return n >= 24 && b[0] == 0x89 && (b[16] || b[17] || b[18] > 3 || b[20] || b[21] || b[22] > 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    dt_image image;
    dt_error_set("");
    if (is_large(bytes, n))
        return -1;
    if (dt_image_parse("fuzz", bytes, n, &image) != DT_OK) {
        if (dt_error()[0] == '\0' || image.pixels || image.width)
            abort();
        return 0;
    }
    size_t size = (size_t)image.width * (size_t)image.height * (size_t)image.channels;
    if (image.width < 1 || image.height < 1 || image.width > DT_IMAGE_SIDE ||
        image.height > DT_IMAGE_SIDE || (image.channels != 1 && image.channels != 3))
        abort();
    unsigned sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += image.pixels[i];
    volatile unsigned keep = sum; /* the reads must happen */
    (void)keep;
    if (size < 1 << 14)
        there_and_back(&image, size);
    dt_image_free(&image);
    return 0;
}
