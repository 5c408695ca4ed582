/* launch/sweep_show.c - a sweep in lines: what will be done, each cell, what came of it. */
#include "launch/sweep_show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/log.h"
#include "launch/term.h"

static void flush(void) {
    dt_status status = dt_stdout_flush();
    if (status != DT_OK) {
        static bool told;
        if (!told)
            dt_log_error();
        told = true;
    }
}

/* "1,000, 2,000 and 4,000" */
static void print_list(const dt_list *list) {
    char text[DT_NUMBER_MAX];
    for (int i = 0; i < list->n; i++)
        printf("%s%s",
               i == 0             ? ""
               : i + 1 == list->n ? " and "
                                  : ", ",
               dt_text_thousands(list->v[i], text));
}

static size_t count_retried(const dt_sweep *sweep) {
    size_t n = 0;
    for (size_t i = 0; i < sweep->n; i++)
        n += !dt_cell_done(&sweep->cells[i]);
    return n;
}

void dt_sweep_show_start(const dt_options *o, const dt_sweep_spec *spec, const dt_sweep_book *book,
                         size_t n_cells, size_t n_done) {
    dt_term term = dt_term_of(STDOUT_FILENO);
    if (o->quiet || o->json)
        return;
    printf("%sdtrain sweep%s: %zu cells, in %s\n", term.bold, term.plain, n_cells, book->path);
    printf("  model    %s\n", o->model);
    if (spec->by_epochs || spec->by_steps) {
        printf("  data     ");
        print_list(&spec->samples);
        printf(" samples, %" PRId64 " seed%s, %" PRId64 " epoch%s%s\n", spec->seeds,
               spec->seeds == 1 ? "" : "s", spec->epochs, spec->epochs == 1 ? "" : "s",
               !spec->by_steps    ? ""
               : !spec->by_epochs ? " of the largest, as many updates for all"
                                  : "; and with as many updates as the largest gets");
    }
    if (spec->strong || spec->weak) {
        printf("  ranks    ");
        print_list(&spec->ranks);
        printf(" of %" PRId64 " thread%s, batch %" PRId64 "%s, %" PRId64
               " measurement%s each, and a whole epoch\n",
               spec->threads, spec->threads == 1 ? "" : "s", spec->batch,
               spec->weak ? " and growing with the ranks" : "", spec->repeats,
               spec->repeats == 1 ? "" : "s");
    }
    if (n_done > 0)
        printf("  %zu cells are there already: going on with the other %zu\n", n_done,
               n_cells - n_done);
    if (count_retried(book->sweep) > 0)
        printf("  %zu of them failed before, and are tried again\n", count_retried(book->sweep));
    flush();
}

static void show_json(const dt_cell *cell, size_t n_done, size_t n_cells, double seconds_left) {
    dt_json j = {0};
    dt_json_open(&j, NULL, '{');
    dt_json_str(&j, "event", "cell");
    dt_json_int(&j, "done", (int64_t)n_done);
    dt_json_int(&j, "planned", (int64_t)n_cells);
    dt_json_str(&j, "kind", cell->kind == DT_CELL_TIME ? "time" : "accuracy");
    dt_json_int(&j, "samples", cell->samples);
    dt_json_int(&j, "batch", cell->batch);
    dt_json_int(&j, "epochs", cell->epochs);
    dt_json_str(&j, "budget", cell->budget == DT_BUDGET_STEPS ? "steps" : "epochs");
    dt_json_int(&j, "seed", cell->seed);
    dt_json_int(&j, "repeat", cell->repeat);
    dt_json_int(&j, "ranks", cell->ranks);
    dt_json_int(&j, "threads", cell->threads);
    dt_json_int(&j, "status", cell->status);
    dt_json_str(&j, "reason", cell->reason);
    dt_json_int(&j, "steps", cell->steps);
    dt_json_num(&j, "seconds", cell->seconds);
    dt_json_num(&j, "step_seconds", cell->step_seconds);
    dt_json_num(&j, "images_per_second", cell->images_per_second);
    dt_json_num(&j, "test_accuracy", cell->test_accuracy);
    dt_json_str(&j, "params_sha256", cell->params_sha256);
    dt_json_num(&j, "seconds_left", seconds_left);
    dt_json_close(&j, '}');
    if (dt_stdout_json(&j) != DT_OK)
        dt_log_error();
}

void dt_sweep_show_cell(const dt_options *o, const dt_cell *cell, size_t n_done, size_t n_cells,
                        double seconds_left) {
    char samples[DT_NUMBER_MAX], rate[DT_NUMBER_MAX], left[DT_NUMBER_MAX], seconds[DT_NUMBER_MAX];
    if (o->json)
        show_json(cell, n_done, n_cells, seconds_left);
    if (o->quiet || o->json)
        return;
    printf("[%3zu/%zu] ", n_done, n_cells);
    dt_text_thousands(cell->samples, samples);
    if (cell->kind == DT_CELL_TIME)
        printf("%" PRId64 " rank%s, batch %-5" PRId64, cell->ranks, cell->ranks == 1 ? " " : "s",
               cell->batch);
    else
        printf("%6s samples, seed %" PRId64 ", %s", samples, cell->seed,
               cell->budget == DT_BUDGET_STEPS ? "as many updates" : "all epochs     ");
    if (cell->status != DT_OK)
        printf(": failed: %s", cell->reason);
    else if (cell->kind == DT_CELL_TIME)
        printf(": %8.3f ms a step, %7s images/s%s%s", 1e3 * cell->step_seconds,
               dt_text_thousands((int64_t)((double)cell->batch / cell->step_seconds), rate),
               cell->epochs ? "; a whole epoch: " : "",
               cell->epochs ? dt_text_seconds(cell->seconds, seconds) : "");
    else
        printf(": %6.2f %%, %s", cell->test_accuracy, dt_text_seconds(cell->seconds, seconds));
    printf("; %s left\n", dt_text_clock(seconds_left, left));
    flush();
}

static void show_bits(const dt_options *o, const dt_sweep *sweep) {
    dt_same_bits bits = dt_sweep_same_bits(sweep->cells, sweep->n);
    if (!bits.one && bits.cells > 0)
        printf("  bits     %d time cells of %d kind%s (batch and updates): within a kind all ended "
               "with the same parameters, to the last bit\n",
               bits.cells, bits.groups, bits.groups == 1 ? "" : "s");
    else if (bits.one && o->reduce == DT_REDUCE_FLOAT)
        printf(
            "  bits     parameters depend on the number of ranks, as --reduce float lets them\n");
}

void dt_sweep_show_end(const dt_options *o, const dt_sweep_book *book, size_t n_cells,
                       dt_status status) {
    const dt_sweep *sweep = book->sweep;
    size_t failed = 0;
    if (o->quiet || o->json)
        return;
    for (size_t i = 0; i < sweep->n; i++)
        failed += sweep->cells[i].status != DT_OK;
    if (status == DT_ESTOPPED)
        printf("stopped with %zu of %zu cells done: start it again to go on\n", sweep->n, n_cells);
    else
        printf("%zu cells done, %zu of them failed\n", sweep->n, failed);
    show_bits(o, sweep);
    printf("  report   dtrain report %s\n", book->dir);
    flush();
}

void dt_sweep_warn_gnuplot(void) {
    char program[DT_PATH_MAX];
    const char *path = getenv("PATH");
    for (const char *at = path ? path : ""; *at;) {
        int n = (int)strcspn(at, ":");
        if (snprintf(program, sizeof program, "%.*s/gnuplot", n, at) < (int)sizeof program &&
            access(program, X_OK) == 0)
            return;
        at += n + (at[n] == ':');
    }
    dt_warn("there is no gnuplot on this machine: the sweep's data are kept, and dtrain report "
            "needs gnuplot wherever it runs");
}
