/* io/exif.c - how a JPEG file wants to be turned.
 *
 * Exif is a TIFF file without a picture in the segment APP1: an 8-byte header, then a directory of
 * 12-byte entries. One tag of its first directory is looked at. Nothing of it is believed: what
 * leads outside the segment ends the search. */
#include "io/exif.h"

#include <stdbool.h>
#include <string.h>

enum { APP1 = 0xe1, START_OF_SCAN = 0xda, END_OF_IMAGE = 0xd9 };
enum { TAG_ORIENTATION = 0x112, TYPE_SHORT = 3, ENTRY_BYTES = 12 };

typedef struct {
    const uint8_t *bytes;
    size_t n;
    bool is_little; /* least significant byte first */
} tiff;

/* 2 or 4 bytes that are there. */
static size_t number(const tiff *t, size_t at, size_t n) {
    size_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value << 8 | t->bytes[t->is_little ? at + n - 1 - i : at + i];
    return value;
}

static int orientation_of(tiff t) {
    if (t.n < 8 || (memcmp(t.bytes, "II*\0", 4) != 0 && memcmp(t.bytes, "MM\0*", 4) != 0))
        return 1;
    t.is_little = t.bytes[0] == 'I';
    size_t at = number(&t, 4, 4);
    if (at > t.n - 2)
        return 1;
    size_t n_entries = number(&t, at, 2);
    for (at += 2; n_entries > 0 && t.n - at >= ENTRY_BYTES; n_entries--, at += ENTRY_BYTES) {
        if (number(&t, at, 2) != TAG_ORIENTATION || number(&t, at + 2, 2) != TYPE_SHORT)
            continue;
        size_t value = number(&t, at + 8, 2);
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

int dt_exif_orientation(const uint8_t *jpeg, size_t nbytes) {
    static const char name[6] = "Exif\0"; /* and another 0 */
    for (size_t at = 2; at + 4 <= nbytes && jpeg[at] == 0xff;) {
        int marker = jpeg[at + 1];
        if (marker == 0xff) { /* filling */
            at++;
            continue;
        }
        size_t n = (size_t)jpeg[at + 2] << 8 | jpeg[at + 3];
        if (marker == START_OF_SCAN || marker == END_OF_IMAGE || n < 2 || n > nbytes - at - 2)
            break;
        const uint8_t *segment = jpeg + at + 4;
        if (marker == APP1 && n >= 2 + sizeof name && memcmp(segment, name, sizeof name) == 0)
            return orientation_of((tiff){.bytes = segment + sizeof name, .n = n - 2 - sizeof name});
        at += 2 + n;
    }
    return 1;
}

void dt_exif_turn(int orientation, const uint8_t *from, int width, int height, int channels,
                  uint8_t *to) {
    bool swaps = orientation >= 5;
    bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    int columns = swaps ? height : width, rows = swaps ? width : height;
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++) {
            int u = swaps ? y : x, v = swaps ? x : y;
            u = from_right ? width - 1 - u : u;
            v = from_below ? height - 1 - v : v;
            memcpy(to, from + ((size_t)v * (size_t)width + (size_t)u) * (size_t)channels,
                   (size_t)channels);
            to += channels;
        }
}
