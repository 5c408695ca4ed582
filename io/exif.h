/* io/exif.h - how a JPEG file wants to be turned: a camera stores what its sensor saw, and says
 * beside it how it was held. */
#ifndef DT_IO_EXIF_H
#define DT_IO_EXIF_H

#include <stddef.h>
#include <stdint.h>

/* Exif's orientation, 1 to 8, of a whole JPEG file; 1, as it is, where there is none or it makes no
 * sense. */
int dt_exif_orientation(const uint8_t *jpeg, size_t nbytes);

/* from[height][width][channels] as orientation wants it to be seen; from 5 on to[] is
 * [width][height] [channels]. */
void dt_exif_turn(int orientation, const uint8_t *from, int width, int height, int channels,
                  uint8_t *to);

#endif
