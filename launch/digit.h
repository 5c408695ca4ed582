/* launch/digit.h - a picture of a digit, of any kind, made into one as MNIST's are.
 *
 * MNIST's digits are light on black, fill a box of 20 x 20 with their longer side, and lie with
 * their centre of mass in the middle of 28 x 28 (Y. LeCun, C. Cortes, C. Burges, The MNIST database
 * of handwritten digits, 1998). A picture may be of any size and colour, dark on light or light on
 * dark, with margins, uneven light, noise and specks. */
#ifndef DT_LAUNCH_DIGIT_H
#define DT_LAUNCH_DIGIT_H

#include <stdbool.h>
#include "io/image.h"

enum { DT_DIGIT_SIDE = 28, DT_DIGIT_BYTES = DT_DIGIT_SIDE * DT_DIGIT_SIDE };

/* What was found on the way. Levels are of 255. */
typedef struct {
    bool has_ink;    /* false: out is all 0, and what follows contrast and noise is 0 */
    double contrast; /* between ink and background, 0..255 */
    double noise;    /* of the background: standard deviation */
    bool is_dark;    /* dark ink on light ground */
    int left, top;   /* of the ink's box in the picture, pixels */
    int width, height;
    int pieces;   /* connected parts that were kept */
    int specks;   /* ... that were too small to belong to it */
    double cover; /* ink in the 28 x 28, in pixels fully covered */
} dt_digit;

/* out = [28][28], 0 = background; the same picture gives the same bytes. DT_EDEVICE: no memory. */
DT_NODISCARD dt_status dt_digit_prepare(const dt_image *image, uint8_t out[DT_DIGIT_BYTES],
                                        dt_digit *found);

#endif
