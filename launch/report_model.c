/* launch/report_model.c - the model of scaling: fitted, tested on what it was not fitted on, and
 * drawn beyond what was measured. */
#include <math.h>
#include <stdlib.h>
#include "launch/report.h"
#include "launch/report_rows.h"

enum { LIMIT = 4096 };

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

static void sheet_left_out(dt_page *page, const dt_rows *all) {
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

/* Micro-batches of the worker that has most of them. */
static double load_of(double micros, int64_t ranks, int64_t threads) {
    return ceil(micros / ((double)ranks * (double)threads));
}

/* Is it between what was timed: no more ranks, and a worker's load neither lighter nor heavier? */
static bool is_within(const dt_rows *all, double micros, int64_t ranks, int64_t threads) {
    double load = load_of(micros, ranks, threads), least = INFINITY, most = 0;
    for (int i = 0; i < all->n; i++) {
        const dt_step_time *t = &all->r[i].time;
        double timed = load_of(t->micros, t->ranks, t->threads);
        least = fmin(least, timed);
        most = fmax(most, timed);
    }
    return ranks <= dt_rows_most_ranks(all) && least <= load && load <= most;
}

static void sheet_predictions(dt_page *page, const dt_rows *all, const dt_step_model *m,
                              int64_t threads, int64_t micro_batch) {
    static const char *const headings[] = {"ranks",        "batch",      "step ms",
                                           "low",          "high",       "images/s",
                                           "efficiency %", "limited by", "extrapolated"};
    int64_t most = dt_rows_most_ranks(all);
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
            dt_sheet_put(&s, "%s", is_within(all, k, ranks, threads) ? "no" : "yes");
        }
    dt_page_sheet(page, "predictions",
                  "Predicted: up to 64 times the ranks, 1 and 8 micro-batches a worker; "
                  "extrapolated: more ranks, or a lighter or heavier load of a worker, than any "
                  "that was timed",
                  &s, true);
}

static bool is_timed(const dt_rows *all, int64_t batch, int64_t ranks, int64_t threads) {
    for (int i = 0; i < all->n; i++)
        if (all->r[i].batch == batch && all->r[i].ranks == ranks && all->r[i].threads == threads)
            return true;
    return false;
}

/* Both ends of each stair, so that lines draw stairs; with 1 where that batch was not timed on so
 * many ranks. */
static void stairs_block(FILE *f, const char *name, const dt_rows *all, const dt_step_model *m,
                         const dt_row *base, int64_t factor, int64_t last) {
    int64_t threads = base->threads, batch = base->batch * factor;
    double micros = base->time.micros * (double)factor;
    double one = dt_step_predict(m, micros, 1, threads).total.value;
    fprintf(f, "$%s << EOD\n", name);
    for (int64_t r = 1, next; r <= last; r = next) {
        dt_estimate t = dt_step_predict(m, micros, r, threads).total;
        bool known = isfinite(t.low) && t.low > 0;
        next = r + (r < 128 ? 1 : r / 64);
        for (int end = 0; end < 2; end++)
            fprintf(f, "%lld %.5g %.5g %.5g %d\n", (long long)(end ? next : r), one / t.value,
                    one / (known ? t.high : t.value), one / (known ? t.low : t.value),
                    !is_timed(all, batch, r, threads));
    }
    fputs("EOD\n", f);
}

/* Speed-ups against the fewest ranks measured, which the model sets against one. */
static void measured_block(FILE *f, const dt_rows *all, const dt_row *base,
                           const dt_step_model *m) {
    double k = base->time.micros;
    double from = dt_step_predict(m, k, 1, base->threads).total.value /
                  dt_step_predict(m, k, base->ranks, base->threads).total.value;
    fputs("$measured << EOD\n", f);
    for (int i = 0; i < all->n; i++)
        if (all->r[i].batch == base->batch)
            fprintf(f, "%lld %.5g\n", (long long)all->r[i].ranks,
                    from * base->step.value / all->r[i].step.value);
    fputs("EOD\n", f);
}

/* Steps of this batch on more and more ranks: predicted stairs, measured points. */
static void plot_model(dt_page *page, const dt_rows *all, const dt_step_model *m) {
    static const char *const colours[] = {"#0072B2", "#D55E00"};
    const dt_row *base = dt_rows_first(all, DT_SCALING_STRONG);
    const int64_t factors[] = {1, 16};
    char name[8];
    if (!base)
        return;
    FILE *f = dt_page_figure(page, "model", "Strong scaling, predicted");
    int64_t most = dt_rows_most_ranks(all), last = 64 * most > LIMIT ? LIMIT : 64 * most;
    for (int b = 0; b < 2; b++) {
        snprintf(name, sizeof name, "p%d", b);
        stairs_block(f, name, all, m, base, factors[b], last);
    }
    measured_block(f, all, base, m);
    fprintf(f,
            "set xlabel 'ranks'\nset ylabel 'speed-up'\nset logscale xy 2\n"
            "set xrange [0.9:%lld]\nset yrange [0.7:%lld]\n"
            "plot x with lines lt 7 dt 3 title 'ideal', ",
            (long long)last, (long long)last);
    for (int b = 0; b < 2; b++) {
        int64_t batch = base->batch * factors[b];
        fprintf(f,
                "$p%d using 1:3:4 with filledcurves fc rgb '%s' fs transparent solid 0.2 noborder "
                "notitle, $p%d using 1:2 with lines lt %d dt 2 title 'batch %lld', "
                "$p%d using ($5==0?$1:NaN):2 with lines lt %d lw 2.5 notitle, ",
                b, colours[b], b, b + 1, (long long)batch, b, b + 1);
    }
    fputs("$measured using 1:2 with points lt 3 ps 1.2 title 'measured'", f);
    dt_page_figure_end(page,
                       "The model's staircase with 95 %% intervals; thick where that batch was "
                       "timed on so many ranks, dashed where it was not. Beyond %lld ranks it "
                       "assumes that latency "
                       "and bandwidth stay those of this job: between hosts they will not.",
                       (long long)most);
}

static void say_terms(dt_page *page, const dt_step_model *m) {
    const dt_step_terms *t = &m->terms;
    dt_page_say(page,
                "T(W) = t_fix + t_mb ceil(k/W) + max(0, all-reduce(W) - overlap) + wait(W), with "
                "t_fix = %.3f ms and t_mb = %.3f ms fitted to %zu configurations.",
                1e3 * t->fix, 1e3 * t->micro, m->n);
    if (m->n_reduced)
        dt_page_say(page,
                    "All-reduce of %.2f MB, measured in this job: latency %.1f us, bandwidth %.2f "
                    "GB/s, %.2f ms hidden; wait %.1f %% of a rank's computing.",
                    1e-6 * m->bytes, 1e6 * t->latency, t->per_byte > 0 ? 1e-9 / t->per_byte : 0,
                    1e3 * t->overlap, 100 * t->jitter);
}

static void say_knee(dt_page *page, const dt_step_model *m, const dt_row *base, int64_t most) {
    int64_t knee = dt_step_knee(m, base->time.micros, base->threads, LIMIT);
    if (knee == LIMIT) {
        dt_page_say(page,
                    "No knee at batch %lld: the efficiency is at least 50 %% at %d ranks, and more "
                    "were not looked at. This is an extrapolation.",
                    (long long)base->batch, LIMIT);
        return;
    }
    dt_step_parts beyond = dt_step_predict(m, base->time.micros, knee + 1, base->threads);
    dt_page_say(page,
                "The knee at batch %lld: beyond %lld rank(s) the efficiency is below 50 %%; what "
                "limits there is %s.%s",
                (long long)base->batch, (long long)knee, limit_of(&beyond),
                knee > most ? " This is an extrapolation." : "");
}

void dt_report_model(dt_page *page, const dt_sweep *sweep, const dt_rows *all) {
    static dt_step_model m;
    const dt_row *base = dt_rows_first(all, DT_SCALING_STRONG | DT_SCALING_WEAK);
    if (!base)
        base = dt_rows_first(all, DT_SCALING_MODEL);
    dt_page_section(page, "model", "A model of scaling");
    if (!base || !dt_step_fit(all->times, (size_t)all->n, &m)) {
        dt_page_say(page,
                    "A model of a step is fitted to two loads of a worker or more: more ranks, "
                    "or another batch.");
        return;
    }
    say_terms(page, &m);
    sheet_left_out(page, all);
    if (m.n_reduced == 0) {
        dt_page_say(page, "Nothing is predicted for more ranks: what their all-reduce takes can "
                          "only be told from a sweep with --ranks of 2 or more.");
        return;
    }
    if (!m.is_known)
        dt_page_note(page, "Predictions have no intervals: what the all-reduce and the wait vary "
                           "by is told from two configurations of several ranks or more.");
    say_knee(page, &m, base, dt_rows_most_ranks(all));
    plot_model(page, all, &m);
    sheet_predictions(page, all, &m, base->threads, dt_rows_micro_batch(sweep));
}
