/* launch/report_scaling.c - what more ranks buy: the time cells of a sweep.
 *
 * Repeats of a configuration (ranks, batch) become one row: the median of their medians, and the
 * range of their intervals, which is wider than an interval of the median of all. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "launch/fit.h"
#include "launch/report.h"
#include "launch/scaling.h"
#include "launch/term.h"

enum { ROWS = 128, REPEATS = 64, LIMIT = 4096 };

typedef struct {
    int64_t ranks, threads, batch, scaling;
    dt_estimate step; /* seconds */
    double input, compute, update, reduce, wait;
    double rate, startup, evaluation; /* images a second; seconds */
    const dt_cell *cell;              /* one of them */
    int n;
    double medians[REPEATS];
    dt_step_time time;
} row;

typedef struct {
    row r[ROWS];
    int n;
    dt_step_time times[ROWS];
} rows;

/* --- rows --- */

static int by_batch_and_ranks(const void *a, const void *b) {
    const row *x = a, *y = b;
    if (x->batch != y->batch)
        return x->batch < y->batch ? -1 : 1;
    return x->ranks < y->ranks ? -1 : x->ranks > y->ranks;
}

static row *row_for(rows *all, const dt_cell *c) {
    for (int i = 0; i < all->n; i++) {
        row *r = &all->r[i];
        if (r->ranks == c->ranks && r->threads == c->threads && r->batch == c->batch)
            return r;
    }
    if (all->n == ROWS)
        return NULL;
    row *r = &all->r[all->n++];
    *r = (row){.ranks = c->ranks, .threads = c->threads, .batch = c->batch, .cell = c};
    r->step.low = INFINITY;
    return r;
}

static void add_cell(row *r, const dt_cell *c) {
    if (r->n == REPEATS)
        return;
    r->scaling |= c->scaling;
    r->medians[r->n++] = c->step_seconds;
    r->step.low = fmin(r->step.low, c->step_low);
    r->step.high = fmax(r->step.high, c->step_high);
    r->input += c->input_seconds;
    r->compute += c->compute_seconds;
    r->update += c->update_seconds;
    r->reduce += c->reduce_seconds;
    r->wait += c->wait_seconds;
    r->startup += c->startup_seconds;
    r->evaluation += c->evaluation_seconds;
    r->time.reduce += c->all_reduce_seconds;
    r->time.latency += c->latency_seconds;
    r->time.bytes = (double)c->all_reduce_bytes;
}

static void finish_row(row *r, int64_t micro_batch) {
    double n = r->n;
    double *sums[] = {&r->input,   &r->compute,    &r->update,      &r->reduce,      &r->wait,
                      &r->startup, &r->evaluation, &r->time.reduce, &r->time.latency};
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
        *sums[i] /= n;
    r->step.value = dt_median_of(r->medians, (size_t)r->n);
    r->rate = (double)r->batch / r->step.value;
    r->time.ranks = r->ranks;
    r->time.threads = r->threads;
    r->time.micros = ceil((double)r->batch / (double)micro_batch);
    r->time.seconds = r->step.value;
    r->time.compute = r->compute;
    r->time.wait = r->wait;
    r->time.exposed = r->reduce;
}

static void collect(const dt_sweep *sweep, rows *all) {
    for (size_t i = 0; i < sweep->n; i++) {
        const dt_cell *c = &sweep->cells[i];
        bool usable = c->kind == DT_CELL_TIME && c->status == 0 && c->step_seconds > 0 &&
                      c->ranks > 0 && c->threads > 0;
        row *r = usable ? row_for(all, c) : NULL;
        if (r)
            add_cell(r, c);
    }
    qsort(all->r, (size_t)all->n, sizeof *all->r, by_batch_and_ranks);
    for (int i = 0; i < all->n; i++) {
        finish_row(&all->r[i], sweep->micro_batch > 0 ? sweep->micro_batch : 1);
        all->times[i] = all->r[i].time;
    }
}

/* The row of the fewest ranks of this kind of scaling. */
static const row *base_of(const rows *all, int64_t scaling) {
    const row *base = NULL;
    for (int i = 0; i < all->n; i++)
        if ((all->r[i].scaling & scaling) && (!base || all->r[i].ranks < base->ranks))
            base = &all->r[i];
    return base;
}

/* Images a second against base's: the speed-up, for strong and weak scaling alike. */
static dt_estimate speed_up(const row *r, const row *base) {
    double same = (double)r->batch / (double)base->batch;
    return (dt_estimate){r->rate / base->rate, same * base->step.low / r->step.high,
                         same * base->step.high / r->step.low};
}

/* --- figures --- */

static void speed_block(FILE *f, const char *name, const rows *all, int64_t scaling) {
    const row *base = base_of(all, scaling);
    fprintf(f, "$%s << EOD\n", name);
    for (int i = 0; base && i < all->n; i++) {
        const row *r = &all->r[i];
        if (!(r->scaling & scaling))
            continue;
        dt_estimate s = speed_up(r, base);
        double ideal = (double)r->ranks / (double)base->ranks;
        fprintf(f, "%lld %.5g %.5g %.5g %.5g %.5g %.5g %.6g\n", (long long)r->ranks, s.value, s.low,
                s.high, 100 * s.value / ideal, 100 * s.low / ideal, 100 * s.high / ideal, r->rate);
    }
    fputs(base ? "EOD\n" : "NaN NaN NaN NaN NaN NaN NaN NaN\nEOD\n", f);
}

static int64_t most_ranks(const rows *all) {
    int64_t most = 1;
    for (int i = 0; i < all->n; i++)
        most = all->r[i].ranks > most ? all->r[i].ranks : most;
    return most;
}

static void plot_speed(dt_page *page, const rows *all, const char *name, const char *title,
                       const char *body, const char *caption) {
    FILE *f = dt_page_figure(page, name, title);
    speed_block(f, "strong", all, DT_SCALING_STRONG);
    speed_block(f, "weak", all, DT_SCALING_WEAK);
    const row *base = base_of(all, DT_SCALING_STRONG);
    int64_t most = most_ranks(all), first = base ? base->ranks : 1;
    fputs("$stairs << EOD\n", f);
    for (int64_t r = first; base && r <= most; r++) {
        double k = base->time.micros, t = (double)base->threads;
        fprintf(f, "%lld %.5g\n", (long long)r,
                ceil(k / ((double)first * t)) / ceil(k / ((double)r * t)));
    }
    fprintf(f, "EOD\nset xlabel 'ranks'\nset xrange [%g:%g]\n%s%s", 0.8 * (double)first,
            1.1 * (double)most, most > 8 ? "set logscale x 2\n" : "set xtics 1\n", body);
    dt_page_figure_end(page, "%s", caption);
}

static void plot_breakdown(dt_page *page, const rows *all) {
    FILE *f = dt_page_figure(page, "breakdown", "Where a step's time goes");
    fputs("$parts << EOD\n", f);
    for (int i = 0; i < all->n; i++) {
        const row *r = &all->r[i];
        fprintf(f, "\"%lld x %lld\" %.5g %.5g %.5g %.5g %.5g\n", (long long)r->ranks,
                (long long)(r->batch / r->ranks), 1e3 * r->compute, 1e3 * r->update,
                1e3 * r->reduce, 1e3 * r->wait, 1e3 * r->input);
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

/* Steps of this batch on more and more ranks: predicted lines, measured points. */
static void plot_model(dt_page *page, const rows *all, const dt_step_model *m, int64_t threads) {
    const row *base = base_of(all, DT_SCALING_STRONG);
    if (!base)
        return;
    FILE *f = dt_page_figure(page, "model", "Strong scaling, predicted");
    int64_t most = most_ranks(all), last = 64 * most > LIMIT ? LIMIT : 64 * most;
    const double factors[] = {1, 16};
    double one;
    for (int b = 0; b < 2; b++) {
        double k = base->time.micros * factors[b];
        one = dt_step_predict(m, k, 1, threads).total.value;
        fprintf(f, "$p%d << EOD\n", b);
        for (int64_t r = 1; r <= last; r += r < 128 ? 1 : r / 64) {
            dt_estimate t = dt_step_predict(m, k, r, threads).total;
            bool known = isfinite(t.low) && t.low > 0;
            fprintf(f, "%lld %.5g %.5g %.5g %d\n", (long long)r, one / t.value,
                    one / (known ? t.high : t.value), one / (known ? t.low : t.value), r > most);
        }
        fputs("EOD\n", f);
    }
    one = dt_step_predict(m, base->time.micros, 1, threads).total.value;
    fputs("$measured << EOD\n", f);
    for (int i = 0; i < all->n; i++)
        if (all->r[i].batch == base->batch)
            fprintf(f, "%lld %.5g\n", (long long)all->r[i].ranks, one / all->r[i].step.value);
    fprintf(
        f,
        "EOD\nset xlabel 'ranks'\nset ylabel 'speed-up'\nset logscale xy 2\n"
        "set xrange [0.9:%lld]\nset yrange [0.7:%lld]\nplot x with lines lt 7 dt 3 title 'ideal', ",
        (long long)last, (long long)last);
    for (int b = 0; b < 2; b++)
        fprintf(f,
                "$p%d using 1:3:4 with filledcurves fc rgb '%s' fs transparent solid 0.2 noborder "
                "notitle, $p%d using 1:2 with lines lt %d dt 2 title 'batch %lld', "
                "$p%d using ($5==0?$1:NaN):2 with lines lt %d lw 2.5 notitle, ",
                b, b ? "#D55E00" : "#0072B2", b, b + 1,
                (long long)((double)base->batch * factors[b]), b, b + 1);
    fputs("$measured using 1:2 with points lt 3 ps 1.2 title 'measured'", f);
    dt_page_figure_end(page,
                       "The model's staircase, with 95 %% intervals; thick where it was "
                       "measured. Beyond %lld ranks it assumes that latency and bandwidth stay "
                       "those of this job: between hosts they will not.",
                       (long long)most);
}

/* --- tables and words --- */

static void sheet_steps(dt_page *page, const rows *all) {
    static const char *const headings[] = {"ranks",      "threads",      "batch",    "step ms",
                                           "low",        "high",         "images/s", "compute",
                                           "update",     "reduce",       "wait",     "input",
                                           "start-up s", "evaluation s", "slowest",  "its host"};
    dt_sheet s = {0};
    for (size_t i = 0; i < sizeof headings / sizeof *headings; i++)
        dt_sheet_column(&s, headings[i]);
    for (int i = 0; i < all->n; i++) {
        const row *r = &all->r[i];
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
        dt_sheet_number(&s, 0, r->cell->slowest_rank >= 0 ? (double)r->cell->slowest_rank : NAN);
        dt_sheet_put(&s, "%s", r->cell->slowest_host);
    }
    dt_page_sheet(page, "steps", "Steps measured, times in ms", &s, false);
}

static void say_speed(dt_page *page, const rows *all, int64_t scaling, const char *word) {
    const row *base = base_of(all, scaling), *top = NULL;
    for (int i = 0; base && i < all->n; i++)
        if ((all->r[i].scaling & scaling) && (!top || all->r[i].ranks > top->ranks))
            top = &all->r[i];
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

/* The part of a step that keeps it from being ideal most. */
static const char *limit_of(const dt_step_parts *p) {
    const double part[] = {p->fix, p->stairs, p->wait, p->reduce};
    static const char *const names[] = {"the part of a step that does not shrink (update, input)",
                                        "workers without a micro-batch", "waiting for the slowest",
                                        "the all-reduce"};
    int worst = 0;
    for (int i = 1; i < 4; i++)
        worst = part[i] > part[worst] ? i : worst;
    return names[worst];
}

static bool nothing_more(const dt_step_time *tested, const dt_step_time *other) {
    (void)tested;
    (void)other;
    return false;
}

static bool same_batch(const dt_step_time *tested, const dt_step_time *other) {
    return tested->micros == other->micros;
}

static void sheet_left_out(dt_page *page, const rows *all) {
    double sum = 0, worst = 0, n = 0;
    dt_sheet s = {0};
    dt_sheet_column(&s, "ranks");
    dt_sheet_column(&s, "batch");
    dt_sheet_column(&s, "measured ms");
    dt_sheet_column(&s, "error %, itself left out");
    dt_sheet_column(&s, "error %, its batch left out");
    for (int i = 0; i < all->n; i++) {
        double e = dt_step_left_out(all->times, (size_t)all->n, (size_t)i, nothing_more);
        double b = dt_step_left_out(all->times, (size_t)all->n, (size_t)i, same_batch);
        dt_sheet_put(&s, "%lld", (long long)all->r[i].ranks);
        dt_sheet_put(&s, "%lld", (long long)all->r[i].batch);
        dt_sheet_number(&s, 3, 1e3 * all->r[i].step.value);
        dt_sheet_number(&s, 1, 100 * e);
        dt_sheet_number(&s, 1, 100 * b);
        if (isfinite(e)) {
            sum += fabs(e);
            worst = fmax(worst, fabs(e));
            n++;
        }
    }
    if (n > 0)
        dt_page_say(page,
                    "Each configuration predicted from the others: %.1f %% off on average, %.1f %% "
                    "at worst.",
                    100 * sum / n, 100 * worst);
    dt_page_sheet(page, "left-out", "The model tested on what it was not fitted on", &s, true);
}

static void sheet_predictions(dt_page *page, const rows *all, const dt_step_model *m,
                              int64_t threads, int64_t micro_batch) {
    static const char *const headings[] = {"ranks", "batch",    "step ms",      "low",
                                           "high",  "images/s", "efficiency %", "limited by"};
    int64_t most = most_ranks(all);
    const int64_t factors[] = {1, 8, 64}, shares[] = {1, 8};
    dt_sheet s = {0};
    for (size_t i = 0; i < sizeof headings / sizeof *headings; i++)
        dt_sheet_column(&s, headings[i]);
    for (int f = 0; f < 3; f++)
        for (int i = 0; i < 2; i++) {
            int64_t ranks = factors[f] * most, batch = ranks * threads * shares[i] * micro_batch;
            double k = (double)(ranks * threads * shares[i]);
            dt_step_parts p = dt_step_predict(m, k, ranks, threads);
            dt_sheet_put(&s, "%lld", (long long)ranks);
            dt_sheet_put(&s, "%lld", (long long)batch);
            dt_sheet_number(&s, 2, 1e3 * p.total.value);
            dt_sheet_number(&s, 2, 1e3 * p.total.low);
            dt_sheet_number(&s, 2, 1e3 * p.total.high);
            dt_sheet_number(&s, 0, (double)batch / p.total.value);
            dt_sheet_number(&s, 0, 100 * dt_step_efficiency(m, k, ranks, threads));
            dt_sheet_put(&s, "%s", limit_of(&p));
        }
    dt_page_sheet(page, "predictions",
                  "Predicted: up to 64 times the ranks, 1 and 8 micro-batches a worker", &s, true);
}

static void report_model(dt_page *page, const dt_sweep *sweep, const rows *all) {
    dt_step_model m;
    const row *base = base_of(all, DT_SCALING_STRONG | DT_SCALING_WEAK);
    if (!base || !dt_step_fit(all->times, (size_t)all->n, &m)) {
        dt_page_say(page,
                    "A model of a step is fitted to two loads of a worker or more: more ranks, "
                    "or another batch.");
        return;
    }
    int64_t threads = base->threads, most = most_ranks(all);
    int64_t knee = dt_step_knee(&m, base->time.micros, threads, LIMIT);
    dt_step_parts beyond = dt_step_predict(&m, base->time.micros, knee + 1, threads);
    dt_page_say(page,
                "T(W) = t_fix + t_mb ceil(k/W) + max(0, all-reduce(W) - overlap) + wait(W), with "
                "t_fix = %.3f ms and t_mb = %.3f ms fitted to %zu configurations; all-reduce of "
                "%.2f MB: latency %.1f us, bandwidth %.2f GB/s, %.2f ms hidden; wait %.1f %% of a "
                "rank's computing.",
                1e3 * m.fix, 1e3 * m.micro, m.n, 1e-6 * m.bytes, 1e6 * m.latency,
                isfinite(m.bandwidth) ? 1e-9 * m.bandwidth : 0, 1e3 * m.overlap, 100 * m.jitter);
    dt_page_say(page,
                "The knee at batch %lld: beyond %lld rank(s) the efficiency is below 50 %%; what "
                "limits there is %s.%s",
                (long long)base->batch, (long long)knee, limit_of(&beyond),
                knee > most ? " This is an extrapolation." : "");
    sheet_left_out(page, all);
    plot_model(page, all, &m, threads);
    sheet_predictions(page, all, &m, threads, sweep->micro_batch);
}

void dt_report_scaling(dt_page *page, const dt_sweep *sweep) {
    rows *all = calloc(1, sizeof *all);
    if (!all) {
        dt_page_note(page, "There was no memory for the time cells.");
        return;
    }
    collect(sweep, all);
    if (all->n) {
        dt_page_section(page, "scaling", "What more ranks buy");
        say_speed(page, all, DT_SCALING_STRONG, "Strong");
        say_speed(page, all, DT_SCALING_WEAK, "Weak");
        plot_speed(page, all, "speed-up", "Speed-up by ranks",
                   "set ylabel 'speed-up'\nset yrange [0:*]\n"
                   "plot x/1 with lines lt 7 dt 3 title 'ideal', $stairs with lines lt 6 title "
                   "'whole micro-batches', $strong using 1:2:3:4 with yerrorlines lt 1 title "
                   "'strong', $weak using 1:2:3:4 with yerrorlines lt 2 title 'weak'",
                   "Images a second against those of the fewest ranks. Strong: the same batch for "
                   "all; weak: the same batch a rank. Bars: the range of the repeats' 95 % "
                   "intervals. The staircase is the most that whole micro-batches allow strong "
                   "scaling.");
        plot_speed(page, all, "efficiency", "Efficiency by ranks",
                   "set ylabel 'efficiency (%)'\nset yrange [0:*]\n"
                   "plot 100 with lines lt 7 dt 3 title 'ideal', $strong using 1:5:6:7 with "
                   "yerrorlines lt 1 title 'strong', $weak using 1:5:6:7 with yerrorlines lt 2 "
                   "title 'weak'",
                   "Speed-up as a share of the ideal one.");
        plot_speed(page, all, "throughput", "Throughput by ranks",
                   "set ylabel 'images/s (thousands)'\nset yrange [0:*]\n"
                   "plot $strong using 1:($8/1000) with linespoints lt 1 title 'strong', "
                   "$weak using 1:($8/1000) with linespoints lt 2 title 'weak'",
                   "Training samples a second, of the median step.");
        plot_breakdown(page, all);
        sheet_steps(page, all);
        dt_page_section(page, "model", "A model of scaling");
        report_model(page, sweep, all);
    }
    free(all);
}

/* --- where it comes from --- */

static void say_bits(dt_page *page, const dt_sweep *sweep) {
    int done = 0, failed = 0;
    for (size_t i = 0; i < sweep->n; i++)
        if (sweep->cells[i].status == 0)
            done++;
        else
            failed++;
    dt_page_say(page, "%d of %lld cells are done, %d failed.", done, (long long)sweep->planned,
                failed);
    for (size_t i = 0; i < sweep->n; i++)
        if (sweep->cells[i].status != 0)
            dt_page_note(page, "Failed: %lld samples, %lld ranks: %s",
                         (long long)sweep->cells[i].samples, (long long)sweep->cells[i].ranks,
                         sweep->cells[i].reason);
}

void dt_report_sweep_origin(dt_page *page, const dt_sweep *sweep) {
    const struct {
        const char *what, *value;
    } facts[] = {{"command", sweep->command_line},
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
}
