/* launch/report_origin.c - where a sweep's page comes from: what is done, that bits are the same,
 * what was measured on the way, and what it ran on. */
#include <stdlib.h>
#include <string.h>
#include "launch/report.h"
#include "launch/report_rows.h"

static void say_cells(dt_page *page, const dt_sweep *sweep) {
    int failed = 0;
    for (size_t i = 0; i < sweep->n; i++)
        failed += sweep->cells[i].status != 0;
    dt_page_say(page, "%zu of %lld cells are done, %d failed.", sweep->n - (size_t)failed,
                (long long)sweep->planned, failed);
    for (size_t i = 0; i < sweep->n; i++)
        if (sweep->cells[i].status != 0)
            dt_page_note(page, "Failed: %lld samples, %lld ranks: %s",
                         (long long)sweep->cells[i].samples, (long long)sweep->cells[i].ranks,
                         sweep->cells[i].reason);
}

static void say_bits(dt_page *page, const dt_sweep *sweep) {
    dt_same_bits bits = dt_sweep_same_bits(sweep->cells, sweep->n);
    if (bits.one && bits.one->ranks == bits.other->ranks)
        dt_page_say(page,
                    "Not the same bits: batch %lld ended with other parameters on %lld ranks than "
                    "in another time cell of as many; with --reduce float that is to be expected, "
                    "else a machine computes wrongly.",
                    (long long)bits.one->batch, (long long)bits.one->ranks);
    else if (bits.one)
        dt_page_say(page,
                    "Not the same bits: batch %lld ended with other parameters on %lld ranks than "
                    "on %lld; with --reduce float that is to be expected, else a machine computes "
                    "wrongly.",
                    (long long)bits.one->batch, (long long)bits.other->ranks,
                    (long long)bits.one->ranks);
    else if (bits.cells == 0)
        dt_page_say(page, "Whether bits depend on the number of ranks was not tried: that takes "
                          "time cells of the same batch on several numbers of ranks.");
    else
        dt_page_say(page,
                    "Same bits: %d time cells of %d kind%s (batch and updates) were compared, and "
                    "within a kind all ended with the same parameters, to the last bit, on every "
                    "number of ranks.",
                    bits.cells, bits.groups, bits.groups == 1 ? "" : "s");
}

static bool same_end(const dt_cell *a, const dt_cell *b) {
    return b->kind == DT_CELL_TIME && b->status == 0 && a->batch == b->batch &&
           a->ranks == b->ranks && a->steps == b->steps &&
           strcmp(a->params_sha256, b->params_sha256) == 0;
}

/* The proof: what each batch ended with, and on how many ranks. */
static void sheet_bits(dt_page *page, const dt_sweep *sweep) {
    static const char *const headings[] = {"batch", "updates", "ranks", "cells", "params_sha256"};
    const dt_cell *cells = sweep->cells;
    dt_sheet s = {0};
    for (size_t i = 0; i < sizeof headings / sizeof *headings; i++)
        dt_sheet_column(&s, headings[i]);
    for (size_t i = 0; i < sweep->n; i++) {
        size_t n = 0, before = 0;
        for (size_t j = 0; j < sweep->n; j++)
            if (same_end(&cells[j], &cells[i]) && same_end(&cells[i], &cells[j])) {
                n++;
                before += j < i;
            }
        if (n == 0 || before > 0)
            continue;
        dt_sheet_put(&s, "%lld", (long long)cells[i].batch);
        int64_t updates = cells[i].warmup_steps + cells[i].steps;
        dt_sheet_put(&s, "%lld", (long long)updates);
        dt_sheet_put(&s, "%lld", (long long)cells[i].ranks);
        dt_sheet_put(&s, "%zu", n);
        dt_sheet_put(&s, "%s", cells[i].params_sha256);
    }
    if (s.n)
        dt_page_sheet(page, "bits", "Parameters that the time cells ended with", &s, false);
    dt_sheet_free(&s);
}

/* The constants of the machine that dtrain bench measures too, as measured in this job. */
static void sheet_all_reduce(dt_page *page, const dt_rows *all) {
    static const char *const headings[] = {"ranks",       "batch",       "8 bytes us",
                                           "gradient MB", "gradient ms", "GB/s"};
    dt_sheet s = {0};
    for (size_t i = 0; i < sizeof headings / sizeof *headings; i++)
        dt_sheet_column(&s, headings[i]);
    for (int i = 0; i < all->n; i++) {
        const dt_step_time *t = &all->r[i].time;
        if (!(t->reduce > 0))
            continue;
        double r = (double)t->ranks;
        dt_sheet_put(&s, "%lld", (long long)t->ranks);
        dt_sheet_put(&s, "%lld", (long long)all->r[i].batch);
        dt_sheet_number(&s, 1, 1e6 * t->latency);
        dt_sheet_number(&s, 2, 1e-6 * t->bytes);
        dt_sheet_number(&s, 3, 1e3 * t->reduce);
        dt_sheet_number(&s, 2, 1e-9 * t->bytes * 2 * (r - 1) / (r * t->reduce));
    }
    if (s.n)
        dt_page_sheet(page, "all-reduce",
                      "All-reduce alone; GB/s: bytes that each rank sends, 2 (W - 1) / W times the "
                      "gradient's, a second",
                      &s, false);
    dt_sheet_free(&s);
}

void dt_report_sweep_origin(dt_page *page, const dt_sweep *sweep) {
    const struct {
        const char *what, *value;
    } facts[] = {{"dtrain", sweep->build},
                 {"command", sweep->command_line},
                 {"model", sweep->model},
                 {"data", sweep->data},
                 {"hosts", sweep->hosts},
                 {"devices", sweep->devices},
                 {"fingerprint", sweep->fingerprint},
                 {"communication", sweep->comm_library},
                 {"begun", sweep->start_time},
                 {"last written", sweep->end_time},
                 {"options", sweep->config}};
    dt_sheet s = {0};
    dt_page_section(page, "origin", "Where this comes from");
    say_cells(page, sweep);
    say_bits(page, sweep);
    dt_sheet_column(&s, "what");
    dt_sheet_column(&s, "value");
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        dt_sheet_put(&s, "%s", facts[i].what);
        dt_sheet_put(&s, "%s", facts[i].value ? facts[i].value : "");
    }
    for (int i = 0; i < 4; i++) {
        dt_sheet_put(&s, "SHA-256 of data file %d", i + 1);
        dt_sheet_put(&s, "%s", sweep->data_sha256[i]);
    }
    dt_page_sheet(page, "origin", "Provenance", &s, false);
    sheet_bits(page, sweep);
    dt_rows *all = dt_rows_of(sweep);
    if (all)
        sheet_all_reduce(page, all);
    free(all);
}
