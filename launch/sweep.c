/* launch/sweep.c - `dtrain sweep`: cells in rounds, until all are done.
 *
 * All ranks have the same list of cells. Rank 0 knows which are done, and says which come next; the
 * ranks of a cell form a group of their own and train (launch/cell.c), all others sleep in a
 * barrier. Then everybody learns what came out, rank 0 writes it to the file, and only then the
 * next round begins. So a sweep that is killed loses no more than the cells that were running. */
#include "launch/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/log.h"
#include "launch/cell.h"
#include "launch/setup.h"
#include "launch/sweep_book.h"
#include "launch/sweep_plan.h"
#include "launch/sweep_show.h"
#include "launch/trace.h"

typedef struct {
    dt_options options; /* with lists, threads and micro-batch resolved */
    dt_comm *comm;
    int rank, size;
    dt_gpus *gpus;  /* of all ranks */
    dt_setup setup; /* of all ranks: data, network; its device is closed before the first cell */
    dt_sweep_spec spec;
    dt_cell *cells; /* [n] as planned */
    size_t n;
    bool *done;     /* [n] */
    int *order;     /* [size] ranks in the order of their use */
    double *curves; /* [DT_LIST_MAX][values of a curve] */
    dt_trace *trace;
    dt_sweep_book book;             /* rank 0's */
    double done_cost, done_seconds; /* of this process */
} sweep;

/* What rank 0 decides. */
typedef struct {
    dt_round round;
    int64_t steps; /* of a time cell; 0: it finds out */
    bool stop;
} turn;

/* -- What is asked for ----------------------------------------------------------------------- */

static dt_status resolve_lists(sweep *w) {
    dt_options *o = &w->options;
    dt_sweep_spec *s = &w->spec;
    int64_t n = (int64_t)w->setup.data->train.n;
    if (strcmp(o->sizes, "auto") == 0)
        dt_list_parts(n, &s->samples);
    else
        DT_TRY(dt_list_parse("--samples", o->sizes, 1, n, &s->samples));
    if (strcmp(o->ranks, "auto") == 0)
        dt_list_doubling(w->size, &s->ranks);
    else
        DT_TRY(dt_list_parse("--ranks", o->ranks, 1, w->size, &s->ranks));
    dt_list_text(&s->samples, o->sizes, sizeof o->sizes);
    dt_list_text(&s->ranks, o->ranks, sizeof o->ranks);
    return DT_OK;
}

/* The same number of threads on every rank of every cell: what the poorest rank has. */
static void resolve_threads(sweep *w) {
    int64_t threads = w->setup.workers[0];
    for (int r = 1; r < w->size; r++)
        threads = w->setup.workers[r] < threads ? w->setup.workers[r] : threads;
    w->options.threads = threads;
    w->options.micro_batch = w->setup.options.micro_batch;
}

static void fill_spec(sweep *w) {
    const dt_options *o = &w->options;
    dt_sweep_spec *s = &w->spec;
    s->batch = o->batch;
    s->micro_batch = o->micro_batch;
    s->epochs = o->epochs;
    s->seed = (int64_t)o->seed;
    s->seeds = o->seeds;
    s->repeats = o->repeats;
    s->threads = o->threads;
    s->job_ranks = w->size;
    s->test_samples = (int64_t)w->setup.data->test.n;
    s->strong = o->scaling == DT_SCALING_OF_STRONG || o->scaling == DT_SCALING_OF_BOTH;
    s->weak = o->scaling == DT_SCALING_OF_WEAK || o->scaling == DT_SCALING_OF_BOTH;
    s->by_epochs = o->budget == DT_BUDGET_OF_EPOCHS || o->budget == DT_BUDGET_OF_BOTH;
    s->by_steps = o->budget == DT_BUDGET_OF_STEPS || o->budget == DT_BUDGET_OF_BOTH;
}

/* Data, network and device of the whole job: what cannot be is found before the first cell. */
static dt_status open_setup(sweep *w, const dt_options *options, const dt_backend *backend) {
    dt_setup *s = &w->setup;
    DT_TRY(dt_setup_open(s, options, backend, w->gpus, w->comm));
    DT_TRY(dt_setup_data(s));
    resolve_threads(w);
    DT_TRY(resolve_lists(w));
    fill_spec(w);
    s->options.command = DT_CMD_TRAIN;
    s->options.samples = w->spec.samples.v[w->spec.samples.n - 1];
    DT_TRY(dt_setup_samples(s));
    DT_TRY(dt_setup_network(s, options->model));
    DT_TRY(dt_setup_device(s, s->data->mean, s->data->std));
    s->backend->close(&s->device);
    int64_t *none; /* each cell's ranks have their own */
    return dt_comm_share(w->comm, 0, &none);
}

static dt_status plan(sweep *w) {
    size_t curve = DT_CURVE_COLUMNS * (size_t)(w->spec.epochs + 1);
    int *hosts = calloc((size_t)w->size, sizeof *hosts);
    dt_status status = dt_sweep_cells(&w->spec, &w->cells, &w->n);
    w->done = calloc(w->n + 1, sizeof *w->done);
    w->order = calloc((size_t)w->size, sizeof *w->order);
    w->curves = calloc(DT_LIST_MAX * curve, sizeof *w->curves);
    if (status == DT_OK && (!w->done || !w->order || !w->curves || !hosts))
        status = dt_fail(DT_EDEVICE, "no memory for a sweep of %zu cells", w->n);
    for (int r = 0; status == DT_OK && r < w->size; r++)
        hosts[r] = dt_comm_host_of(w->comm, r);
    if (status == DT_OK)
        dt_sweep_order(hosts, w->size, w->options.spread, w->order);
    free(hosts);
    DT_TRY(dt_comm_agree(w->comm, status));
    if (w->n == 0)
        return dt_fail(DT_EUSAGE,
                       "nothing to do: --scaling %s and --budget %s leave no cells with "
                       "batch %lld and %s samples",
                       w->spec.strong || w->spec.weak ? "both" : "none",
                       w->spec.by_epochs || w->spec.by_steps ? "both" : "none",
                       (long long)w->spec.batch, w->options.sizes);
    return DT_OK;
}

/* Rank 0 takes up what is there; all learn which cells that is. */
static dt_status open_book(sweep *w) {
    dt_status status = DT_OK;
    if (w->rank == 0) {
        status = dt_sweep_book_open(&w->options, &w->setup, (int64_t)w->n, &w->book);
        for (size_t i = 0; status == DT_OK && i < w->n; i++) {
            const dt_cell *cell = dt_sweep_find(w->book.sweep, &w->cells[i]);
            w->done[i] = cell && dt_cell_done(cell);
        }
    }
    DT_TRY(dt_comm_agree(w->comm, status));
    return dt_comm_bcast(w->comm, w->done, w->n * sizeof *w->done, 0);
}

/* -- A round --------------------------------------------------------------------------------- */

static double *curve_of(const sweep *w, int i) {
    return w->curves + (size_t)i * DT_CURVE_COLUMNS * (size_t)(w->spec.epochs + 1);
}

/* Another cell of the same batch has found out how many steps are enough. */
static int64_t known_steps(const sweep *w, const dt_cell *cell) {
    const dt_sweep *book = w->book.sweep;
    for (size_t i = 0; i < book->n; i++) {
        const dt_cell *c = &book->cells[i];
        if (c->kind == DT_CELL_TIME && c->epochs == 0 && c->status == DT_OK &&
            c->batch == cell->batch)
            return c->steps;
    }
    return 0;
}

static bool is_out_of_time(const sweep *w) {
    double limit = w->options.time_limit;
    return limit > 0 && dt_now() - w->setup.started >= limit;
}

static dt_status decide(sweep *w, turn *t) {
    int64_t votes = dt_signals_pending() || (w->rank == 0 && is_out_of_time(w));
    memset(t, 0, sizeof *t);
    DT_TRY(dt_comm_sum_i64(w->comm, &votes, 1));
    if (w->rank == 0) {
        dt_sweep_next(&w->spec, w->cells, w->done, w->n, &t->round);
        if (t->round.n > 0 && w->cells[t->round.cells[0]].kind == DT_CELL_TIME)
            t->steps = known_steps(w, &w->cells[t->round.cells[0]]);
        t->stop = votes > 0 && t->round.n > 0;
    }
    return dt_comm_bcast(w->comm, t, sizeof *t, 0);
}

/* This rank's cell of the round, -1: none, and where it stands in the order of use. */
static int place_of(const sweep *w, const dt_round *round, int *place) {
    *place = 0;
    while (w->order[*place] != w->rank)
        ++*place;
    int i = *place / round->ranks;
    return i < round->n ? i : -1;
}

/* Train this rank's cell into results[i]. A cell's failure is a result; the sweep's is returned. */
static dt_status run_own(sweep *w, const turn *t, dt_cell *results) {
    dt_comm *part = NULL;
    int place, i = place_of(w, &t->round, &place);
    double limit = w->options.time_limit;
    DT_TRY(dt_comm_split(w->comm, i, place, &part));
    if (part) {
        double begin = dt_now();
        dt_cell_job job = {.options = &w->options,
                           .spec = &w->spec,
                           .backend = w->setup.backend,
                           .comm = part,
                           .whole = w->comm,
                           .gpus = w->gpus,
                           .data = w->setup.data,
                           .steps = t->steps,
                           .time_limit_at = limit > 0 ? w->setup.started + limit : 0,
                           .trace = w->trace};
        results[i].alone = t->round.n == 1;
        dt_trace_begin(w->trace);
        dt_status status = dt_cell_run(&job, &results[i]);
        results[i].status = status;
        dt_trace_span(w->trace, "cell", begin, dt_now());
    }
    dt_comm_free(&part);
    return DT_OK;
}

/* Everybody learns what the first rank of each cell knows. */
static dt_status share(sweep *w, const dt_round *round, dt_cell *results) {
    size_t nbytes = DT_CURVE_COLUMNS * (size_t)(w->spec.epochs + 1) * sizeof(double);
    for (int i = 0; i < round->n; i++) {
        int root = w->order[i * round->ranks];
        DT_TRY(dt_comm_bcast(w->comm, &results[i], sizeof results[i], root));
        results[i].curve = curve_of(w, i); /* the other's pointer came with it */
        DT_TRY(dt_comm_bcast(w->comm, results[i].curve, nbytes, root));
    }
    return DT_OK;
}

/* Rank 0: into the file, and onto the screen. */
static dt_status record(sweep *w, const dt_round *round, const dt_cell *results) {
    size_t n_done = 0;
    for (int i = 0; i < round->n; i++)
        if (results[i].status != DT_ESTOPPED)
            DT_TRY(dt_sweep_book_add(&w->book, &results[i]));
    for (size_t i = 0; i < w->n; i++)
        n_done += w->done[i];
    double left =
        dt_sweep_seconds_left(&w->spec, w->cells, w->done, w->n, w->done_cost, w->done_seconds);
    for (int i = 0; i < round->n; i++)
        if (results[i].status != DT_ESTOPPED)
            dt_sweep_show_cell(&w->options, &results[i], n_done, w->n, left);
    return DT_OK;
}

static dt_status run_round(sweep *w, const turn *t) {
    const dt_round *round = &t->round;
    dt_cell results[DT_LIST_MAX];
    double begin = dt_now();
    bool stopped = false;
    for (int i = 0; i < round->n; i++) {
        results[i] = w->cells[round->cells[i]];
        results[i].curve = curve_of(w, i);
    }
    DT_TRY(run_own(w, t, results));
    DT_TRY(dt_comm_idle_barrier(w->comm));
    DT_TRY(share(w, round, results));
    for (int i = 0; i < round->n; i++) {
        stopped = stopped || results[i].status == DT_ESTOPPED;
        w->done[round->cells[i]] = results[i].status != DT_ESTOPPED;
        w->done_cost += dt_sweep_cost(&w->spec, &w->cells[round->cells[i]]);
    }
    w->done_seconds += dt_now() - begin;
    DT_TRY(dt_comm_agree(w->comm, w->rank == 0 ? record(w, round, results) : DT_OK));
    return stopped ? dt_fail(DT_ESTOPPED, "stopped, as asked") : DT_OK;
}

/* -- The whole ------------------------------------------------------------------------------- */

/* Rank 0: what the cells together say. */
static dt_status judge(const sweep *w) {
    const dt_sweep *book = w->book.sweep;
    size_t failed = 0, first = 0;
    for (size_t i = book->n; i-- > 0;)
        if (book->cells[i].status != DT_OK) {
            failed++;
            first = i;
        }
    if (failed)
        return dt_fail((dt_status)book->cells[first].status,
                       "%zu of %zu cells failed, the first with: %.200s", failed, book->n,
                       book->cells[first].reason);
    dt_same_bits bits = dt_sweep_same_bits(book->cells, book->n);
    if (bits.one && w->options.reduce == DT_REDUCE_EXACT)
        return dt_fail(DT_EPEER,
                       "batch %lld ended with other parameters on %lld ranks than on %lld: one of "
                       "the machines computes wrongly",
                       (long long)bits.one->batch, (long long)bits.other->ranks,
                       (long long)bits.one->ranks);
    return DT_OK;
}

static dt_status run_all(sweep *w) {
    turn t;
    for (;;) {
        DT_TRY(decide(w, &t));
        if (t.stop)
            return dt_fail(DT_ESTOPPED, "stopped between two cells, as asked");
        if (t.round.n == 0)
            return dt_comm_agree(w->comm, w->rank == 0 ? judge(w) : DT_OK);
        DT_TRY(run_round(w, &t));
    }
}

/* The file says how it ended, whatever that was. */
static dt_status finish(sweep *w, dt_status status) {
    char why[DT_ERROR_MAX];
    dt_error_copy(why);
    dt_status kept = DT_OK;
    if (w->rank == 0 && w->book.sweep) {
        kept = dt_sweep_book_finish(&w->book, status);
        if (kept == DT_OK)
            dt_sweep_show_end(&w->options, &w->book, w->n, status);
    }
    kept = dt_comm_agree(w->comm, kept);
    dt_status traced = dt_trace_close(&w->trace);
    kept = kept == DT_OK ? traced : kept;
    if (status == DT_OK)
        return kept;
    dt_error_set(why);
    return status;
}

static dt_status begin(sweep *w, const dt_options *options, const dt_backend *backend) {
    size_t n_done = 0;
    DT_TRY(open_setup(w, options, backend));
    DT_TRY(plan(w));
    DT_TRY(open_book(w));
    DT_TRY(dt_trace_open(w->comm, options->trace, &w->trace));
    for (size_t i = 0; i < w->n; i++)
        n_done += w->done[i];
    if (w->rank == 0) {
        dt_sweep_show_start(options, &w->spec, &w->book, w->n, n_done);
        dt_sweep_warn_gnuplot();
    }
    return DT_OK;
}

dt_status dt_sweep_main(const dt_options *options, const dt_backend *backend, dt_gpus *gpus,
                        dt_comm *comm) {
    sweep w = {.options = *options,
               .gpus = gpus,
               .comm = comm,
               .rank = dt_comm_rank(comm),
               .size = dt_comm_size(comm),
               .book = {.claim = -1}};
    dt_status status = begin(&w, options, backend);
    if (status == DT_OK)
        status = finish(&w, run_all(&w));
    dt_sweep_book_close(&w.book);
    dt_setup_close(&w.setup);
    free(w.cells);
    free(w.done);
    free(w.order);
    free(w.curves);
    return status;
}
