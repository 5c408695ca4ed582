/* launch/ui.c - progress on rank 0's stdout.
 *
 * A bar is one line that is drawn over; it is taken away before anything else is written, by
 * whichever thread writes it, and comes back with the next step. Whatever is shown is built in one
 * buffer and written at once. Lines have fixed columns, so that grep and awk find the same number
 * in the same place in every epoch. */
#include "launch/ui.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "io/clock.h"
#include "io/log.h"
#include "io/progress.h"
#include "launch/banner.h"
#include "launch/straggler.h"
#include "launch/ui_json.h"

enum { LINE_BYTES = 1024, MIN_BAR = 8, MAX_BAR = 40 };
static const double redraw_seconds = 0.1, line_seconds = 5.0;

struct dt_ui {
    bool json, quiet; /* never both */
    int progress;     /* never auto */
    dt_term term;
    pthread_mutex_t lock; /* for the rest, and for what is on the line */
    bool bar_shown;
    double last_drawn;
};

/* dt_log_before() knows no argument; there is one display a process. */
static dt_ui *showing;

/* The lock is held. */
static void take_bar_away(dt_ui *ui) {
    if (ui->bar_shown)
        fputs("\r\033[K", stdout);
    ui->bar_shown = false;
}

/* A reader that pauses holds up the run, which is then not stuck: dt_progress_output(). */
static void begin_show(dt_ui *ui) {
    dt_progress_output(true);
    pthread_mutex_lock(&ui->lock);
}

static void end_show(dt_ui *ui) {
    pthread_mutex_unlock(&ui->lock);
    dt_progress_output(false);
}

/* Before a line on stderr. A launcher passes on stdout and stderr each in its own time, hence the
 * pause. */
static void make_way(void) {
    static const struct timespec pause = {.tv_nsec = 20000000};
    pthread_mutex_lock(&showing->lock);
    bool was_shown = showing->bar_shown;
    take_bar_away(showing);
    fflush(stdout);
    pthread_mutex_unlock(&showing->lock);
    if (was_shown)
        nanosleep(&pause, NULL);
}

dt_ui *dt_ui_open(const dt_options *options) {
    dt_ui *ui = calloc(1, sizeof *ui);
    if (!ui)
        return NULL;
    ui->json = options->json;
    ui->quiet = options->quiet && !options->json;
    ui->term = dt_term_of(STDOUT_FILENO);
    ui->progress = options->progress;
    if (ui->progress == DT_PROGRESS_AUTO)
        ui->progress = ui->term.is_terminal ? DT_PROGRESS_BAR : DT_PROGRESS_LINES;
    if (ui->json && ui->progress == DT_PROGRESS_BAR)
        ui->progress = DT_PROGRESS_LINES;
    ui->last_drawn = dt_now();
    pthread_mutex_init(&ui->lock, NULL);
    showing = ui;
    dt_log_before(make_way);
    return ui;
}

void dt_ui_close(dt_ui **ui) {
    if (!*ui)
        return;
    make_way();
    dt_log_before(NULL);
    showing = NULL;
    pthread_mutex_destroy(&(*ui)->lock);
    free(*ui);
    *ui = NULL;
}

/* A reader of stdout that is gone is no reason to stop training. */
static void say_json(dt_json *json) {
    if (dt_stdout_json(json) != DT_OK)
        clearerr(stdout);
}

void dt_ui_banner(dt_ui *ui, const dt_banner *banner) {
    dt_json json = {0};
    if (!ui)
        return;
    begin_show(ui);
    if (ui->json) {
        dt_ui_json_start(&json, banner);
        say_json(&json);
    } else if (!ui->quiet) {
        dt_banner_print(stdout, banner, &ui->term);
        fflush(stdout);
    }
    end_show(ui);
    dt_banner_warn(banner);
}

/* --- a step --- */

/* width columns of bar, share of them done. */
static size_t bar_text(const dt_term *term, int width, double share, char *text, size_t nbytes) {
    static const char *const utf8[] = {"\u2501", "\u2578", "\u2500"}, *const ascii[] = {"=", ">",
                                                                                        "-"};
    const char *const *piece = term->utf8 ? utf8 : ascii;
    int halves = (int)(share * 2 * width);
    size_t n = (size_t)snprintf(text, nbytes, "%s", term->accent);
    for (int i = 0; i < width && n < nbytes; i++) {
        const char *what = i < halves / 2                  ? piece[0]
                           : i == halves / 2 && halves % 2 ? piece[1]
                                                           : piece[2];
        const char *colour = what == piece[2] && (i == (halves + 1) / 2) ? term->plain : "";
        n += (size_t)snprintf(text + n, nbytes - n, "%s%s%s", colour, *colour ? term->dim : "",
                              what);
    }
    if (n < nbytes)
        n += (size_t)snprintf(text + n, nbytes - n, "%s", term->plain);
    return n;
}

static void draw_bar(dt_ui *ui, const dt_step_line *line) {
    char left[64], right[160], bar[LINE_BYTES], clock[DT_NUMBER_MAX], rate[DT_NUMBER_MAX];
    int room = dt_term_width(STDOUT_FILENO) - 1; /* the last column would wrap on some terminals */
    int digits = snprintf(NULL, 0, "%lld", (long long)line->steps);
    int n_left = snprintf(left, sizeof left, "epoch %lld/%lld  ", (long long)line->epoch,
                          (long long)line->epochs);
    int n_right = 0;
    dt_text_clock(line->eta_seconds, clock);
    dt_text_thousands((int64_t)line->images_per_second, rate);
    for (int fields = 0; fields < 4;
         fields++) { /* a narrow terminal loses the least important ones */
        n_right = snprintf(right, sizeof right, "  %*lld/%lld", digits, (long long)line->step,
                           (long long)line->steps);
        if (fields < 3)
            n_right += snprintf(right + n_right, sizeof right - (size_t)n_right,
                                "  loss %.4f  acc %5.2f%%", line->loss, line->accuracy);
        if (fields < 1)
            n_right += snprintf(right + n_right, sizeof right - (size_t)n_right, "  lr %.1e",
                                line->learning_rate);
        if (fields < 2)
            n_right +=
                snprintf(right + n_right, sizeof right - (size_t)n_right, "  %7s img/s", rate);
        n_right += snprintf(right + n_right, sizeof right - (size_t)n_right, "  %s left", clock);
        if (n_left + MIN_BAR + n_right <= room)
            break;
    }
    int width = room - n_left - n_right;
    bar[0] = '\0';
    if (width >= MIN_BAR)
        bar_text(&ui->term, width < MAX_BAR ? width : MAX_BAR,
                 (double)line->step / (double)line->steps, bar, sizeof bar);
    else if (n_left + n_right > room)
        right[n_left < room ? room - n_left : 0] = '\0';
    printf("\r%s%s%s\033[K", left, bar, right);
    ui->bar_shown = true;
}

static void print_step(const dt_step_line *line) {
    char clock[DT_NUMBER_MAX];
    printf("epoch %3lld/%-3lld  step %6lld/%-6lld", (long long)line->epoch, (long long)line->epochs,
           (long long)line->step, (long long)line->steps);
    printf("  loss %6.4f acc %5.2f%%  lr %.1e  grad %7.3g  %7.0f img/s  %s left\n", line->loss,
           line->accuracy, line->learning_rate, line->gradient_norm, line->images_per_second,
           dt_text_clock(line->eta_seconds, clock));
}

void dt_ui_step(dt_ui *ui, const dt_step_line *line) {
    dt_json json = {0};
    if (!ui || ui->quiet || ui->progress == DT_PROGRESS_NONE)
        return;
    bool bar = ui->progress == DT_PROGRESS_BAR;
    double t = dt_now();
    if (t - ui->last_drawn < (bar ? redraw_seconds : line_seconds))
        return;
    begin_show(ui);
    ui->last_drawn = t;
    if (ui->json) {
        dt_ui_json_step(&json, line);
        say_json(&json);
    } else if (bar) {
        draw_bar(ui, line);
    } else {
        print_step(line);
    }
    fflush(stdout);
    end_show(ui);
}

/* --- an epoch --- */

typedef struct {
    char text[LINE_BYTES];
    size_t n;
    int columns; /* without escape sequences */
} line_buffer;

DT_PRINTF(2, 3) static void add(line_buffer *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(b->text + b->n, sizeof b->text - b->n, format, args);
    va_end(args);
    b->n += n > 0 ? (size_t)n : 0;
    b->n = b->n < sizeof b->text ? b->n : sizeof b->text - 1;
    b->columns += n;
}

static void add_escape(line_buffer *b, const char *escape) {
    add(b, "%s", escape);
    b->columns -= (int)strlen(escape);
}

/* "  test loss 0.0561 acc 98.21%", with dashes of the same width for what is not known. */
static void add_result(line_buffer *b, const char *set, double loss, double accuracy) {
    if (isnan(accuracy))
        add(b, "  %s loss      - acc      -", set);
    else
        add(b, "  %s loss %6.4f acc %5.2f%%", set, loss, accuracy);
}

/* n_dropped of the less important fields are left out. */
static void epoch_text(line_buffer *b, const dt_term *term, const dt_epoch_line *line,
                       int n_dropped) {
    b->n = 0;
    b->columns = 0;
    add(b, "epoch %3lld/%-3lld", (long long)line->epoch, (long long)line->epochs);
    if (n_dropped < 3)
        add_result(b, "train", line->train_loss, line->train_accuracy);
    if (!isnan(line->validation_accuracy))
        add_result(b, "validation", line->validation_loss, line->validation_accuracy);
    add_escape(b, term->bold);
    add_result(b, "test", line->test_loss, line->test_accuracy);
    add_escape(b, term->plain);
    if (n_dropped < 1 && line->images_per_second > 0)
        add(b, "  %7.0f img/s", line->images_per_second);
    else if (n_dropped < 1)
        add(b, "        - img/s");
    if (n_dropped < 2 && line->seconds > 0)
        add(b, "  %7.2f s", line->seconds);
    else if (n_dropped < 2)
        add(b, "        - s");
    if (line->slowest_seconds > DT_STRAGGLER_SHARE * line->seconds)
        add(b, "  rank %d (%s) costs %.0f%%", line->slowest_rank, line->slowest_host,
            100 * line->slowest_seconds / line->seconds);
    if (line->is_best) {
        add_escape(b, term->good);
        add(b, "  best");
        add_escape(b, term->plain);
    }
}

static void print_epoch(const dt_term *term, const dt_epoch_line *line) {
    line_buffer b;
    int room = dt_term_width(STDOUT_FILENO);
    for (int n_dropped = 0; n_dropped <= 3; n_dropped++) {
        epoch_text(&b, term, line, n_dropped);
        if (!term->is_terminal || b.columns <= room)
            break;
    }
    printf("%s\n", b.text);
}

void dt_ui_epoch(dt_ui *ui, const dt_epoch_line *line) {
    dt_json json = {0};
    if (!ui || ui->quiet || (ui->progress == DT_PROGRESS_NONE && !ui->json))
        return;
    begin_show(ui);
    if (ui->json) {
        dt_ui_json_epoch(&json, line);
        say_json(&json);
    } else {
        take_bar_away(ui);
        print_epoch(&ui->term, line);
        fflush(stdout);
    }
    end_show(ui);
}

/* --- the end --- */

static void print_files(const dt_term *term, const char *dir) {
    static const char *const names[] = {"run.h5", "log.jsonl", "latest.h5", "best.h5"};
    char path[DT_PATH_MAX];
    printf("  %s%-14s%s%s:", term->dim, "files", term->plain, dir);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (dt_path_join(path, dir, names[i]) == DT_OK && dt_path_exists(path))
            printf(" %s", names[i]);
    putchar('\n');
}

static void print_summary(const dt_term *term, const dt_summary *s) {
    char took[DT_NUMBER_MAX];
    dt_text_seconds(s->seconds, took);
    if (s->status == DT_ESTOPPED)
        printf("\nstopped by %s after %s, everything is saved; go on with: --resume --out %s\n",
               s->reason, took, s->out_dir);
    else if (s->status != DT_OK)
        printf("\nfailed after %s; what was saved is in %s\n", took, s->out_dir);
    else
        printf("\n%sdone%s in %s\n", term->good, term->plain, took);
    if (!isnan(s->test_accuracy))
        printf("  %s%-14s%s%s%.2f%%%s, after the last epoch\n", term->dim, "test accuracy",
               term->plain, term->bold, s->test_accuracy, term->plain);
    if (!isnan(s->best_value) && s->best_epoch >= 0)
        printf("  %s%-14s%s%.2f%% of the %s set, after epoch %lld\n", term->dim, "best",
               term->plain, s->best_value, s->best_kind, (long long)s->best_epoch);
    if (s->status == DT_OK || s->status == DT_ESTOPPED) {
        print_files(term, s->out_dir);
        printf("  %s%-14s%s%s\n", term->dim, "params_sha256", term->plain, s->params_sha256);
    }
}

void dt_ui_finish(dt_ui *ui, const dt_summary *summary) {
    dt_json json = {0};
    if (!ui || ui->quiet)
        return;
    begin_show(ui);
    if (ui->json) {
        dt_ui_json_end(&json, summary);
        say_json(&json);
    } else {
        take_bar_away(ui);
        print_summary(&ui->term, summary);
        fflush(stdout);
    }
    end_show(ui);
}
