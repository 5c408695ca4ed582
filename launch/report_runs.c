/* launch/report_runs.c - runs laid over each other: curves, confusion, classes, times, origin.
 *
 * A colour is a run. Columns that are NaN (no validation set, an older file) leave gaps, which
 * gnuplot skips. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "io/json.h"
#include "launch/fit.h"
#include "launch/report.h"
#include "launch/term.h"

typedef struct {
    const dt_run *const *run;
    const char *const *name;
    int n;
} runs;

/* --- curves --- */

/* $r0 ... : key, then all columns of a table, thinned to at most 2,000 rows. */
static void write_blocks(FILE *f, const runs *all, const dt_table *(*table)(const dt_run *run)) {
    for (int i = 0; i < all->n; i++) {
        const dt_table *t = table(all->run[i]);
        size_t every = t->n / 2000 + 1;
        double time = 0;
        fprintf(f, "$r%d << EOD\n", i);
        for (size_t row = 0; row < t->n; row++) {
            double seconds = t == &all->run[i]->epochs ? t->column[DT_EPOCH_SECONDS].v[row] : NAN;
            time += isfinite(seconds) ? seconds : 0;
            if (row % every)
                continue;
            fprintf(f, "%lld", (long long)t->key[row]);
            for (int c = 0; c < t->n_columns; c++)
                fprintf(f, " %.6g", t->column[c].v[row * t->width]);
            fprintf(f, " %.6g\n", time);
        }
        fputs(t->n ? "EOD\n" : "NaN\nEOD\n", f);
    }
}

static const dt_table *epochs_of(const dt_run *run) {
    return &run->epochs;
}

static const dt_table *steps_of(const dt_run *run) {
    return &run->steps;
}

/* Whole epochs on the x axis, ten of them at most. */
static void epoch_axis(FILE *f, const runs *all) {
    int64_t last = 1;
    for (int i = 0; i < all->n; i++) {
        const dt_table *t = &all->run[i]->epochs;
        last = t->key[t->n - 1] > last ? t->key[t->n - 1] : last;
    }
    fprintf(f, "set xlabel 'epoch'\nset xtics 0,%lld\n", (long long)((last + 9) / 10));
}

/* plot x:column for every run; columns of gnuplot count from 1, with the key as the first. */
static void write_lines(FILE *f, const runs *all, const char *x, int column, const char *style,
                        const char *suffix, bool more) {
    for (int i = 0; i < all->n; i++) {
        char title[192];
        snprintf(title, sizeof title, "%s%s", all->name[i], suffix);
        fprintf(f, "%s$r%d using (%s):%d with %s lc %d title ", more || i ? ", " : "", i, x,
                column + 2, style, i + 1);
        dt_plot_text(f, title);
    }
}

/* Is there an epoch of training, besides row 0? */
static bool is_trained(const runs *all) {
    bool trained = false;
    for (int i = 0; i < all->n; i++) {
        const dt_table *t = &all->run[i]->epochs;
        trained = trained || (t->n > 0 && t->key[t->n - 1] > 0);
    }
    return trained;
}

static void plot_loss(dt_page *page, const runs *all) {
    FILE *f = dt_page_figure(page, "loss", "Loss by epoch");
    write_blocks(f, all, epochs_of);
    epoch_axis(f, all);
    fputs("set ylabel 'loss (nat)'\nset logscale y\nplot ", f);
    write_lines(f, all, "$1", DT_EPOCH_TRAIN_LOSS, "linespoints pt 7", " training", false);
    write_lines(f, all, "$1", DT_EPOCH_TEST_LOSS, "linespoints dt 2 pt 6", " test", true);
    dt_page_figure_end(page,
                       "Training loss is that of an epoch's samples while it trains, with label "
                       "smoothing if there is any; test loss is after the epoch.");
}

static void plot_accuracy(dt_page *page, const runs *all) {
    FILE *f = dt_page_figure(page, "accuracy", "Accuracy by epoch");
    write_blocks(f, all, epochs_of);
    epoch_axis(f, all);
    fputs("set ylabel 'accuracy (%)'\nset format y '%.1f'\nset yrange [*:*<100]\nset xrange [1:*]\n"
          "set autoscale xfix\nset offsets graph 0.04, graph 0.04, graph 0.04, graph 0.04\nplot ",
          f);
    write_lines(f, all, "$1>0 ? $1 : NaN", DT_EPOCH_TRAIN_ACCURACY, "linespoints pt 7", " training",
                false);
    write_lines(f, all, "$1>0 ? $1 : NaN", DT_EPOCH_TEST_ACCURACY, "linespoints dt 2 pt 6", " test",
                true);
    dt_page_figure_end(page, "Epoch 0, a network given by --init, is left out.");
}

static void plot_time(dt_page *page, const runs *all) {
    FILE *f = dt_page_figure(page, "time", "Test accuracy by training time");
    write_blocks(f, all, epochs_of);
    fputs("set xlabel 'training time (s)'\nset ylabel 'test accuracy (%)'\nset format y "
          "'%.1f'\nset yrange [*:*<100]\n"
          "set xrange [0:*]\nset offsets 0, graph 0.04, graph 0.04, graph 0.04\nplot ",
          f);
    char x[32];
    snprintf(x, sizeof x, "$1>0 ? $%d : NaN", DT_EPOCH_COLUMNS + 2);
    write_lines(f, all, x, DT_EPOCH_TEST_ACCURACY, "linespoints pt 7", "", false);
    dt_page_figure_end(page, "One point an epoch; evaluations are not counted as time.");
}

static void plot_steps(dt_page *page, const runs *all, const char *name, const char *title,
                       int column, const char *label) {
    FILE *f = dt_page_figure(page, name, title);
    write_blocks(f, all, steps_of);
    fprintf(f, "set xlabel 'update'\nset ylabel '%s'\nset xtics auto\nplot ", label);
    write_lines(f, all, "$1", column, "lines", "", false);
    dt_page_figure_end(page, "Every update, or every so many of more than 2,000.");
}

/* --- where the time goes --- */

static void plot_phases(dt_page *page, const dt_run *run, const char *name, int number) {
    static const char *const titles[] = {"compute", "all-reduce", "wait", "input", "checkpoint"};
    static const int colours[] = {1, 2, 5, 4, 6};
    const dt_table *t = &run->ranks;
    char file[32], title[300];
    if (t->n == 0 || run->n_ranks > 64)
        return;
    snprintf(file, sizeof file, "phases-%d", number);
    snprintf(title, sizeof title, "Where the ranks' time goes: %s", name);
    FILE *f = dt_page_figure(page, file, title);
    fputs("$ranks << EOD\n", f);
    for (size_t r = 0; r < t->width; r++) {
        fprintf(f, "%zu", r);
        for (int c = DT_RANK_COMPUTE_SECONDS; c <= DT_RANK_CHECKPOINT_SECONDS; c++) {
            double sum = 0;
            for (size_t e = 0; e < t->n; e++)
                sum += isfinite(t->column[c].v[e * t->width + r]) ? t->column[c].v[e * t->width + r]
                                                                  : 0;
            fprintf(f, " %.6g", sum);
        }
        fputc('\n', f);
    }
    fputs("EOD\nset xlabel 'rank'\nset ylabel 'time of all epochs (s)'\nset style data histograms\n"
          "set style histogram rowstacked\nset boxwidth 0.6\nset style fill solid 0.9 noborder\n"
          "set yrange [0:*]\nset grid noxtics\nplot ",
          f);
    for (int c = 0; c < 5; c++)
        fprintf(f, "%s$ranks using %d:xtic(1) lt %d title '%s'", c ? ", " : "", c + 2, colours[c],
                titles[c]);
    dt_page_figure_end(page, "Training only; all-reduce is what is not hidden behind computing.");
}

/* --- confusion and classes --- */

static const int64_t *last_confusion(const dt_run *run) {
    size_t size = (size_t)run->classes * (size_t)run->classes;
    return run->n_confusion ? run->confusion + (run->n_confusion - 1) * size : NULL;
}

static void plot_confusion(dt_page *page, const dt_run *run, const char *name, int number) {
    const int64_t *m = last_confusion(run);
    char file[32], title[300];
    int n = run->classes;
    if (!m || n > 30)
        return;
    snprintf(file, sizeof file, "confusion-%d", number);
    snprintf(title, sizeof title, "Confusion after the last epoch: %s", name);
    FILE *f = dt_page_figure(page, file, title);
    fputs("$cells << EOD\n", f);
    for (int t = 0; t < n; t++)
        for (int p = 0; p < n; p++)
            fprintf(f, "%d %d %lld %d\n", p, t, (long long)m[t * n + p], t == p);
    fprintf(f,
            "EOD\nset xlabel 'predicted class'\nset ylabel 'true class'\nset xtics 0,1\n"
            "set ytics 0,1\nset xrange [-0.5:%d.5]\nset yrange [%d.5:-0.5]\nunset grid\n"
            "set key off\nunset colorbox\nset cbrange [0:*]\n"
            "set palette defined (0 '#ffffff', 1 '#D55E00')\nset style fill solid 1 border lc rgb "
            "'#c0c0c0'\n"
            "plot $cells using 1:2:(0.5):(0.5):($4==1 ? NaN : $3) with boxxyerror lc palette, "
            "'' using ($4==1?$1:NaN):2:(0.5):(0.5) with boxxyerror fc rgb '#d8e8f2', "
            "'' using 1:2:($3>0 ? sprintf('%%d', $3) : '') with labels font ',11' textcolor rgb "
            "'#101010'",
            n - 1, n - 1);
    dt_page_figure_end(page,
                       "Test images; mistakes are the darker the more there are, the diagonal "
                       "is right.");
}

static void sheet_classes(dt_page *page, const dt_run *run, const char *name, int number) {
    const int64_t *m = last_confusion(run);
    char file[32], title[300];
    int n = run->classes;
    if (!m)
        return;
    dt_sheet s = {0};
    dt_sheet_column(&s, "class");
    dt_sheet_column(&s, "images");
    dt_sheet_column(&s, "right");
    dt_sheet_column(&s, "precision %");
    dt_sheet_column(&s, "recall %");
    dt_sheet_column(&s, "most often taken for");
    dt_sheet_column(&s, "times");
    for (int c = 0; c < n; c++) {
        int64_t images = 0, predicted = 0;
        int other = -1;
        for (int i = 0; i < n; i++) {
            images += m[c * n + i];
            predicted += m[i * n + c];
            if (i != c && m[c * n + i] > 0 && (other < 0 || m[c * n + i] > m[c * n + other]))
                other = i;
        }
        dt_sheet_put(&s, "%d", c);
        dt_sheet_put(&s, "%lld", (long long)images);
        dt_sheet_put(&s, "%lld", (long long)m[c * n + c]);
        dt_sheet_number(&s, 2, 100.0 * (double)m[c * n + c] / (double)predicted);
        dt_sheet_number(&s, 2, 100.0 * (double)m[c * n + c] / (double)images);
        dt_sheet_number(&s, 0, other >= 0 ? (double)other : NAN);
        dt_sheet_number(&s, 0, other >= 0 ? (double)m[c * n + other] : NAN);
    }
    snprintf(file, sizeof file, "classes-%d", number);
    snprintf(title, sizeof title, "Classes: %s", name);
    dt_page_sheet(page, file, title, &s, false);
}

/* --- tables of all runs --- */

static void sheet_runs(dt_page *page, const runs *all) {
    static const char *const headings[] = {"run",       "epochs",    "updates",  "test accuracy %",
                                           "test loss", "train s",   "images/s", "ranks",
                                           "workers",   "parameters"};
    dt_sheet s = {0};
    for (size_t i = 0; i < sizeof headings / sizeof *headings; i++)
        dt_sheet_column(&s, headings[i]);
    for (int i = 0; i < all->n; i++) {
        const dt_run *r = all->run[i];
        const dt_table *t = &r->epochs;
        size_t last = t->n - 1;
        double seconds = 0;
        for (size_t e = 0; e < t->n; e++)
            if (isfinite(t->column[DT_EPOCH_SECONDS].v[e]))
                seconds += t->column[DT_EPOCH_SECONDS].v[e];
        dt_sheet_put(&s, "%s", all->name[i]);
        dt_sheet_put(&s, "%lld", (long long)t->key[last]);
        dt_sheet_number(&s, 0, dt_run_number(r, "step"));
        dt_sheet_number(&s, 2, t->column[DT_EPOCH_TEST_ACCURACY].v[last]);
        dt_sheet_number(&s, 4, t->column[DT_EPOCH_TEST_LOSS].v[last]);
        dt_sheet_number(&s, 2, seconds);
        dt_sheet_number(&s, 0, t->column[DT_EPOCH_IMAGES_PER_SECOND].v[last]);
        dt_sheet_put(&s, "%d", r->n_ranks);
        dt_sheet_number(&s, 0, dt_run_number(r, "workers"));
        dt_sheet_number(&s, 0, dt_run_number(r, "parameters"));
    }
    dt_page_sheet(page, "runs", "Figures of the last epoch", &s, true);
}

/* Test accuracy after the last epoch, a share. */
static double last_accuracy(const dt_run *run) {
    return run->epochs.column[DT_EPOCH_TEST_ACCURACY].v[run->epochs.n - 1] / 100;
}

/* The best run against each of the others. Their test images are the same, so that they are less
 * independent than is taken here: a difference that counts does so all the more. */
static void say_noise(dt_page *page, const runs *all) {
    int best = 0;
    for (int i = 1; i < all->n; i++)
        if (!(last_accuracy(all->run[best]) >= last_accuracy(all->run[i])))
            best = i;
    for (int i = 0; i < all->n; i++) {
        double a = last_accuracy(all->run[best]), b = last_accuracy(all->run[i]);
        double noise = dt_share_noise(a, dt_run_number(all->run[best], "test_samples"), b,
                                      dt_run_number(all->run[i], "test_samples"), 0.99);
        if (i == best || !isfinite(a - b) || !isfinite(noise))
            continue;
        dt_page_say(page,
                    "%s is %.2f points better than %s: that is %s, which over so many test images "
                    "is up to %.2f points (99 %%).",
                    all->name[best], 100 * (a - b), all->name[i],
                    a - b <= noise ? "within the noise" : "more than noise", 100 * noise);
    }
}

typedef struct { /* looks for one option in a config */
    const char *key;
    char value[256];
} wanted;

static void find_option(void *ctx, const char *key, const char *value) {
    wanted *w = ctx;
    if (strcmp(key, w->key) == 0)
        snprintf(w->value, sizeof w->value, "%s", value ? value : "null");
}

static void option_value(const dt_run *run, wanted *w) {
    w->value[0] = '\0';
    if (dt_json_each(dt_run_text(run, "config"), find_option, w) != DT_OK)
        w->value[0] = '\0'; /* no options are recorded */
}

typedef struct {
    const runs *all;
    dt_sheet *sheet;
} comparison;

static void compare_option(void *ctx, const char *key, const char *value) {
    comparison *c = ctx;
    wanted w = {.key = key};
    bool differs = false;
    (void)value;
    option_value(c->all->run[0], &w);
    char first[sizeof w.value];
    memcpy(first, w.value, sizeof first);
    for (int i = 1; i < c->all->n; i++) {
        option_value(c->all->run[i], &w);
        differs = differs || strcmp(first, w.value) != 0;
    }
    if (!differs)
        return;
    dt_sheet_put(c->sheet, "%s", key);
    for (int i = 0; i < c->all->n; i++) {
        option_value(c->all->run[i], &w);
        dt_sheet_put(c->sheet, "%s", w.value);
    }
}

static void sheet_differences(dt_page *page, const runs *all) {
    dt_sheet s = {0};
    comparison c = {all, &s};
    if (all->n < 2)
        return;
    dt_sheet_column(&s, "option");
    for (int i = 0; i < all->n; i++)
        dt_sheet_column(&s, all->name[i]);
    if (dt_json_each(dt_run_text(all->run[0], "config"), compare_option, &c) != DT_OK)
        dt_page_note(page, "The first run does not record its options.");
    dt_page_sheet(page, "differences", "Options that differ", &s, true);
}

static void sheet_origin(dt_page *page, const runs *all) {
    static const char *const facts[] = {
        "build",       "command_line", "model",      "data",     "hosts",         "devices",
        "fingerprint", "comm_library", "start_time", "end_time", "params_sha256", "config"};
    dt_sheet s = {0};
    dt_sheet_column(&s, "what");
    for (int i = 0; i < all->n; i++)
        dt_sheet_column(&s, all->name[i]);
    for (size_t k = 0; k < sizeof facts / sizeof *facts; k++) {
        dt_sheet_put(&s, "%s", facts[k]);
        for (int i = 0; i < all->n; i++)
            dt_sheet_put(&s, "%s", dt_run_text(all->run[i], facts[k]));
    }
    dt_page_sheet(page, "origin", "Provenance", &s, false);
}

/* A column of the epochs by its name; NULL: this file has none. */
static const double *epoch_column(const dt_run *run, const char *name) {
    for (int c = 0; c < run->epochs.n_columns; c++)
        if (strcmp(run->epochs.column[c].name, name) == 0)
            return run->epochs.column[c].v;
    return NULL;
}

/* Where a rank ran, of a text such as "a (2), b"; "": it is not told. */
static void host_of(const dt_run *run, double rank, char *host, size_t nbytes) {
    const char *at = dt_run_text(run, "hosts");
    host[0] = '\0';
    while (at && *at) {
        int length = (int)strcspn(at, " ,"), n = 1;
        if (sscanf(at + length, " (%d)", &n) != 1)
            n = 1;
        if (rank < n) {
            snprintf(host, nbytes, "%.*s", length, at);
            return;
        }
        rank -= n;
        at += strcspn(at, ",");
        at += strspn(at, ", ");
    }
}

/* Epochs in which one rank held up the others. */
static void sheet_stragglers(dt_page *page, const runs *all) {
    static const char *const headings[] = {"run",      "epoch",  "slowest rank",
                                           "its host", "cost s", "cost %"};
    char host[128];
    dt_sheet s = {0};
    for (size_t i = 0; i < sizeof headings / sizeof *headings; i++)
        dt_sheet_column(&s, headings[i]);
    for (int i = 0; i < all->n; i++) {
        const dt_run *run = all->run[i];
        const double *rank = epoch_column(run, "slowest_rank"),
                     *cost = epoch_column(run, "slowest_seconds"),
                     *seconds = run->epochs.column[DT_EPOCH_SECONDS].v;
        for (size_t e = 0; rank && cost && e < run->epochs.n; e++) {
            if (!isfinite(rank[e]))
                continue;
            dt_sheet_put(&s, "%s", all->name[i]);
            dt_sheet_put(&s, "%lld", (long long)run->epochs.key[e]);
            dt_sheet_number(&s, 0, rank[e]);
            host_of(run, rank[e], host, sizeof host);
            dt_sheet_put(&s, "%s", host);
            dt_sheet_number(&s, 2, cost[e]);
            dt_sheet_number(&s, 0, 100 * cost[e] / seconds[e]);
        }
    }
    if (s.n) {
        dt_page_note(page, "A rank held up the others: without it an epoch would have been shorter "
                           "by the cost.");
        dt_page_sheet(page, "stragglers", "Ranks that held up the others", &s, true);
    }
    dt_sheet_free(&s);
}

static bool has_steps(const runs *all) {
    for (int i = 0; i < all->n; i++)
        if (all->run[i]->steps.n > 0)
            return true;
    return false;
}

void dt_report_runs(dt_page *page, const dt_run *const *run, const char *const *names, int n) {
    const runs all = {run, names, n};
    dt_page_section(page, "figures", "Figures");
    sheet_runs(page, &all);
    say_noise(page, &all);
    sheet_differences(page, &all);
    dt_page_section(page, "curves", "Curves");
    plot_loss(page, &all);
    if (is_trained(&all)) {
        plot_accuracy(page, &all);
        plot_time(page, &all);
    } else {
        dt_page_note(page, "There is no epoch of training yet: row 0 is the network that --init "
                           "gave.");
    }
    if (has_steps(&all)) {
        plot_steps(page, &all, "step-loss", "Loss by update", DT_STEP_LOSS,
                   "loss of the batch (nat)");
        plot_steps(page, &all, "learning-rate", "Learning rate by update", DT_STEP_LEARNING_RATE,
                   "learning rate");
        plot_steps(page, &all, "gradient-norm", "Norm of the gradient by update",
                   DT_STEP_GRADIENT_NORM, "norm of the mean gradient");
    }
    for (int i = 0; i < n; i++)
        plot_phases(page, run[i], names[i], i + 1);
    sheet_stragglers(page, &all);
    dt_page_section(page, "classes", "Classes and mistakes");
    for (int i = 0; i < n; i++)
        plot_confusion(page, run[i], names[i], i + 1);
    for (int i = 0; i < n; i++)
        sheet_classes(page, run[i], names[i], i + 1);
    for (int i = 0; i < n; i++)
        dt_report_mistakes(page, run[i], names[i], i + 1);
    dt_page_section(page, "origin", "Where this comes from");
    sheet_origin(page, &all);
}
