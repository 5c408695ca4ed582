/* launch/sweep_plan.c - cells, rounds, order of ranks and cost of a sweep. */
#include "launch/sweep_plan.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- lists --- */

dt_status dt_list_parse(const char *option, const char *text, int64_t min, int64_t max,
                        dt_list *out) {
    out->n = 0;
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        long long v = strtoll(at, &end, 10);
        size_t length = strcspn(at, ",");
        while (*end == ' ')
            end++;
        if (end == at || *at == ' ' || end != at + length || errno != 0)
            return dt_fail(DT_EUSAGE, "%s: '%.*s' is no whole number; give a list such as 1,2,4",
                           option, (int)length, at);
        if (v < min || v > max)
            return dt_fail(DT_EUSAGE, "%s: %lld is out of range; give numbers from %lld to %lld",
                           option, v, (long long)min, (long long)max);
        if (out->n > 0 && v <= out->v[out->n - 1])
            return dt_fail(DT_EUSAGE, "%s: %lld follows %lld; give each number once, ascending",
                           option, v, (long long)out->v[out->n - 1]);
        if (out->n == DT_LIST_MAX)
            return dt_fail(DT_EUSAGE, "%s: more than %d numbers", option, DT_LIST_MAX);
        out->v[out->n++] = v;
        at = end;
        if (*at == '\0')
            return DT_OK;
    }
}

void dt_list_text(const dt_list *list, char *text, size_t nbytes) {
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < list->n && used < nbytes; i++)
        used += (size_t)snprintf(text + used, nbytes - used, "%s%lld", i ? "," : "",
                                 (long long)list->v[i]);
}

void dt_list_doubling(int64_t n, dt_list *out) {
    out->n = 0;
    for (int64_t v = 1; v < n; v *= 2)
        out->v[out->n++] = v;
    out->v[out->n++] = n;
}

void dt_list_parts(int64_t n, dt_list *out) {
    static const int twelfths[] = {1, 2, 4, 6, 8, 10, 12};
    out->n = 0;
    for (size_t i = 0; i < sizeof twelfths / sizeof *twelfths; i++) {
        int64_t v = n * twelfths[i] / 12;
        if (v > 0 && (out->n == 0 || v > out->v[out->n - 1]))
            out->v[out->n++] = v;
    }
}

/* --- cells --- */

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static int64_t largest(const dt_sweep_spec *spec) {
    return spec->samples.v[spec->samples.n - 1];
}

typedef struct {
    dt_cell *v;
    size_t n, capacity;
} cell_list;

static dt_status append(cell_list *list, const dt_cell *cell) {
    if (list->n == list->capacity) {
        size_t capacity = 2 * list->capacity + 64;
        dt_cell *grown = realloc(list->v, capacity * sizeof *grown);
        if (!grown)
            return dt_fail(DT_EDEVICE, "no memory for %zu cells", capacity);
        list->v = grown;
        list->capacity = capacity;
    }
    list->v[list->n++] = *cell;
    return DT_OK;
}

/* The batches that are timed on so many ranks, and what for: the same batch may serve twice. */
static int time_batches(const dt_sweep_spec *s, int64_t ranks, int64_t *batch, int64_t *scaling) {
    const struct {
        int64_t batch, scaling;
    } wanted[] = {
        {s->batch, s->strong ? DT_SCALING_STRONG : 0},
        {s->batch * ranks, s->weak ? DT_SCALING_WEAK : 0},
        {s->batch / 4, DT_SCALING_MODEL},
        {s->batch / 2, DT_SCALING_MODEL},
        {s->batch * 2, DT_SCALING_MODEL},
    };
    int n = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        int known = 0;
        if (wanted[i].scaling == 0 || wanted[i].batch < s->micro_batch ||
            wanted[i].batch > largest(s))
            continue;
        while (known < n && batch[known] != wanted[i].batch)
            known++;
        if (known == n) {
            batch[n] = wanted[i].batch;
            scaling[n++] = 0;
        }
        if (wanted[i].scaling != DT_SCALING_MODEL || scaling[known] == 0)
            scaling[known] |= wanted[i].scaling;
    }
    return n;
}

static dt_status add_time_cell(const dt_sweep_spec *s, int64_t ranks, int64_t batch,
                               int64_t scaling, int64_t epochs, int64_t repeat, cell_list *list) {
    dt_cell cell = dt_cell_unknown();
    cell.kind = DT_CELL_TIME;
    cell.scaling = scaling;
    cell.samples = largest(s);
    cell.batch = batch;
    cell.epochs = epochs;
    cell.seed = s->seed;
    cell.repeat = repeat;
    cell.ranks = ranks;
    cell.threads = s->threads;
    cell.alone = 1;
    return append(list, &cell);
}

/* A whole epoch on each number of ranks, with the batch of strong scaling if that is asked for. */
static dt_status add_whole_epochs(const dt_sweep_spec *s, cell_list *list) {
    for (int r = 0; r < s->ranks.n; r++) {
        int64_t ranks = s->ranks.v[r], batch = s->strong ? s->batch : s->batch * ranks;
        if (batch >= s->micro_batch && batch <= largest(s))
            DT_TRY(add_time_cell(s, ranks, batch, s->strong ? DT_SCALING_STRONG : DT_SCALING_WEAK,
                                 1, 0, list));
    }
    return DT_OK;
}

static dt_status add_time_cells(const dt_sweep_spec *s, cell_list *list) {
    int64_t batch[8], scaling[8];
    for (int64_t repeat = 0; repeat < s->repeats; repeat++)
        for (int r = 0; r < s->ranks.n; r++) {
            int n = time_batches(s, s->ranks.v[r], batch, scaling);
            for (int b = 0; b < n; b++)
                DT_TRY(add_time_cell(s, s->ranks.v[r], batch[b], scaling[b], 0, repeat, list));
        }
    return add_whole_epochs(s, list);
}

/* As many updates as the largest set gets: for the largest set that is its cell by epochs. */
static dt_status add_accuracy_cells(const dt_sweep_spec *s, dt_cell_budget budget, int64_t seed,
                                    cell_list *list) {
    for (int i = s->samples.n - 1; i >= 0; i--) {
        if (budget == DT_BUDGET_STEPS && s->by_epochs && i == s->samples.n - 1)
            continue;
        dt_cell cell = dt_cell_unknown();
        cell.kind = DT_CELL_ACCURACY;
        cell.budget = budget;
        cell.samples = s->samples.v[i];
        cell.batch = s->batch;
        cell.epochs = s->epochs;
        cell.seed = seed;
        cell.threads = s->threads;
        DT_TRY(append(list, &cell));
    }
    return DT_OK;
}

dt_status dt_sweep_cells(const dt_sweep_spec *spec, dt_cell **cells, size_t *n) {
    cell_list list = {0};
    dt_status status = DT_OK;
    if (spec->strong || spec->weak)
        status = add_time_cells(spec, &list);
    for (int64_t i = 0; status == DT_OK && i < spec->seeds; i++) {
        if (spec->by_epochs)
            status = add_accuracy_cells(spec, DT_BUDGET_EPOCHS, spec->seed + i, &list);
        if (status == DT_OK && spec->by_steps)
            status = add_accuracy_cells(spec, DT_BUDGET_STEPS, spec->seed + i, &list);
    }
    if (status != DT_OK) {
        free(list.v);
        list = (cell_list){0};
    }
    *cells = list.v;
    *n = list.n;
    return status;
}

int64_t dt_sweep_steps(const dt_sweep_spec *spec, const dt_cell *cell) {
    int64_t samples = cell->budget == DT_BUDGET_STEPS ? largest(spec) : cell->samples;
    return spec->epochs * ceil_div(samples, spec->batch);
}

int64_t dt_sweep_point(const dt_sweep_spec *spec, const dt_cell *cell, int64_t i) {
    return dt_sweep_steps(spec, cell) * i / spec->epochs;
}

/* --- rounds --- */

/* Ranks that one training can use: beyond that there are no micro-batches for them. */
static int64_t useful_ranks(const dt_sweep_spec *s) {
    int64_t micros = ceil_div(s->batch, s->micro_batch), useful = ceil_div(micros, s->threads);
    return useful < s->job_ranks ? useful : s->job_ranks;
}

/* Cells of other seeds than the first, side by side: the most expensive ones that are left, as many
 * as there are ranks, none less than half as long as the longest. */
static void fill_round(const dt_sweep_spec *s, const dt_cell *cells, const bool *done, size_t n,
                       dt_round *out) {
    double longest = 0;
    int64_t most = s->job_ranks < DT_LIST_MAX ? s->job_ranks : DT_LIST_MAX;
    for (size_t i = 0; i < n; i++)
        if (!done[i] && dt_sweep_cost(s, &cells[i]) > longest)
            longest = dt_sweep_cost(s, &cells[i]);
    /* by cost, then by place in the list: the longest first */
    for (double bound = INFINITY; out->n < most;) {
        double best = 0;
        for (size_t i = 0; i < n; i++) {
            double cost = dt_sweep_cost(s, &cells[i]);
            if (!done[i] && cost < bound && cost > best)
                best = cost;
        }
        if (best < longest / 2 || best == 0)
            break;
        for (size_t i = 0; i < n && out->n < most; i++)
            if (!done[i] && dt_sweep_cost(s, &cells[i]) >= best &&
                dt_sweep_cost(s, &cells[i]) < bound)
                out->cells[out->n++] = i;
        bound = best;
    }
    int64_t share = s->job_ranks / out->n, useful = useful_ranks(s);
    out->ranks = (int)(share < useful ? share : useful);
}

void dt_sweep_next(const dt_sweep_spec *spec, const dt_cell *cells, const bool *done, size_t n,
                   dt_round *out) {
    size_t first = 0;
    out->n = 0;
    out->ranks = 0;
    while (first < n && done[first])
        first++;
    if (first == n)
        return;
    const dt_cell *cell = &cells[first];
    if (cell->kind == DT_CELL_ACCURACY && cell->seed != spec->seed) {
        fill_round(spec, cells, done, n, out);
        return;
    }
    out->cells[0] = first;
    out->n = 1;
    out->ranks = (int)(cell->kind == DT_CELL_TIME ? cell->ranks : useful_ranks(spec));
}

void dt_sweep_order(const int *host_of, int n_ranks, bool spread, int *order) {
    int n_hosts = 0, n = 0;
    for (int r = 0; r < n_ranks; r++)
        if (host_of[r] >= n_hosts)
            n_hosts = host_of[r] + 1;
    for (int turn = 0; spread && n < n_ranks; turn++)
        for (int h = 0; h < n_hosts; h++) {
            int seen = 0, r = 0;
            while (r < n_ranks && (host_of[r] != h || seen++ != turn))
                r++;
            if (r < n_ranks)
                order[n++] = r;
        }
    for (int h = 0; !spread && h < n_hosts; h++)
        for (int r = 0; r < n_ranks; r++)
            if (host_of[r] == h)
                order[n++] = r;
}

/* --- time --- */

double dt_sweep_cost(const dt_sweep_spec *spec, const dt_cell *cell) {
    enum { USUAL_STEPS = 70 };
    bool is_time = cell->kind == DT_CELL_TIME;
    int64_t ranks = cell->ranks ? cell->ranks : useful_ranks(spec);
    int64_t micros = ceil_div(cell->batch, spec->micro_batch), workers = ranks * spec->threads;
    int64_t steps = !is_time       ? dt_sweep_steps(spec, cell)
                    : cell->epochs ? cell->epochs * ceil_div(cell->samples, cell->batch)
                                   : USUAL_STEPS;
    int64_t evaluated = is_time ? 0 : spec->epochs * spec->test_samples;
    double speed_up = (double)micros / (double)ceil_div(micros, workers);
    int64_t samples = cell->budget == DT_BUDGET_STEPS ? largest(spec) : cell->samples;
    double images = (double)(is_time ? steps * cell->batch : spec->epochs * samples);
    return (images + (double)evaluated / 3) / speed_up;
}

double dt_sweep_seconds_left(const dt_sweep_spec *spec, const dt_cell *cells, const bool *done,
                             size_t n, double done_cost, double done_seconds) {
    double left = 0;
    for (size_t i = 0; i < n; i++)
        left += done[i] ? 0 : dt_sweep_cost(spec, &cells[i]);
    return done_cost > 0 ? left * done_seconds / done_cost : NAN;
}

/* --- results --- */

static bool is_comparable(const dt_cell *a, const dt_cell *b) {
    return b->kind == DT_CELL_TIME && b->status == DT_OK && a->batch == b->batch &&
           a->samples == b->samples && a->epochs == b->epochs && a->seed == b->seed &&
           a->steps == b->steps;
}

/* The cells of first's configuration; none of them comes before it. */
static void compare_group(const dt_cell *first, const dt_cell *end, dt_same_bits *out) {
    int cells = 0;
    bool ranks_differ = false;
    for (const dt_cell *c = first; c < end; c++) {
        if (!is_comparable(first, c))
            continue;
        cells++;
        ranks_differ = ranks_differ || c->ranks != first->ranks;
        if (!out->one && strcmp(first->params_sha256, c->params_sha256) != 0) {
            out->one = first;
            out->other = c;
        }
    }
    if (ranks_differ) {
        out->groups++;
        out->cells += cells;
    }
}

dt_same_bits dt_sweep_same_bits(const dt_cell *cells, size_t n) {
    dt_same_bits out = {0};
    for (size_t i = 0; i < n; i++) {
        size_t first = 0;
        if (!is_comparable(&cells[i], &cells[i]))
            continue;
        while (!is_comparable(&cells[i], &cells[first]))
            first++;
        if (first == i)
            compare_group(&cells[i], cells + n, &out);
    }
    return out;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The number of values below the true median is binomial(n, 1/2): the interval between the k-th
 * smallest and the k-th largest misses it with probability 2 P(fewer than k). */
dt_median dt_median_interval(double *v, size_t n) {
    qsort(v, n, sizeof *v, by_value);
    double term = -(double)n * log(2), below = 0; /* log of P(exactly k) */
    size_t k = 0;
    for (;;) {
        below += exp(term);
        if (2 * below > 0.05)
            break;
        term += log((double)(n - k)) - log((double)(k + 1));
        k++;
    }
    k = k > 0 ? k - 1 : 0;
    return (dt_median){
        .median = (v[(n - 1) / 2] + v[n / 2]) / 2, .low = v[k], .high = v[n - 1 - k]};
}
