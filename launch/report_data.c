/* launch/report_data.c - what more data buys: the accuracy cells of a sweep.
 *
 * Cells are grouped by size and budget; seeds are the repeats within a group. For comparisons all
 * groups share what their deviations have in common (dt_pool()), as three seeds alone tell little
 * about their own. Times are those of cells that ran alone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "launch/fit.h"
#include "launch/report.h"
#include "launch/sweep_plan.h"
#include "launch/term.h"

enum { GROUPS = DT_LIST_MAX, SEEDS = 1000 /* most of --seeds */, SHOWN = 7 };

typedef struct {
    int64_t samples;
    const dt_cell *cell[SEEDS];
    double accuracy[SEEDS];
    size_t n;
    dt_estimate mean;
} group;

typedef struct {
    group g[GROUPS]; /* ascending by samples */
    int n;
    size_t left_out; /* cells for which there was no room */
    int64_t budget;
} groups;

/* --- grouping --- */

static group *group_for(groups *all, int64_t samples) {
    int at = 0;
    while (at < all->n && all->g[at].samples < samples)
        at++;
    if (at < all->n && all->g[at].samples == samples)
        return &all->g[at];
    if (all->n == GROUPS)
        return NULL;
    memmove(&all->g[at + 1], &all->g[at], (size_t)(all->n - at) * sizeof *all->g);
    all->g[at] = (group){.samples = samples};
    all->n++;
    return &all->g[at];
}

static void collect(const dt_sweep *sweep, int64_t budget, groups *all) {
    all->n = 0;
    all->budget = budget;
    for (size_t i = 0; i < sweep->n; i++) {
        const dt_cell *c = &sweep->cells[i];
        if (c->kind != DT_CELL_ACCURACY || c->budget != budget || c->status != 0 ||
            !isfinite(c->test_accuracy))
            continue;
        group *g = group_for(all, c->samples);
        if (!g || g->n == SEEDS) {
            all->left_out++;
            continue;
        }
        g->accuracy[g->n] = c->test_accuracy;
        g->cell[g->n++] = c;
    }
    for (int i = 0; i < all->n; i++)
        all->g[i].mean = dt_mean_estimate(all->g[i].accuracy, all->g[i].n);
}

/* The cell whose time counts: it ran alone. NULL: none. */
static const dt_cell *timed(const group *g) {
    for (size_t i = 0; i < g->n; i++)
        if (g->cell[i]->alone && isfinite(g->cell[i]->seconds))
            return g->cell[i];
    return NULL;
}

static bool any_timed(const groups *all) {
    for (int i = 0; i < all->n; i++)
        if (timed(&all->g[i]))
            return true;
    return false;
}

/* Point i of a column of the curves: mean over the seeds, least and largest of them. */
static dt_estimate curve_at(const dt_sweep *sweep, const group *g, int column, int64_t i) {
    dt_estimate e = {0, INFINITY, -INFINITY};
    double n = 0;
    for (size_t s = 0; s < g->n; s++) {
        const double *curve = g->cell[s]->curve;
        double v = curve ? curve[(int64_t)column * sweep->points + i] : NAN;
        if (!isfinite(v))
            continue;
        e = (dt_estimate){e.value + v, fmin(e.low, v), fmax(e.high, v)};
        n++;
    }
    return n > 0 ? (dt_estimate){e.value / n, e.low, e.high} : (dt_estimate){NAN, NAN, NAN};
}

/* The plot command's part for line i of several: with a bar at each point, by shift beside those of
 * the other lines, or without where there is one seed. */
static void put_line(FILE *f, const groups *all, int i, int line, double shift) {
    size_t most = 0;
    char number[DT_NUMBER_MAX], x[48];
    for (int g = 0; g < all->n; g++)
        most = all->g[g].n > most ? all->g[g].n : most;
    snprintf(x, sizeof x, "using ($1%+.3g):2:3:4", shift);
    fprintf(f, "%s$n%d %s with %s lt %d title '%s'", line > 1 ? ", " : "", i,
            most > 1 ? x : "using 1:2", most > 1 ? "yerrorlines" : "linespoints", line,
            dt_text_thousands(all->g[i].samples, number));
}

/* x, then y with its bar; nothing of what is not known. */
static void put_point(FILE *f, double x, dt_estimate y) {
    if (isfinite(x) && isfinite(y.value))
        fprintf(f, "%.6g %.6g %.6g %.6g\n", x, y.value, y.low, y.high);
}

/* Is anything known of this column of the curves? gnuplot refuses a figure without a point. */
static bool any_point(const dt_sweep *sweep, const groups *all, int column) {
    bool any = false;
    for (int i = 0; i < all->n; i++)
        for (int64_t p = 1; p < sweep->points; p++)
            any = any || isfinite(curve_at(sweep, &all->g[i], column, p).value);
    return any;
}

/* --- figures --- */

static void plot_size_time(dt_page *page, const groups *all) {
    int64_t ranks = 0;
    FILE *f = dt_page_figure(page, "size-time", "Training time by size");
    fputs("$time << EOD\n", f);
    for (int i = 0; i < all->n; i++) {
        const dt_cell *c = timed(&all->g[i]);
        if (c) {
            fprintf(f, "%lld %.6g\n", (long long)c->samples, c->seconds);
            ranks = c->ranks;
        }
    }
    fputs("EOD\nset xlabel 'training samples (thousands)'\nset ylabel 'training time (s)'\n"
          "set xrange [0:*]\nset yrange [0:*]\nset key off\nset offsets 0, graph 0.04, graph 0.04, "
          "0\n"
          "plot $time using ($1/1000):2 with linespoints lt 1\n",
          f);
    dt_page_figure_end(page,
                       "Seconds of training on %lld rank(s), evaluations and start-up not counted, "
                       "of the cells that ran alone: one seed each, so that there are no bars.",
                       (long long)ranks);
}

static void accuracy_block(FILE *f, const char *name, const groups *all) {
    fprintf(f, "$%s << EOD\n", name);
    for (int i = 0; i < all->n; i++) {
        const group *g = &all->g[i];
        bool known = isfinite(g->mean.low);
        fprintf(f, "%lld %.6g %.6g %.6g\n", (long long)g->samples, g->mean.value,
                known ? fmax(0, g->mean.low) : g->mean.value,
                known ? fmin(100, g->mean.high) : g->mean.value);
    }
    fputs("EOD\n", f);
}

static void plot_size_accuracy(dt_page *page, const groups *epochs, const groups *steps) {
    FILE *f = dt_page_figure(page, "size-accuracy", "Test accuracy by size");
    if (epochs->n)
        accuracy_block(f, "epochs", epochs);
    if (steps->n)
        accuracy_block(f, "steps", steps);
    fputs("set xlabel 'training samples (thousands)'\nset ylabel 'test accuracy (%)'\n"
          "set format y '%.1f'\nset yrange [*:*<100]\nset autoscale xfix\nset offsets graph 0.04, "
          "graph 0.04, graph "
          "0.04, graph 0.04\nplot ",
          f);
    if (epochs->n)
        fputs("$epochs using ($1/1000):2:3:4 with yerrorlines lt 1 title 'same epochs'", f);
    if (steps->n)
        fprintf(f, "%s$steps using ($1/1000):2:3:4 with yerrorlines lt 2 dt 2 title 'same updates'",
                epochs->n ? ", " : "");
    dt_page_figure_end(page, "Mean over the seeds; bars are 95 %% intervals of the mean (Student). "
                             "With the same number of epochs a small set also gets fewer updates; "
                             "with the same number of updates only the data differ.");
}

/* One line a size, of a column of the curves. */
static void plot_curves(dt_page *page, const dt_sweep *sweep, const groups *all, const char *name,
                        const char *title, int y_column, const char *y_label, const char *more,
                        const char *caption) {
    if (!any_point(sweep, all, y_column))
        return;
    FILE *f = dt_page_figure(page, name, title);
    int step = (all->n + SHOWN - 1) / SHOWN;
    for (int i = all->n - 1; i >= 0; i -= step) {
        fprintf(f, "$n%d << EOD\n", i);
        for (int64_t p = 0; p < sweep->points; p++)
            put_point(f, curve_at(sweep, &all->g[i], DT_CURVE_EPOCH, p).value,
                      curve_at(sweep, &all->g[i], y_column, p));
        fputs("EOD\n", f);
    }
    fprintf(f,
            "set xlabel 'epoch'\nset ylabel '%s'\nset xtics 0,%lld\nset autoscale xfix\n"
            "set offsets graph 0.04, graph 0.04, 0, 0\n%s\nplot ",
            y_label, (long long)((sweep->points + 8) / 9), more);
    int lines = (all->n + step - 1) / step;
    double apart = fmin(0.01 * (double)sweep->points, 0.1);
    for (int i = all->n - 1, line = 1; i >= 0; i -= step, line++)
        put_line(f, all, i, line, apart * (line - 0.5 * (lines + 1)));
    dt_page_figure_end(
        page,
        "Mean over the seeds, bars from the least to the largest of them, side by side; one "
        "line a size (samples).%s",
        caption);
}

static void plot_time_accuracy(dt_page *page, const dt_sweep *sweep, const groups *all) {
    if (!any_point(sweep, all, DT_CURVE_TEST_ACCURACY))
        return;
    FILE *f = dt_page_figure(page, "time-accuracy", "Test accuracy by training time");
    int step = (all->n + SHOWN - 1) / SHOWN, line = 0;
    for (int i = all->n - 1; i >= 0; i -= step) {
        const dt_cell *c = timed(&all->g[i]);
        fprintf(f, "$n%d << EOD\n", i);
        for (int64_t p = 1; c && c->curve && p < sweep->points; p++)
            put_point(f, c->curve[DT_CURVE_SECONDS * sweep->points + p],
                      curve_at(sweep, &all->g[i], DT_CURVE_TEST_ACCURACY, p));
        fputs("EOD\n", f);
    }
    fputs("set xlabel 'training time (s)'\nset ylabel 'test accuracy (%)'\nset format y "
          "'%.1f'\nset yrange [*:*<100]\n"
          "set xrange [0:*]\nset offsets 0, graph 0.04, graph 0.04, graph 0.04\nplot ",
          f);
    for (int i = all->n - 1; i >= 0; i -= step)
        if (timed(&all->g[i]))
            put_line(f, all, i, ++line, 0);
    dt_page_figure_end(page,
                       "One point an epoch, one line a size (samples). Time is that of the seed "
                       "that ran alone, evaluations not counted; accuracy is the mean over the "
                       "seeds, bars from the least to the largest of them.");
}

static void plot_power(dt_page *page, const groups *all, const dt_power_law *law) {
    bool steps = all->budget == DT_BUDGET_STEPS;
    FILE *f = dt_page_figure(page, steps ? "power-law-steps" : "power-law",
                             steps ? "Test error by size, and its power law: the same updates"
                                   : "Test error by size, and its power law: the same epochs");
    double first = (double)all->g[0].samples, last = (double)all->g[all->n - 1].samples;
    fputs("$seeds << EOD\n", f);
    for (int i = 0; i < all->n; i++)
        for (size_t s = 0; s < all->g[i].n; s++)
            fprintf(f, "%lld %.6g\n", (long long)all->g[i].samples, 100 - all->g[i].accuracy[s]);
    fputs("EOD\n$law << EOD\n", f);
    for (int i = 0; i <= 60; i++) {
        double n = first * pow(4 * last / first, i / 60.0);
        dt_estimate e = dt_power_at(law, n);
        fprintf(f, "%.6g %.6g %.6g %.6g %d\n", n, e.value, e.low, e.high, n > last);
    }
    fprintf(f, "EOD\nlast = %.6g\n", last / 1000);
    fputs("set xlabel 'training samples (thousands)'\nset ylabel 'test error (%)'\n"
          "set logscale xy\nset xtics (0.1,0.2,0.5,1,2,5,10,20,50,100,200,500,1000)\n"
          "set ytics (0.1,0.2,0.5,1,2,5,10,20,50,100)\nset mxtics 1\nset mytics 1\n"
          "set xrange [*:*] noextend\n"
          "set arrow 1 from last, graph 0 to last, graph 1 nohead dt 3 lc rgb '#808080'\n"
          "plot $law using ($1/1000):3:4 with filledcurves fc rgb '#0072B2' fs transparent solid "
          "0.2 noborder title '95 % interval', "
          "$law using ($5==0 ? $1/1000 : NaN):2 with lines lt 1 title 'law', "
          "$law using ($5==1 ? $1/1000 : NaN):2 with lines lt 1 dt 2 title 'extrapolated', "
          "$seeds using ($1/1000):2 with points lt 2 title 'seeds'",
          f);
    dt_page_figure_end(page,
                       "err(n) = e0 + b n^-c, least squares over all seeds; the dotted line is "
                       "the largest size measured, right of it is extrapolation.");
}

/* --- words --- */

static void sheet_sizes(dt_page *page, const dt_sweep *sweep, const groups *all, const char *name,
                        const char *title) {
    static const char *const headings[] = {"samples", "seeds",   "accuracy %", "low",  "high",
                                           "loss",    "updates", "time s",     "ranks"};
    dt_sheet sheet = {0};
    for (size_t i = 0; i < sizeof headings / sizeof *headings; i++)
        dt_sheet_column(&sheet, headings[i]);
    for (int i = 0; i < all->n; i++) {
        const group *g = &all->g[i];
        const dt_cell *c = timed(g);
        dt_sheet_put(&sheet, "%lld", (long long)g->samples);
        dt_sheet_put(&sheet, "%zu", g->n);
        dt_sheet_number(&sheet, 2, g->mean.value);
        dt_sheet_number(&sheet, 2, isfinite(g->mean.low) ? fmax(0, g->mean.low) : NAN);
        dt_sheet_number(&sheet, 2, isfinite(g->mean.high) ? fmin(100, g->mean.high) : NAN);
        dt_sheet_number(&sheet, 4, curve_at(sweep, g, DT_CURVE_TEST_LOSS, sweep->points - 1).value);
        dt_sheet_put(&sheet, "%lld", (long long)g->cell[0]->steps);
        dt_sheet_number(&sheet, 2, c ? c->seconds : NAN);
        dt_sheet_number(&sheet, 0, c ? (double)c->ranks : NAN);
    }
    dt_page_sheet(page, name, title, &sheet, true);
}

/* What a sentence is about: which of the two causes it may not tell from more data. */
static const char *prefix_of(const groups *all) {
    return all->budget == DT_BUDGET_STEPS ? "With the same updates" : "With the same epochs";
}

/* From which size on are all means within the noise of the largest one's? */
static void say_enough(dt_page *page, const groups *all) {
    static double v[GROUPS * SEEDS];
    size_t size[GROUPS], n = 0;
    char a[DT_NUMBER_MAX], b[DT_NUMBER_MAX];
    for (int i = 0; i < all->n; i++) {
        memcpy(v + n, all->g[i].accuracy, all->g[i].n * sizeof *v);
        n += size[i] = all->g[i].n;
    }
    dt_pooled pooled = dt_pool(v, size, (size_t)all->n);
    if (all->n < 2 || pooled.df < 1) {
        dt_page_say(page,
                    "%s: Whether more data helps cannot be told from noise here: that takes two "
                    "sizes or more, and two seeds or more.",
                    prefix_of(all));
        return;
    }
    const group *last = &all->g[all->n - 1];
    int first = all->n - 1,
        other; /* the least that cannot be told from the last; the next lesser */
    dt_estimate d = {0}, within = {0};
    for (other = all->n - 2; other >= 0; other--) {
        const group *g = &all->g[other];
        d = dt_difference(&pooled, g->mean.value, g->n, last->mean.value, last->n);
        if (d.low > 0 || d.high < 0)
            break;
        first = other;
        within = d;
    }
    dt_text_thousands(last->samples, a);
    if (other >= 0 && d.high < 0)
        dt_page_say(page,
                    "%s: More data does not help here: %s samples are %.2f points worse than %s "
                    "(95 %% interval %.2f to %.2f). Something else decides, such as the learning "
                    "rate.",
                    prefix_of(all), a, -d.value, dt_text_thousands(all->g[other].samples, b),
                    -d.high, -d.low);
    else if (first == all->n - 1)
        dt_page_say(
            page,
            "%s: More data helps up to the largest size: %s samples are %.2f points better than "
            "%s (95 %% interval %.2f to %.2f).",
            prefix_of(all), a, d.value, dt_text_thousands(all->g[other].samples, b), d.low, d.high);
    if (first == all->n - 1)
        return;
    dt_page_say(page,
                "%s: From %s samples on, more data is no longer distinguishable from noise: %s "
                "samples differ by %+.2f points (95 %% interval %+.2f to %+.2f, %.0f degrees of "
                "freedom).",
                prefix_of(all), dt_text_thousands(all->g[first].samples, b), a, within.value,
                within.low, within.high, pooled.df);
}

static void say_noise(dt_page *page, const dt_sweep *sweep, const groups *all) {
    const dt_cell *c = all->g[all->n - 1].cell[0];
    if (sweep->test_samples < 1 || c->test_correct < 0)
        return;
    dt_estimate w = dt_wilson(c->test_correct, sweep->test_samples, 0.99);
    double count = (double)sweep->test_samples;
    char n[DT_NUMBER_MAX];
    dt_page_say(
        page,
        "A single accuracy over %s test images is itself known to %+.2f and %+.2f points "
        "only (99 %%, Wilson, at %.2f %%), and the difference of two runs to %.2f points: what "
        "differs by less is noise.",
        dt_text_thousands(sweep->test_samples, n), 100 * (w.low - w.value),
        100 * (w.high - w.value), 100 * w.value,
        100 * dt_share_noise(w.value, count, w.value, count, 0.99));
}

static void say_time(dt_page *page, const groups *all) {
    const dt_cell *c = timed(&all->g[all->n - 1]);
    char n[DT_NUMBER_MAX];
    if (c)
        dt_page_say(
            page,
            "Time to allow: %s samples took %.1f s of training on %lld rank(s), %.3g ms for "
            "each thousand samples seen.",
            dt_text_thousands(c->samples, n), c->seconds, (long long)c->ranks,
            1e6 / c->images_per_second);
}

static void say_power(dt_page *page, const groups *all) {
    static dt_power_law law;
    static double n[GROUPS * SEEDS], err[GROUPS * SEEDS];
    size_t count = 0;
    for (int i = 0; i < all->n; i++)
        for (size_t s = 0; s < all->g[i].n; s++, count++) {
            n[count] = (double)all->g[i].samples;
            err[count] = 100 - all->g[i].accuracy[s];
        }
    if (!dt_power_fit(n, err, count, &law)) {
        dt_page_say(page,
                    "%s: A power law is fitted to four sizes or more, of which none is without an "
                    "error; there are %d.",
                    prefix_of(all), all->n);
        return;
    }
    double twice = 2 * n[count - 1];
    dt_estimate at = dt_power_at(&law, twice);
    dt_page_say(
        page,
        "%s: Power law: err(n) = e0 + b n^-c with e0 = %.3f %% (%.3f to %.3f), c = %.2f (%.2f to "
        "%.2f), b = %.4g; R2 = %.3f. Each size predicted from the others: %.1f %% off on "
        "average, %.1f %% at worst. Extrapolated: twice the largest set would err in %.2f %% "
        "(%.2f to %.2f).",
        prefix_of(all), law.e0.value, law.e0.low, law.e0.high, law.c.value, law.c.low, law.c.high,
        law.b.value, law.r2, 100 * law.mean, 100 * law.worst, at.value, at.low, at.high);
    plot_power(page, all, &law);
}

void dt_report_data(dt_page *page, const dt_sweep *sweep) {
    groups *both = calloc(2, sizeof *both);
    if (!both) {
        dt_page_note(page, "There was no memory for the accuracy cells.");
        return;
    }
    groups *epochs = &both[0], *steps = &both[1];
    collect(sweep, DT_BUDGET_EPOCHS, epochs);
    collect(sweep, DT_BUDGET_STEPS, steps);
    if (steps->n && epochs->n && steps->n < GROUPS && /* the largest set's cells are both */
        steps->g[steps->n - 1].samples < epochs->g[epochs->n - 1].samples)
        steps->g[steps->n++] = epochs->g[epochs->n - 1];
    const groups *first = epochs->n ? epochs : steps;
    if (first->n) {
        dt_page_section(page, "data", "What more data buys");
        for (int i = 0; i < 2; i++)
            if (both[i].n)
                say_enough(page, &both[i]);
        if (epochs->n && steps->n)
            dt_page_note(page, "With the same epochs a small set also gets fewer updates, so that "
                               "answer mixes two causes; with the same updates only the data "
                               "differ.");
        say_noise(page, sweep, first);
        say_time(page, first);
        if (first->left_out)
            dt_page_note(page,
                         "%zu accuracy cells are left out: there is room for %d sizes of %d "
                         "seeds.",
                         first->left_out, GROUPS, SEEDS);
        if (any_timed(first))
            plot_size_time(page, first);
        else
            dt_page_note(page, "No cell ran alone: there are no training times to show, as cells "
                               "that share the machine slow each other down.");
        plot_size_accuracy(page, epochs, steps);
        plot_curves(page, sweep, first, "epoch-loss", "Training loss by epoch", DT_CURVE_TRAIN_LOSS,
                    "training loss (nat)", "set logscale y",
                    " The loss of an epoch is that of its samples while it trains.");
        if (any_timed(first))
            plot_time_accuracy(page, sweep, first);
        plot_curves(page, sweep, first, "epoch-test-loss", "Test loss by epoch", DT_CURVE_TEST_LOSS,
                    "test loss (nat)", "set logscale y", "");
        plot_curves(page, sweep, first, "epoch-accuracy", "Learning curves by epoch",
                    DT_CURVE_TEST_ACCURACY, "test accuracy (%)",
                    "set xrange [0.6:*]\nset format y '%.1f'\nset yrange [*:*<100]\n"
                    "set offsets graph 0.04, graph 0.04, graph 0.04, graph 0.04",
                    "");
        for (int i = 0; i < 2; i++)
            if (both[i].n)
                say_power(page, &both[i]);
    }
    if (epochs->n)
        sheet_sizes(page, sweep, epochs, "sizes", "Sizes, the same number of epochs");
    if (steps->n)
        sheet_sizes(page, sweep, steps, "sizes-steps", "Sizes, the same number of updates");
    free(both);
}
