/* launch/report_rows.c - time cells, gathered by configuration. */
#include "launch/report_rows.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "launch/fit.h"

static int by_batch_and_ranks(const void *a, const void *b) {
    const dt_row *x = a, *y = b;
    if (x->batch != y->batch)
        return x->batch < y->batch ? -1 : 1;
    return x->ranks < y->ranks ? -1 : x->ranks > y->ranks;
}

static dt_row *row_for(dt_rows *all, const dt_cell *c) {
    for (int i = 0; i < all->n; i++) {
        dt_row *r = &all->r[i];
        if (r->ranks == c->ranks && r->threads == c->threads && r->batch == c->batch)
            return r;
    }
    if (all->n == DT_ROWS_MAX)
        return NULL;
    dt_row *r = &all->r[all->n++];
    r->ranks = c->ranks;
    r->threads = c->threads;
    r->batch = c->batch;
    return r;
}

/* Median over the repeats of the number at this place of a cell. */
static double median_at(const dt_row *r, size_t at) {
    double v[DT_ROW_REPEATS];
    for (int i = 0; i < r->n; i++)
        memcpy(&v[i], (const char *)r->cell[i] + at, sizeof *v);
    return dt_median_of(v, (size_t)r->n);
}

#define MEDIAN(row, field) median_at(row, offsetof(dt_cell, field))

static void finish_row(dt_row *r, int64_t micro_batch) {
    r->step = (dt_estimate){MEDIAN(r, step_seconds), INFINITY, 0};
    for (int i = 0; i < r->n; i++) {
        r->scaling |= r->cell[i]->scaling;
        r->step.low = fmin(r->step.low, r->cell[i]->step_low);
        r->step.high = fmax(r->step.high, r->cell[i]->step_high);
    }
    r->input = MEDIAN(r, input_seconds);
    r->compute = MEDIAN(r, compute_seconds);
    r->update = MEDIAN(r, update_seconds);
    r->reduce = MEDIAN(r, reduce_seconds);
    r->wait = MEDIAN(r, wait_seconds);
    r->startup = MEDIAN(r, startup_seconds);
    r->evaluation = MEDIAN(r, evaluation_seconds);
    if (!(r->evaluation > 0)) /* not measured */
        r->evaluation = NAN;
    r->rate = (double)r->batch / r->step.value;
    r->time = (dt_step_time){.ranks = r->ranks,
                             .threads = r->threads,
                             .micros = ceil((double)r->batch / (double)micro_batch),
                             .seconds = r->step.value,
                             .compute = r->compute,
                             .wait = r->wait,
                             .exposed = r->reduce,
                             .reduce = MEDIAN(r, all_reduce_seconds),
                             .latency = MEDIAN(r, latency_seconds),
                             .bytes = (double)r->cell[0]->all_reduce_bytes};
}

int64_t dt_rows_micro_batch(const dt_sweep *sweep) {
    return sweep->micro_batch > 0 ? sweep->micro_batch : 1;
}

dt_rows *dt_rows_of(const dt_sweep *sweep) {
    dt_rows *all = calloc(1, sizeof *all);
    for (size_t i = 0; all && i < sweep->n; i++) {
        const dt_cell *c = &sweep->cells[i];
        if (c->kind != DT_CELL_TIME || c->epochs > 0 || c->status != 0 || !(c->step_seconds > 0) ||
            c->ranks < 1 || c->threads < 1 || c->batch < 1)
            continue;
        dt_row *r = row_for(all, c);
        if (r && r->n < DT_ROW_REPEATS)
            r->cell[r->n++] = c;
        else
            all->left_out++;
    }
    if (!all)
        return NULL;
    qsort(all->r, (size_t)all->n, sizeof *all->r, by_batch_and_ranks);
    for (int i = 0; i < all->n; i++) {
        finish_row(&all->r[i], dt_rows_micro_batch(sweep));
        all->times[i] = all->r[i].time;
    }
    return all;
}

const dt_row *dt_rows_first(const dt_rows *rows, int64_t scaling) {
    const dt_row *first = NULL;
    for (int i = 0; i < rows->n; i++)
        if ((rows->r[i].scaling & scaling) && (!first || rows->r[i].ranks < first->ranks))
            first = &rows->r[i];
    return first;
}

const dt_row *dt_rows_last(const dt_rows *rows, int64_t scaling) {
    const dt_row *last = NULL;
    for (int i = 0; i < rows->n; i++)
        if ((rows->r[i].scaling & scaling) && (!last || rows->r[i].ranks > last->ranks))
            last = &rows->r[i];
    return last;
}

int64_t dt_rows_most_ranks(const dt_rows *rows) {
    int64_t most = 1;
    for (int i = 0; i < rows->n; i++)
        most = rows->r[i].ranks > most ? rows->r[i].ranks : most;
    return most;
}
