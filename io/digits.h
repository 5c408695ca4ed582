/* io/digits.h - a test set that grows by one labelled picture at a time, kept as two IDX files.
 *
 * DIR/t10k-images-idx3-ubyte and DIR/t10k-labels-idx1-ubyte, as MNIST's: whatever reads a test set
 * reads this one. Both are written anew for every change, to a temporary name that is then renamed.
 * The labels are the commit point: a picture counts when its label is there, so an end at any
 * moment leaves the set before the change or after it, for dt_dataset_open_test() as well. */
#ifndef DT_IO_DIGITS_H
#define DT_IO_DIGITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "io/file.h"

enum { DT_DIGITS_MAX = 100000 }; /* pictures in a set */

typedef struct {
    uint8_t *bytes; /* the file, header included */
    size_t nbytes;
} dt_digits_file;

typedef struct {
    char dir[DT_PATH_MAX];
    int height, width; /* of every picture */
    size_t n, capacity;
    dt_digits_file images, labels; /* the files as they are on the disk when n > 0 */
    int lock;                      /* keeps other programs from changing the set; -1 while none */
    bool is_split;                 /* the disk may be a picture or a label away from memory */
} dt_digits;

/* Read the set of dir, made whole if a change was cut off in its middle. A dir that is not there is
 * an empty set, and made by the first dt_digits_add(). DT_EUSAGE: another program has it open, or a
 * test set is there under other names (.gz, .idx). DT_EDATA: the files are no such pair, or of
 * another size. DT_EIO. What is refused is left as it is. Free with dt_digits_close(). */
DT_NODISCARD dt_status dt_digits_open(const char *dir, int height, int width, dt_digits **out);
void dt_digits_close(dt_digits **digits);

/* Append image[height][width] with its label. If dir was not there when the set was opened, what it
 * holds by now comes first: n may grow by more than 1. On failure memory is as it was, or as dir
 * is, and so is the disk before its next change. DT_EIO; DT_EDATA; DT_EUSAGE: the set is full, or
 * another program has it. */
DT_NODISCARD dt_status dt_digits_add(dt_digits *digits, const uint8_t *image, uint8_t label);
/* Take the last one away. DT_EUSAGE: there is none. Failures as above. */
DT_NODISCARD dt_status dt_digits_undo(dt_digits *digits);

/* Picture i, [height][width], and its label; i < n. */
const uint8_t *dt_digits_image(const dt_digits *digits, size_t i);
uint8_t dt_digits_label(const dt_digits *digits, size_t i);

#endif
