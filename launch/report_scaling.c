/* launch/report_scaling.c - what more ranks buy: speed-up, efficiency, and where a step's time
 * goes.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "launch/report.h"
#include "launch/report_rows.h"

/* Images a second against base's: the speed-up, for strong and weak scaling alike. */
static dt_estimate speed_up(const dt_row *r, const dt_row *base) {
    double same = (double)r->batch / (double)base->batch;
    return (dt_estimate){r->rate / base->rate, same * base->step.low / r->step.high,
                         same * base->step.high / r->step.low};
}

/* --- figures --- */

static void speed_block(FILE *f, const char *name, const dt_rows *all, int64_t scaling) {
    const dt_row *base = dt_rows_first(all, scaling);
    fprintf(f, "$%s << EOD\n", name);
    for (int i = 0; base && i < all->n; i++) {
        const dt_row *r = &all->r[i];
        if (!(r->scaling & scaling))
            continue;
        dt_estimate s = speed_up(r, base);
        double ideal = (double)r->ranks / (double)base->ranks;
        fprintf(f, "%lld %.5g %.5g %.5g %.5g %.5g %.5g %.6g\n", (long long)r->ranks, s.value, s.low,
                s.high, 100 * s.value / ideal, 100 * s.low / ideal, 100 * s.high / ideal, r->rate);
    }
    fputs(base ? "EOD\n" : "NaN NaN NaN NaN NaN NaN NaN NaN\nEOD\n", f);
}

/* $stairs: the most that whole micro-batches allow strong scaling. */
static void stairs_block(FILE *f, const dt_rows *all) {
    const dt_row *base = dt_rows_first(all, DT_SCALING_STRONG);
    int64_t most = dt_rows_most_ranks(all);
    fputs(base ? "$stairs << EOD\n" : "$stairs << EOD\nNaN NaN\n", f);
    for (int64_t r = base ? base->ranks : 1; base && r <= most; r++) {
        double k = base->time.micros, t = (double)base->threads;
        fprintf(f, "%lld %.5g\n", (long long)r,
                ceil(k / ((double)base->ranks * t)) / ceil(k / ((double)r * t)));
    }
    fputs("EOD\n", f);
}

/* One line of the ideal speed-up, or two, where strong and weak begin at different ranks. */
static void ideal_lines(FILE *f, const dt_rows *all) {
    const dt_row *strong = dt_rows_first(all, DT_SCALING_STRONG),
                 *weak = dt_rows_first(all, DT_SCALING_WEAK), *base = strong ? strong : weak;
    bool two = strong && weak && strong->ranks != weak->ranks;
    fprintf(f, "x/%lld with lines lt 7 dt 3 title 'ideal%s', ", (long long)base->ranks,
            two ? ", strong" : "");
    if (two)
        fprintf(f, "x/%lld with lines lt 7 dt 2 title 'ideal, weak', ", (long long)weak->ranks);
}

/* There are rows of strong or weak scaling. ideal writes the ideal's part of the plot command. */
static void plot_speed(dt_page *page, const dt_rows *all, const char *name, const char *title,
                       const char *axes, void (*ideal)(FILE *f, const dt_rows *all),
                       const char *lines, const char *caption) {
    FILE *f = dt_page_figure(page, name, title);
    const dt_row *base = dt_rows_first(all, DT_SCALING_STRONG | DT_SCALING_WEAK);
    int64_t most = dt_rows_most_ranks(all);
    speed_block(f, "strong", all, DT_SCALING_STRONG);
    speed_block(f, "weak", all, DT_SCALING_WEAK);
    stairs_block(f, all);
    fprintf(f, "set xlabel 'ranks'\nset xrange [%g:%g]\n%s%s\nset yrange [0:*]\nplot ",
            0.8 * (double)base->ranks, 1.1 * (double)most,
            most > 8 ? "set logscale x 2\n" : "set xtics 1\n", axes);
    if (ideal)
        ideal(f, all);
    fputs(lines, f);
    dt_page_figure_end(page, "%s", caption);
}

/* Bars of nothing but unknown values are refused by gnuplot. */
static double bar(double seconds) {
    return isfinite(seconds) ? seconds : 0;
}

static void plot_breakdown(dt_page *page, const dt_rows *all) {
    FILE *f = dt_page_figure(page, "breakdown", "Where a step's time goes");
    fputs("$parts << EOD\n", f);
    for (int i = 0; i < all->n; i++) {
        const dt_row *r = &all->r[i];
        fprintf(f, "\"%lld x %lld\" %.5g %.5g %.5g %.5g %.5g\n", (long long)r->ranks,
                (long long)(r->batch / r->ranks), 1e3 * bar(r->compute), 1e3 * bar(r->update),
                1e3 * bar(r->reduce), 1e3 * bar(r->wait), 1e3 * bar(r->input));
    }
    fputs("EOD\nset xlabel 'ranks x samples a rank'\nset ylabel 'time of a step (ms)'\n"
          "set style data histograms\nset style histogram rowstacked\nset boxwidth 0.7\n"
          "set style fill solid 0.9 noborder\nset xtics rotate by -45\nset yrange [0:*]\nset grid "
          "noxtics\n"
          "plot $parts using 2:xtic(1) lt 1 title 'compute', '' using 3 lt 3 title 'update', "
          "'' using 4 lt 2 title 'all-reduce', '' using 5 lt 5 title 'wait', "
          "'' using 6 lt 4 title 'input'",
          f);
    dt_page_figure_end(page,
                       "Means over the ranks. all-reduce: what is not hidden behind computing; "
                       "wait: for the slowest rank, and for ranks with more micro-batches.");
}

/* What is not part of a step, for the batch of strong scaling, or all of weak. */
static void plot_apart(dt_page *page, const dt_rows *all) {
    int64_t scaling = dt_rows_first(all, DT_SCALING_STRONG) ? DT_SCALING_STRONG : DT_SCALING_WEAK;
    if (!dt_rows_first(all, scaling))
        return;
    FILE *f = dt_page_figure(page, "apart", "Start-up and evaluation by ranks");
    fputs("$apart << EOD\n", f);
    for (int i = 0; i < all->n; i++)
        if (all->r[i].scaling & scaling)
            fprintf(f, "%lld %.5g %.5g\n", (long long)all->r[i].ranks, bar(all->r[i].startup),
                    bar(all->r[i].evaluation));
    fputs("EOD\nset xlabel 'ranks'\nset ylabel 'time (s)'\nset style data histograms\n"
          "set style histogram clustered gap 1\nset style fill solid 0.9 noborder\n"
          "set yrange [0:*]\nset grid noxtics\n"
          "plot $apart using 2:xtic(1) lt 6 title 'start-up', '' using 3 lt 5 title 'one "
          "evaluation of the test set'",
          f);
    dt_page_figure_end(page, "Once a training, and not part of a step. Start-up: devices opened "
                             "and parameters made, until the first step; ranks and data were there "
                             "already. Cells of a sweep write no checkpoints.");
}

/* --- tables and words --- */

static void sheet_steps(dt_page *page, const dt_rows *all) {
    static const char *const headings[] = {"ranks",      "threads",      "batch",    "step ms",
                                           "low",        "high",         "images/s", "compute",
                                           "update",     "reduce",       "wait",     "input",
                                           "start-up s", "evaluation s", "slowest",  "its host"};
    dt_sheet s = {0};
    for (size_t i = 0; i < sizeof headings / sizeof *headings; i++)
        dt_sheet_column(&s, headings[i]);
    for (int i = 0; i < all->n; i++) {
        const dt_row *r = &all->r[i];
        const double ms[] = {r->compute, r->update, r->reduce, r->wait, r->input};
        dt_sheet_put(&s, "%lld", (long long)r->ranks);
        dt_sheet_put(&s, "%lld", (long long)r->threads);
        dt_sheet_put(&s, "%lld", (long long)r->batch);
        dt_sheet_number(&s, 3, 1e3 * r->step.value);
        dt_sheet_number(&s, 3, 1e3 * r->step.low);
        dt_sheet_number(&s, 3, 1e3 * r->step.high);
        dt_sheet_number(&s, 0, r->rate);
        for (size_t p = 0; p < sizeof ms / sizeof *ms; p++)
            dt_sheet_number(&s, 3, 1e3 * ms[p]);
        dt_sheet_number(&s, 2, r->startup);
        dt_sheet_number(&s, 2, r->evaluation);
        dt_sheet_number(&s, 0,
                        r->cell[0]->slowest_rank >= 0 ? (double)r->cell[0]->slowest_rank : NAN);
        dt_sheet_put(&s, "%s", r->cell[0]->slowest_host);
    }
    dt_page_sheet(page, "steps", "Steps measured, times in ms", &s, false);
}

static void say_speed(dt_page *page, const dt_rows *all, int64_t scaling, const char *word) {
    const dt_row *base = dt_rows_first(all, scaling), *top = dt_rows_last(all, scaling);
    if (!top || top->ranks == base->ranks)
        return;
    dt_estimate s = speed_up(top, base);
    dt_page_say(
        page,
        "%s scaling: %lld ranks are %.2f times as fast as %lld (%.2f to %.2f), an efficiency "
        "of %.0f %%, %.0f images/s.",
        word, (long long)top->ranks, s.value, (long long)base->ranks, s.low, s.high,
        100 * s.value * (double)base->ranks / (double)top->ranks, top->rate);
}

static const dt_row *row_of(const dt_rows *all, const dt_cell *c) {
    for (int i = 0; i < all->n; i++) {
        const dt_row *r = &all->r[i];
        if (r->ranks == c->ranks && r->threads == c->threads && r->batch == c->batch)
            return r;
    }
    return NULL;
}

/* Whole epochs against what the median of a step says of them. */
static void say_epochs(dt_page *page, const dt_sweep *sweep, const dt_rows *all) {
    for (size_t i = 0; i < sweep->n; i++) {
        const dt_cell *c = &sweep->cells[i];
        const dt_row *r = row_of(all, c);
        if (c->kind != DT_CELL_TIME || c->epochs != 1 || c->status != 0 || !r)
            continue;
        double expected = (double)c->steps * r->step.value;
        dt_page_say(page,
                    "A whole epoch on %lld rank%s took %.2f s; its %lld steps by the median say "
                    "%.2f s: %+.1f %%.",
                    (long long)c->ranks, c->ranks == 1 ? "" : "s", c->seconds, (long long)c->steps,
                    expected, 100 * (c->seconds / expected - 1));
    }
}

/* A time cell of several ranks with the same number of micro-batches each. */
static bool is_even(const dt_sweep *sweep, const dt_cell *c) {
    return c->kind == DT_CELL_TIME && c->status == 0 && c->ranks > 1 && c->slowest_rank >= 0 &&
           c->compute_seconds > 0 && c->compute_max_seconds > 0 &&
           c->batch % (dt_rows_micro_batch(sweep) * c->ranks * c->threads) == 0;
}

/* Who computed longest, where all had the same number of micro-batches. */
static void say_slowest(dt_page *page, const dt_sweep *sweep) {
    const dt_cell *most = NULL;
    int64_t cells = 0, often = 0;
    double excess = 0;
    for (size_t i = 0; i < sweep->n; i++) {
        const dt_cell *c = &sweep->cells[i];
        if (!is_even(sweep, c))
            continue;
        int64_t n = 0;
        for (size_t j = 0; j < sweep->n; j++)
            n +=
                is_even(sweep, &sweep->cells[j]) && sweep->cells[j].slowest_rank == c->slowest_rank;
        if (n > often) {
            often = n;
            most = c;
        }
        excess += c->compute_max_seconds / c->compute_seconds - 1;
        cells++;
    }
    if (most)
        dt_page_say(page,
                    "The slowest of a cell's ranks computes %.1f %% longer than they do on "
                    "average; most often, in %lld of %lld time cells, that is rank %lld on %s.",
                    100 * excess / (double)cells, (long long)often, (long long)cells,
                    (long long)most->slowest_rank, most->slowest_host);
}

static void ideal_efficiency(FILE *f, const dt_rows *all) {
    (void)all;
    fputs("100 with lines lt 7 dt 3 title 'ideal', ", f);
}

static void plot_speeds(dt_page *page, const dt_rows *all) {
    plot_speed(page, all, "speed-up", "Speed-up by ranks", "set ylabel 'speed-up'", ideal_lines,
               "$stairs with steps lt 6 title "
               "'whole micro-batches', $strong using 1:2:3:4 with yerrorlines lt 1 title "
               "'strong', $weak using 1:2:3:4 with yerrorlines lt 2 title 'weak'",
               "Images a second against those of the fewest ranks. Strong: the same batch for "
               "all; weak: the same batch a rank. Bars: the range of the repeats' 95 % "
               "intervals. The staircase is the most that whole micro-batches allow strong "
               "scaling.");
    plot_speed(page, all, "efficiency", "Efficiency by ranks", "set ylabel 'efficiency (%)'",
               ideal_efficiency,
               "$strong using 1:5:6:7 with "
               "yerrorlines lt 1 title 'strong', $weak using 1:5:6:7 with yerrorlines lt 2 "
               "title 'weak'",
               "Speed-up as a share of the ideal one.");
    plot_speed(page, all, "throughput", "Throughput by ranks", "set ylabel 'images/s (thousands)'",
               NULL,
               "$strong using 1:($8/1000) with linespoints lt 1 title 'strong', "
               "$weak using 1:($8/1000) with linespoints lt 2 title 'weak'",
               "Training samples a second, of the median step.");
}

static void plot_all(dt_page *page, const dt_rows *all) {
    if (dt_rows_first(all, DT_SCALING_STRONG | DT_SCALING_WEAK))
        plot_speeds(page, all);
    else
        dt_page_note(page, "There is no speed-up to show: no time cell of strong or weak scaling "
                           "is done. A --batch larger than the largest set has none.");
    plot_breakdown(page, all);
    plot_apart(page, all);
}

void dt_report_scaling(dt_page *page, const dt_sweep *sweep) {
    dt_rows *all = dt_rows_of(sweep);
    if (!all) {
        dt_page_note(page, "There was no memory for the time cells.");
        return;
    }
    if (all->n) {
        dt_page_section(page, "scaling", "What more ranks buy");
        say_speed(page, all, DT_SCALING_STRONG, "Strong");
        say_speed(page, all, DT_SCALING_WEAK, "Weak");
        say_epochs(page, sweep, all);
        say_slowest(page, sweep);
        if (all->left_out)
            dt_page_note(page, "%zu time cells are left out: there is room for %d configurations.",
                         all->left_out, DT_ROWS_MAX);
        plot_all(page, all);
        sheet_steps(page, all);
        dt_report_model(page, sweep, all);
    }
    free(all);
}
