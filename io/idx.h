/* io/idx.h - one IDX file: the format of MNIST (Y. LeCun, http://yann.lecun.com/exdb/mnist/).
 *
 * Big-endian: two zero bytes, a type byte (8 = unsigned byte, the only one accepted), the number of
 * dimensions, one 32-bit size a dimension, then the bytes. Plain files are memory-mapped, .gz
 * files are inflated into memory. Everything is checked before it is believed, the exact length
 * last; a message names the file and both numbers. */
#ifndef DT_IO_IDX_H
#define DT_IO_IDX_H

#include <stddef.h>
#include <stdint.h>
#include "io/err.h"

enum { DT_IDX_MAX_DIMS = 4 };

typedef struct {
    int n_dims;
    uint32_t dims[DT_IDX_MAX_DIMS];
    const uint8_t *data; /* n_bytes = product of dims */
    size_t n_bytes;
    void *owned; /* private: the mapping or the buffer */
    size_t owned_bytes;
    int is_mapped;
} dt_idx;

/* Open path, plain or gzip (told by content). *out is zeroed on failure. Close with dt_idx_close().
 * DT_EDATA: unreadable, or not what its header says. */
DT_NODISCARD dt_status dt_idx_open(const char *path, dt_idx *out);
/* The same from memory (for the fuzzer); name is for messages. The bytes stay the caller's and must
 * outlive *out, which is closed as above. */
DT_NODISCARD dt_status dt_idx_parse(const char *name, const void *bytes, size_t nbytes,
                                    dt_idx *out);
void dt_idx_close(dt_idx *idx);

/* "zlib 1.2.13", of the library that is loaded: it reads the .gz files. */
void dt_idx_library(char *text, size_t nbytes);

#endif
