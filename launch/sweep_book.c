/* launch/sweep_book.c - the directory and the file of a sweep.
 *
 * With --out a sweep that is there goes on. Without, the newest of sweeps/ goes on if it is not
 * done and has the same configuration; else a new one begins. Configuration is everything that
 * cells depend on: options, the data's bytes, the machine and its libraries. A damaged file is put
 * aside, and the version before it is taken; one that cannot be read now stays as it is. */
#include "launch/sweep_book.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dtrain_version.h"
#include "io/log.h"
#include "io/runfile.h"
#include "launch/describe.h"
#include "launch/resume.h"
#include "launch/rundir.h"

static const char root[] = "sweeps";

/* --- what is there --- */

/* Could the system give all the bytes of a file whose reading failed? Then it is what they say that
 * is wrong. A file that a server does not answer for, that somebody else owns or that there is no
 * memory for may be whole. */
static bool is_damaged(const char *path, dt_status status) {
    void *bytes = NULL;
    size_t nbytes;
    bool is_read = status == DT_EIO && dt_file_read(path, SIZE_MAX, &bytes, &nbytes) == DT_OK;
    free(bytes);
    return is_read;
}

/* The file, or, if it is damaged or not there, the version before it: then why says what is wrong
 * with the file, else it is "". *out is NULL if there is none. */
static dt_status read_either(const char *path, dt_sweep **out, char why[DT_ERROR_MAX]) {
    char before[DT_PATH_MAX + 8];
    *out = NULL;
    why[0] = '\0';
    snprintf(before, sizeof before, "%s.before", path);
    if (!dt_path_exists(path) && !dt_path_exists(before))
        return DT_OK;
    dt_status status = dt_sweep_read(path, out);
    if (status == DT_OK)
        return DT_OK;
    dt_error_copy(why);
    bool is_gone = access(path, F_OK) != 0 && errno == ENOENT;
    if ((!is_gone && !is_damaged(path, status)) || dt_sweep_read(before, out) != DT_OK) {
        dt_error_set(why);
        return status;
    }
    return DT_OK;
}

/* The same; a damaged file is put aside, as the next one would be kept in the place of the version
 * before it, which is the whole one. */
static dt_status read_book(const char *path, dt_sweep **out) {
    char aside[DT_PATH_MAX + 9], why[DT_ERROR_MAX];
    DT_TRY(read_either(path, out, why));
    if (!*out || !why[0])
        return DT_OK;
    snprintf(aside, sizeof aside, "%s.damaged", path);
    bool is_there = dt_path_exists(path);
    if (is_there && rename(path, aside) != 0)
        return dt_fail(DT_EIO, "%s; it cannot be put aside as %s: %s", why, aside, strerror(errno));
    dt_warn("%s: going on with the %zu cells of the version before it%s%s", why, (*out)->n,
            is_there ? "; the damaged file is kept as " : "", is_there ? aside : "");
    return DT_OK;
}

static dt_status same_configuration(const dt_options *options, const dt_setup *s,
                                    const dt_sweep *sweep, const char *path) {
    dt_status status = dt_options_compare(sweep->config, options);
    if (status != DT_OK)
        return dt_fail(status, "%s: %s", path, dt_error());
    for (int f = 0; f < 4; f++)
        if (strcmp(sweep->data_sha256[f], s->data->sha256[f]) != 0)
            return dt_fail(DT_EUSAGE,
                           "%s was made with other data: SHA-256 of %s is %.12s..., there %.12s...;"
                           " choose another --out",
                           path, s->data->path[f], s->data->sha256[f], sweep->data_sha256[f]);
    if (strcmp(sweep->fingerprint, s->fingerprint) != 0)
        return dt_fail(DT_EUSAGE,
                       "%s was made on \"%s\", this is \"%s\": times and bits cannot be compared; "
                       "choose another --out",
                       path, sweep->fingerprint, s->fingerprint);
    if (sweep->ranks != s->size)
        return dt_fail(DT_EUSAGE,
                       "%s was made by a job of %lld ranks, this one has %d: their times cannot be "
                       "compared; start %lld ranks, or choose another --out",
                       path, (long long)sweep->ranks, s->size, (long long)sweep->ranks);
    if (sweep->points != options->epochs + 1)
        return dt_fail(DT_EIO, "%s: curves of %lld points, not %lld", path,
                       (long long)sweep->points, (long long)options->epochs + 1);
    return DT_OK;
}

static int64_t count_done(const dt_sweep *sweep) {
    int64_t n = 0;
    for (size_t i = 0; i < sweep->n; i++)
        n += dt_cell_done(&sweep->cells[i]);
    return n;
}

/* Can the sweep in dir go on? Then book->dir is it. */
static bool can_go_on(const char *dir, const dt_options *options, const dt_setup *s,
                      dt_sweep_book *book) {
    char path[DT_PATH_MAX], why[DT_ERROR_MAX];
    dt_sweep *sweep = NULL;
    if (!dir[0] || dt_path_join(path, dir, "sweep.h5") != DT_OK)
        return false;
    if (read_either(path, &sweep, why) != DT_OK)
        dt_warn("%s: a new sweep begins", why);
    if (!sweep)
        return false;
    bool fits =
        count_done(sweep) < sweep->planned && same_configuration(options, s, sweep, path) == DT_OK;
    dt_sweep_free(&sweep);
    if (fits)
        snprintf(book->dir, sizeof book->dir, "%s", dir);
    return fits;
}

static dt_status write_book(dt_sweep_book *book, int64_t exit_status) {
    char now[32];
    dt_describe_now(now);
    book->sweep->exit_status = exit_status;
    DT_TRY(dt_sweep_set(&book->sweep->end_time, now));
    return dt_sweep_write(book->path, book->sweep);
}

/* --- a new one --- */

static dt_status describe(const dt_options *options, const dt_setup *s, dt_sweep *sweep) {
    dt_json config = {0};
    char now[32];
    dt_options_json(options, &config);
    dt_status status = config.failed ? dt_fail(DT_EDEVICE, "no memory for the options")
                                     : dt_sweep_set(&sweep->config, config.text);
    dt_json_free(&config);
    DT_TRY(status);
    dt_describe_now(now);
    DT_TRY(dt_sweep_set(&sweep->start_time, now));
    DT_TRY(dt_sweep_set(&sweep->build, DTRAIN_VERSION_FULL));
    DT_TRY(dt_described(dt_describe_command_line, s, &sweep->command_line));
    DT_TRY(dt_described(dt_describe_hosts, s, &sweep->hosts));
    DT_TRY(dt_described(dt_describe_devices, s, &sweep->devices));
    DT_TRY(dt_sweep_set(&sweep->comm_library, dt_comm_library(s->comm)));
    DT_TRY(dt_sweep_set(&sweep->fingerprint, s->fingerprint));
    DT_TRY(dt_sweep_set(&sweep->data, dt_data_name(s)));
    DT_TRY(dt_sweep_set(&sweep->model, s->net->spec));
    memcpy(sweep->data_sha256, s->data->sha256, sizeof sweep->data_sha256);
    sweep->ranks = s->size;
    sweep->threads = options->threads;
    sweep->micro_batch = s->options.micro_batch;
    sweep->parameters = (int64_t)s->net->n_params;
    sweep->classes = s->net->classes;
    sweep->train_samples = (int64_t)s->data->train.n;
    sweep->test_samples = (int64_t)s->data->test.n;
    sweep->flop_per_image = s->net->flop_step;
    return DT_OK;
}

static dt_status choose_dir(const dt_options *options, const dt_setup *s, dt_sweep_book *book) {
    char latest[DT_PATH_MAX];
    if (options->out[0]) {
        snprintf(book->dir, sizeof book->dir, "%s", options->out);
        return dt_mkdirs(book->dir);
    }
    dt_rundir_latest(root, latest);
    return can_go_on(latest, options, s, book) ? DT_OK : dt_rundir_make(root, book->dir);
}

dt_status dt_sweep_book_open(const dt_options *options, const dt_setup *s, int64_t planned,
                             dt_sweep_book *book) {
    *book = (dt_sweep_book){.claim = -1};
    DT_TRY(choose_dir(options, s, book));
    DT_TRY(dt_path_join(book->path, book->dir, "sweep.h5"));
    DT_TRY(dt_rundir_claim(book->dir, &book->claim));
    DT_TRY(read_book(book->path, &book->sweep));
    if (book->sweep) {
        DT_TRY(same_configuration(options, s, book->sweep, book->path));
    } else {
        DT_TRY(dt_sweep_create(options->epochs + 1, &book->sweep));
        DT_TRY(describe(options, s, book->sweep));
    }
    book->sweep->planned = planned;
    return write_book(book, -1);
}

/* --- keeping --- */

static dt_status log_cell(const dt_sweep_book *book, const dt_cell *cell) {
    char path[DT_PATH_MAX];
    dt_json j = {0};
    DT_TRY(dt_path_join(path, book->dir, "log.jsonl"));
    dt_json_open(&j, NULL, '{');
    dt_json_str(&j, "event", "cell");
    dt_json_int(&j, "cell", (int64_t)book->sweep->n);
    dt_json_int(&j, "planned", book->sweep->planned);
    dt_json_str(&j, "kind", cell->kind == DT_CELL_TIME ? "time" : "accuracy");
    dt_json_int(&j, "samples", cell->samples);
    dt_json_int(&j, "ranks", cell->ranks);
    dt_json_int(&j, "batch", cell->batch);
    dt_json_int(&j, "seed", cell->seed);
    dt_json_int(&j, "status", cell->status);
    dt_json_num(&j, "seconds", cell->seconds);
    dt_json_num(&j, "test_accuracy", cell->test_accuracy);
    dt_json_num(&j, "step_seconds", cell->step_seconds);
    dt_json_close(&j, '}');
    dt_status status = j.failed ? dt_fail(DT_EDEVICE, "no memory for a line of %s", path)
                                : dt_log_append(path, j.text);
    dt_json_free(&j);
    return status;
}

dt_status dt_sweep_book_add(dt_sweep_book *book, const dt_cell *cell) {
    DT_TRY(dt_sweep_put(book->sweep, cell));
    DT_TRY(write_book(book, -1));
    return log_cell(book, cell);
}

dt_status dt_sweep_book_finish(dt_sweep_book *book, dt_status status) {
    return write_book(book, (int64_t)status);
}

void dt_sweep_book_close(dt_sweep_book *book) {
    dt_sweep_free(&book->sweep);
    dt_rundir_release(&book->claim);
}
