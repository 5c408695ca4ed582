/* launch/trace.c - spans of time in memory, and the file of Chrome's trace format that they become.
 *
 * One process of the file is a rank, so that its viewers draw a track for each. */
#include "launch/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/file.h"
#include "io/json.h"
#include "io/log.h"

enum { MOST_SPANS = 16384 };

typedef struct {
    char name[DT_TRACE_NAME_MAX];
    int64_t step; /* from 1; 0: none */
    double begin, end;
} span;

struct dt_trace {
    dt_comm *comm;
    char path[DT_PATH_MAX];
    double zero; /* when all ranks left a barrier together */
    int steps;   /* seen since dt_trace_begin() */
    int n;
    int64_t left_out; /* spans beyond those */
    span spans[MOST_SPANS];
};

dt_status dt_trace_open(dt_comm *comm, const char *path, dt_trace **out) {
    *out = NULL;
    if (!path[0])
        return DT_OK;
    dt_trace *t = calloc(1, sizeof *t);
    dt_status status = t ? DT_OK : dt_fail(DT_EDEVICE, "no memory for --trace");
    status = dt_comm_agree(comm, status);
    if (status == DT_OK)
        status = dt_comm_barrier(comm);
    if (status != DT_OK) {
        free(t);
        return status;
    }
    t->zero = dt_now();
    t->comm = comm;
    snprintf(t->path, sizeof t->path, "%s", path);
    *out = t;
    return DT_OK;
}

void dt_trace_begin(dt_trace *t) {
    if (t)
        t->steps = 0;
}

static void add(dt_trace *t, const char *name, int64_t step, double begin, double end) {
    if (t->n == MOST_SPANS) {
        t->left_out++;
        return;
    }
    span *s = &t->spans[t->n++];
    snprintf(s->name, sizeof s->name, "%s", name);
    s->step = step;
    s->begin = begin - t->zero;
    s->end = end - t->zero;
}

void dt_trace_span(dt_trace *t, const char *name, double begin, double end) {
    if (t)
        add(t, name, 0, begin, end);
}

void dt_trace_step(dt_trace *t, int64_t step, const double at[DT_STEP_MOMENTS]) {
    static const char *const names[] = {"input", "compute", "all-reduce and wait", "update"};
    if (!t || t->steps++ >= DT_TRACE_STEPS)
        return;
    for (int i = DT_STEP_INPUT; i < DT_STEP_END; i++)
        add(t, names[i], step + 1, at[i], at[i + 1]);
}

/* --- the file --- */

static void write_name(dt_json *j, int rank, const char *host) {
    char name[128];
    snprintf(name, sizeof name, "rank %d (%s)", rank, host);
    dt_json_open(j, NULL, '{');
    dt_json_str(j, "name", "process_name");
    dt_json_str(j, "ph", "M");
    dt_json_int(j, "pid", rank);
    dt_json_open(j, "args", '{');
    dt_json_str(j, "name", name);
    dt_json_close(j, '}');
    dt_json_close(j, '}');
}

/* Times in microseconds. */
static void write_span(dt_json *j, int rank, const span *s) {
    dt_json_open(j, NULL, '{');
    dt_json_str(j, "name", s->name);
    dt_json_str(j, "ph", "X");
    dt_json_int(j, "pid", rank);
    dt_json_int(j, "tid", 0);
    dt_json_num(j, "ts", 1e6 * s->begin);
    dt_json_num(j, "dur", 1e6 * (s->end - s->begin));
    if (s->step) {
        dt_json_open(j, "args", '{');
        dt_json_int(j, "step", s->step);
        dt_json_close(j, '}');
    }
    dt_json_close(j, '}');
}

/* Each rank in turn sends its spans to all, which only rank 0 keeps. */
static dt_status gather(dt_trace *t, span *room, dt_json *j) {
    int rank = dt_comm_rank(t->comm);
    dt_json_open(j, NULL, '{');
    dt_json_str(j, "displayTimeUnit", "ms");
    dt_json_open(j, "traceEvents", '[');
    for (int r = 0; r < dt_comm_size(t->comm); r++) {
        int n = t->n;
        DT_TRY(dt_comm_bcast(t->comm, &n, sizeof n, r));
        if (rank == r)
            memcpy(room, t->spans, (size_t)n * sizeof *room);
        DT_TRY(dt_comm_bcast(t->comm, room, (size_t)n * sizeof *room, r));
        if (rank == 0)
            write_name(j, r, dt_comm_host(t->comm, r));
        for (int i = 0; rank == 0 && i < n; i++)
            write_span(j, r, &room[i]);
    }
    dt_json_close(j, ']');
    dt_json_close(j, '}');
    return DT_OK;
}

dt_status dt_trace_close(dt_trace **trace) {
    dt_trace *t = *trace;
    dt_json j = {0};
    if (!t)
        return DT_OK;
    span *room = malloc(sizeof t->spans);
    dt_status status = room ? DT_OK : dt_fail(DT_EDEVICE, "no memory for --trace");
    DT_TRY_GOTO(status, dt_comm_agree(t->comm, status), done);
    DT_TRY_GOTO(status, gather(t, room, &j), done);
    DT_TRY_GOTO(status, dt_comm_sum_i64(t->comm, &t->left_out, 1), done);
    if (t->left_out > 0 && dt_comm_rank(t->comm) == 0)
        dt_warn("%s has the first %d spans of each rank: %lld later ones are left out", t->path,
                MOST_SPANS, (long long)t->left_out);
    if (dt_comm_rank(t->comm) == 0)
        status = j.failed ? dt_fail(DT_EDEVICE, "no memory for %s", t->path)
                          : dt_file_write(t->path, j.text, j.n);
    status = dt_comm_agree(t->comm, status);
done:
    dt_json_free(&j);
    free(room);
    free(t);
    *trace = NULL;
    return status;
}
