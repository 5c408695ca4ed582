/* io/mistakes.h - the most confident mistakes of an evaluation, with their pictures, in run.h5. */
#ifndef DT_IO_MISTAKES_H
#define DT_IO_MISTAKES_H

#include <stddef.h>
#include <stdint.h>
#include "io/h5.h"

enum { DT_MISTAKES = 24 };

typedef struct {
    int64_t sample; /* number in the test set, from 0 */
    int64_t label, predicted;
    double probability; /* of the class predicted */
} dt_mistake;

typedef struct {
    dt_mistake worst[DT_MISTAKES]; /* [n] by falling probability, then by number */
    size_t n;
    int height, width;
    uint8_t *image; /* [n][height][width] grey, 0 black, malloc'ed; NULL: no pictures yet */
} dt_mistakes;

/* Take a mistake in if it is among the most confident ones. */
void dt_mistakes_add(dt_mistakes *mistakes, const dt_mistake *one);
/* Copy the pictures of the mistakes from all of the set, images[][height][width]. */
DT_NODISCARD dt_status dt_mistakes_picture(dt_mistakes *mistakes, const uint8_t *images, int height,
                                           int width);
void dt_mistakes_free(dt_mistakes *mistakes);

/* The group /mistakes of a file that is being made; nothing without pictures. */
void dt_mistakes_put(dt_h5 *file, const dt_mistakes *mistakes);
/* What a file has, into *mistakes, which is empty; a file without it leaves it so. DT_EIO. */
DT_NODISCARD dt_status dt_mistakes_get(dt_h5 *file, dt_mistakes *mistakes);

#endif
