/* Fuzzer for IDX files, plain and gzip: nothing is read outside, leaked or allocated beyond what
 * the input can fill, a failure has a sentence and leaves nothing, and what is accepted is as long
 * as it says. */
#include <stdlib.h>
#include "io/idx.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    dt_idx idx;
    dt_error_set("");
    if (dt_idx_parse("fuzz", bytes, n, &idx) != DT_OK) {
        if (dt_error()[0] == '\0' || idx.data || idx.owned)
            abort();
        return 0;
    }
    size_t product = 1;
    for (int i = 0; i < idx.n_dims; i++)
        product *= idx.dims[i];
    if (product != idx.n_bytes || idx.n_bytes == 0)
        abort();
    unsigned sum = 0;
    for (size_t i = 0; i < idx.n_bytes; i++)
        sum += idx.data[i];
    volatile unsigned keep = sum; /* the reads must happen */
    (void)keep;
    dt_idx_close(&idx);
    return 0;
}
