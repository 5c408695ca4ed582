/* model/ref_layers.inc.h - the loops behind ref_layers.h, included once for each REAL with its
 * NAME(). */

void NAME(dt_ref_conv_forward)(const dt_layer *l, int m, const REAL *x, const REAL *w,
                               const REAL *b, REAL *y) {
    for (int i = 0; i < m; i++)
        for (int o = 0; o < l->out.c; o++)
            for (int r = 0; r < l->out.h; r++)
                for (int s = 0; s < l->out.w; s++) {
                    REAL sum = b[o];
                    for (int c = 0; c < l->in.c; c++)
                        for (int u = 0; u < l->kernel; u++) {
                            int row = r * l->stride - l->pad + u;
                            if (row < 0 || row >= l->in.h)
                                continue;
                            const REAL *x_row = x + at(l->in, i, c, row, 0);
                            const REAL *w_row = w + weight_at(l, o, c, u, 0);
                            for (int v = 0; v < l->kernel; v++) {
                                int column = s * l->stride - l->pad + v;
                                if (column >= 0 && column < l->in.w)
                                    sum += x_row[column] * w_row[v];
                            }
                        }
                    y[at(l->out, i, o, r, s)] = sum;
                }
}

void NAME(dt_ref_conv_backward)(const dt_layer *l, int m, const REAL *x, const REAL *w,
                                const REAL *dy, REAL *dx, REAL *dw, REAL *db) {
    memset(dw, 0, l->n_w * sizeof *dw);
    memset(db, 0, l->n_b * sizeof *db);
    if (dx)
        memset(dx, 0, (size_t)m * dt_shape_size(l->in) * sizeof *dx);
    for (int i = 0; i < m; i++)
        for (int o = 0; o < l->out.c; o++)
            for (int r = 0; r < l->out.h; r++)
                for (int s = 0; s < l->out.w; s++) {
                    const REAL d = dy[at(l->out, i, o, r, s)];
                    db[o] += d;
                    for (int c = 0; c < l->in.c; c++)
                        for (int u = 0; u < l->kernel; u++) {
                            int row = r * l->stride - l->pad + u;
                            if (row < 0 || row >= l->in.h)
                                continue;
                            size_t x_row = at(l->in, i, c, row, 0);
                            size_t w_row = weight_at(l, o, c, u, 0);
                            for (int v = 0; v < l->kernel; v++) {
                                int column = s * l->stride - l->pad + v;
                                if (column < 0 || column >= l->in.w)
                                    continue;
                                dw[w_row + (size_t)v] += d * x[x_row + (size_t)column];
                                if (dx)
                                    dx[x_row + (size_t)column] += d * w[w_row + (size_t)v];
                            }
                        }
                }
}

void NAME(dt_ref_fc_forward)(const dt_layer *l, int m, const REAL *x, const REAL *w, const REAL *b,
                             REAL *y) {
    size_t n_in = dt_shape_size(l->in), n_out = dt_shape_size(l->out);
    for (size_t i = 0; i < (size_t)m; i++)
        for (size_t o = 0; o < n_out; o++) {
            REAL sum = b[o];
            for (size_t j = 0; j < n_in; j++)
                sum += x[i * n_in + j] * w[o * n_in + j];
            y[i * n_out + o] = sum;
        }
}

void NAME(dt_ref_fc_backward)(const dt_layer *l, int m, const REAL *x, const REAL *w,
                              const REAL *dy, REAL *dx, REAL *dw, REAL *db) {
    size_t n_in = dt_shape_size(l->in), n_out = dt_shape_size(l->out);
    memset(dw, 0, l->n_w * sizeof *dw);
    memset(db, 0, l->n_b * sizeof *db);
    if (dx)
        memset(dx, 0, (size_t)m * n_in * sizeof *dx);
    for (size_t i = 0; i < (size_t)m; i++)
        for (size_t o = 0; o < n_out; o++) {
            const REAL d = dy[i * n_out + o];
            db[o] += d;
            for (size_t j = 0; j < n_in; j++)
                dw[o * n_in + j] += d * x[i * n_in + j];
            for (size_t j = 0; dx && j < n_in; j++)
                dx[i * n_in + j] += d * w[o * n_in + j];
        }
}

/* The window of output (r, s): its maximum's place, the first one in scan order; a NaN wins over
 * all numbers. Padding never wins, and the parser leaves no window without an input in it. */
static size_t NAME(max_place)(const dt_layer *l, const REAL *x, int i, int c, int r, int s) {
    size_t best = SIZE_MAX;
    for (int u = 0; u < l->kernel; u++)
        for (int v = 0; v < l->kernel; v++) {
            int row = r * l->stride - l->pad + u, column = s * l->stride - l->pad + v;
            if (!inside(l->in, row, column))
                continue;
            size_t place = at(l->in, i, c, row, column);
            if (best == SIZE_MAX || x[place] > x[best] || x[place] != x[place])
                best = place;
        }
    return best;
}

/* The mean counts padding as zeros, as PyTorch's does by default. */
static REAL NAME(window_mean)(const dt_layer *l, const REAL *x, int i, int c, int r, int s) {
    REAL sum = 0;
    for (int u = 0; u < l->kernel; u++)
        for (int v = 0; v < l->kernel; v++) {
            int row = r * l->stride - l->pad + u, column = s * l->stride - l->pad + v;
            if (inside(l->in, row, column))
                sum += x[at(l->in, i, c, row, column)];
        }
    return sum / (REAL)(l->kernel * l->kernel);
}

void NAME(dt_ref_pool_forward)(const dt_layer *l, int m, const REAL *x, REAL *y) {
    for (int i = 0; i < m; i++)
        for (int c = 0; c < l->out.c; c++)
            for (int r = 0; r < l->out.h; r++)
                for (int s = 0; s < l->out.w; s++)
                    y[at(l->out, i, c, r, s)] = l->average ? NAME(window_mean)(l, x, i, c, r, s)
                                                           : x[NAME(max_place)(l, x, i, c, r, s)];
}

static void NAME(spread_mean)(const dt_layer *l, int i, int c, int r, int s, REAL d, REAL *dx) {
    for (int u = 0; u < l->kernel; u++)
        for (int v = 0; v < l->kernel; v++) {
            int row = r * l->stride - l->pad + u, column = s * l->stride - l->pad + v;
            if (inside(l->in, row, column))
                dx[at(l->in, i, c, row, column)] += d / (REAL)(l->kernel * l->kernel);
        }
}

void NAME(dt_ref_pool_backward)(const dt_layer *l, int m, const REAL *x, const REAL *dy, REAL *dx) {
    if (!dx)
        return;
    memset(dx, 0, (size_t)m * dt_shape_size(l->in) * sizeof *dx);
    for (int i = 0; i < m; i++)
        for (int c = 0; c < l->out.c; c++)
            for (int r = 0; r < l->out.h; r++)
                for (int s = 0; s < l->out.w; s++) {
                    const REAL d = dy[at(l->out, i, c, r, s)];
                    if (l->average)
                        NAME(spread_mean)(l, i, c, r, s, d, dx);
                    else
                        dx[NAME(max_place)(l, x, i, c, r, s)] += d;
                }
}

/* A NaN stays one. */
void NAME(dt_ref_relu_forward)(const dt_layer *l, int m, const REAL *x, REAL *y) {
    for (size_t i = 0; i < (size_t)m * dt_shape_size(l->in); i++)
        y[i] = x[i] <= 0 ? 0 : x[i];
}

void NAME(dt_ref_relu_backward)(const dt_layer *l, int m, const REAL *x, const REAL *dy, REAL *dx) {
    for (size_t i = 0; dx && i < (size_t)m * dt_shape_size(l->in); i++)
        dx[i] = x[i] <= 0 ? 0 : dy[i];
}

void NAME(dt_ref_dropout)(const dt_layer *l, int m, const REAL *x, const float *mask, REAL *y) {
    for (size_t i = 0; i < (size_t)m * dt_shape_size(l->in); i++)
        y[i] = mask ? x[i] * (REAL)mask[i] : x[i];
}

void NAME(dt_ref_net_forward)(const dt_net *net, int m, const REAL *params, float *const *masks,
                              REAL *const *acts) {
    for (int i = 0; i < net->n_layers; i++) {
        const dt_layer *l = &net->layers[i];
        const REAL *x = acts[i], *w = params + l->w_at, *b = params + l->b_at;
        switch (l->kind) {
        case DT_CONV:
            NAME(dt_ref_conv_forward)(l, m, x, w, b, acts[i + 1]);
            break;
        case DT_POOL:
            NAME(dt_ref_pool_forward)(l, m, x, acts[i + 1]);
            break;
        case DT_RELU:
            NAME(dt_ref_relu_forward)(l, m, x, acts[i + 1]);
            break;
        case DT_DROPOUT:
            NAME(dt_ref_dropout)(l, m, x, masks ? masks[i] : NULL, acts[i + 1]);
            break;
        case DT_FC:
            NAME(dt_ref_fc_forward)(l, m, x, w, b, acts[i + 1]);
            break;
        }
    }
}

void NAME(dt_ref_net_backward)(const dt_net *net, int m, const REAL *params, float *const *masks,
                               REAL *const *acts, REAL *const *grads, REAL *dparams) {
    for (int i = net->n_layers - 1; i >= 0; i--) {
        const dt_layer *l = &net->layers[i];
        const REAL *x = acts[i], *w = params + l->w_at, *dy = grads[i + 1];
        REAL *dx = grads[i], *dw = dparams + l->w_at, *db = dparams + l->b_at;
        switch (l->kind) {
        case DT_CONV:
            NAME(dt_ref_conv_backward)(l, m, x, w, dy, dx, dw, db);
            break;
        case DT_POOL:
            NAME(dt_ref_pool_backward)(l, m, x, dy, dx);
            break;
        case DT_RELU:
            NAME(dt_ref_relu_backward)(l, m, x, dy, dx);
            break;
        case DT_DROPOUT:
            if (dx)
                NAME(dt_ref_dropout)(l, m, dy, masks ? masks[i] : NULL, dx);
            break;
        case DT_FC:
            NAME(dt_ref_fc_backward)(l, m, x, w, dy, dx, dw, db);
            break;
        }
    }
}
