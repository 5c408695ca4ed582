/* model/ref_layers.c - the reference layers, compiled for float and for double. */
#include "model/ref_layers.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static bool inside(dt_shape s, int row, int column) {
    return row >= 0 && row < s.h && column >= 0 && column < s.w;
}

static size_t at(dt_shape s, int i, int c, int row, int column) {
    return (((size_t)i * (size_t)s.c + (size_t)c) * (size_t)s.h + (size_t)row) * (size_t)s.w +
           (size_t)column;
}

static size_t weight_at(const dt_layer *l, int o, int c, int u, int v) {
    return at((dt_shape){l->in.c, l->kernel, l->kernel}, o, c, u, v);
}

#define REAL       float
#define NAME(name) DT_REF_F32(name)
#include "model/ref_layers.inc.h"
#undef REAL
#undef NAME

#define REAL       double
#define NAME(name) DT_REF_F64(name)
#include "model/ref_layers.inc.h"
