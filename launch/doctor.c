/* launch/doctor.c - `dtrain doctor`: look, gather, judge, and print one screen.
 *
 * Rank 0 judges and prints; the others only learn the code. Text is wrapped to the terminal, and
 * the map of ranks is cut after some lines: --json has all of it. */
#include "launch/doctor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "io/progress.h"
#include "launch/doctor_facts.h"
#include "launch/term.h"

enum { MAP_LINES = 6, LABEL = 14, MIN_WIDTH = 60, MAX_WIDTH = 100 };

static const char *const level_names[] = {"good", "note", "warning", "error"};

/* --- JSON --- */

static void json_rank(dt_json *j, const dt_rank_facts *x, int rank) {
    bool has_gpu = !x->sight.no_cuda[0];
    dt_json_open(j, NULL, '{');
    dt_json_int(j, "rank", rank);
    dt_json_str(j, "host", x->sight.host);
    dt_json_int(j, "threads", x->sight.threads);
    dt_json_int(j, "cores_allowed", x->sight.cores_allowed);
    dt_json_int(j, "cores", x->sight.cores_total);
    dt_json_str(j, "cpus", x->cpus);
    dt_json_str(j, "gpu", has_gpu ? x->sight.gpu.uuid : NULL);
    dt_json_str(j, "gpu_pci", has_gpu ? x->sight.gpu.pci : NULL);
    dt_json_str(j, "gpu_cpus", has_gpu ? x->gpu_cpus : NULL);
    dt_json_str(j, "link", x->link[0] ? x->link : NULL);
    dt_json_num(j, "link_gbit_per_second", x->link_gbit);
    dt_json_num(j, "clock_ahead_seconds", x->ahead);
    dt_json_close(j, '}');
}

static const char *name_of_host(const dt_facts *f, int number) {
    int r = 0;
    while (r < f->size - 1 && f->ranks[r].host != number)
        r++;
    return f->ranks[r].sight.host;
}

static void json_pairs(dt_json *j, const dt_facts *f) {
    dt_json_open(j, "pairs", '[');
    for (int r = 0; r < f->size; r++)
        for (int i = 0; i < f->n_rounds && f->ranks[r].leads; i++) {
            const dt_pair *p = &f->ranks[r].pairs[i];
            if (p->with <= f->ranks[r].host)
                continue;
            dt_json_open(j, NULL, '{');
            dt_json_str(j, "host", f->ranks[r].sight.host);
            dt_json_str(j, "with", name_of_host(f, p->with));
            dt_json_num(j, "microseconds", 1e6 * p->seconds);
            dt_json_num(j, "gb_per_second", p->gbytes);
            dt_json_close(j, '}');
        }
    dt_json_close(j, ']');
}

static void json_findings(dt_json *j, const dt_findings *found) {
    dt_json_open(j, "checks", '[');
    for (int i = 0; i < found->n; i++) {
        const dt_finding *row = &found->rows[i];
        dt_json_open(j, NULL, '{');
        dt_json_str(j, "check", row->check);
        dt_json_str(j, "level", level_names[row->level]);
        dt_json_str(j, "what", row->what);
        dt_json_str(j, "fix", row->fix[0] ? row->fix : NULL);
        dt_json_close(j, '}');
    }
    dt_json_close(j, ']');
}

static dt_status print_json(const dt_facts *f, const dt_findings *found) {
    dt_json j = {0};
    dt_json_open(&j, NULL, '{');
    dt_json_int(&j, "exit_code", dt_doctor_code(found));
    json_findings(&j, found);
    dt_json_num(&j, "all_reduce_busbw_gb_per_second", f->sum_bytes ? f->sum.busbw : NAN);
    dt_json_int(&j, "all_reduce_bytes", (int64_t)f->sum_bytes);
    json_pairs(&j, f);
    dt_json_open(&j, "ranks", '[');
    for (int r = 0; r < f->size; r++)
        json_rank(&j, &f->ranks[r], r);
    dt_json_close(&j, ']');
    dt_json_close(&j, '}');
    return dt_stdout_json(&j);
}

/* --- text --- */

/* Words from column at on, later lines indented; ends the line. */
static void wrap(const char *text, int at, int width) {
    int indent = at;
    for (const char *word = text; *word;) {
        int n = (int)strcspn(word, " ");
        if (word != text && at + 1 + n > width) {
            printf("\n%*s", indent, "");
            at = indent;
        } else if (word != text) {
            putchar(' ');
            at++;
        }
        printf("%.*s", n, word);
        at += n;
        word += n + (int)strspn(word + n, " ");
    }
    putchar('\n');
}

static const char *mark_of(dt_level level, const dt_term *term) {
    static const char *const marks[][2] = {{"+", "✓"}, {"-", "-"}, {"!", "!"}, {"X", "✗"}};
    return marks[level][term->utf8];
}

static bool same_place(const dt_rank_facts *a, const dt_rank_facts *b) {
    return a->host == b->host && strcmp(a->cpus, b->cpus) == 0 &&
           a->sight.threads == b->sight.threads && a->sight.no_cuda[0] && b->sight.no_cuda[0];
}

/* Ranks that are alike share a line; those with GPUs never are. */
static void print_map(const dt_facts *f, const dt_term *term) {
    printf("  %sranks       host              threads  CPUs          GPU%s\n", term->dim,
           term->plain);
    for (int from = 0, end, lines = 0; from < f->size; from = end, lines++) {
        const dt_rank_facts *x = &f->ranks[from];
        char ranks[32];
        for (end = from + 1; end < f->size && same_place(x, &f->ranks[end]);)
            end++;
        if (lines == MAP_LINES) {
            printf("  %d-%d: see --json\n", from, f->size - 1);
            return;
        }
        snprintf(ranks, sizeof ranks, end - from > 1 ? "%d-%d" : "%d", from, end - 1);
        printf("  %-10s  %-16.16s  %7d  %-12.12s  %s%s%s\n", ranks, x->sight.host, x->sight.threads,
               x->cpus, x->sight.no_cuda[0] ? "-" : x->sight.gpu.pci,
               x->sight.no_cuda[0] ? "" : " ", x->sight.no_cuda[0] ? "" : x->sight.gpu.uuid);
    }
}

static int limit(int v, int low, int high) {
    return v < low ? low : v > high ? high : v;
}

static dt_status print_text(const dt_facts *f, const dt_findings *found) {
    dt_term term = dt_term_of(STDOUT_FILENO);
    int width = limit(dt_term_width(STDOUT_FILENO), MIN_WIDTH, MAX_WIDTH), n[4] = {0};
    print_map(f, &term);
    putchar('\n');
    for (int i = 0; i < found->n; i++) {
        const dt_finding *row = &found->rows[i];
        const char *colour = row->level == DT_GOOD      ? term.good
                             : row->level >= DT_WARNING ? term.bold
                                                        : "";
        n[row->level]++;
        printf("  %s%s%s %-10s", colour, mark_of(row->level, &term), colour[0] ? term.plain : "",
               row->check);
        wrap(row->what, LABEL, width);
        if (row->fix[0]) {
            printf("%*sfix: ", LABEL, "");
            wrap(row->fix, LABEL + 5, width);
        }
    }
    printf("\n  %d error%s, %d warning%s\n", n[DT_BAD], n[DT_BAD] == 1 ? "" : "s", n[DT_WARNING],
           n[DT_WARNING] == 1 ? "" : "s");
    return dt_stdout_flush();
}

/* --- the command --- */

/* Only a job that runs one process where many were asked for: how many. */
static int tasks_of_batch(void) {
    const char *tasks = getenv("SLURM_JOB_ID") ? getenv("SLURM_NTASKS") : NULL;
    return tasks ? atoi(tasks) : 0;
}

static dt_status report(const dt_options *options, const dt_facts *facts) {
    static dt_findings found; /* too large for a stack */
    dt_doctor_judge(facts, &found);
    dt_progress_output(true);
    dt_status status = (options->json ? print_json : print_text)(facts, &found);
    dt_progress_output(false);
    DT_TRY(status);
    for (int i = 0; i < found.n; i++)
        if (found.rows[i].level == DT_BAD)
            return dt_fail(found.rows[i].code, "doctor: %s: %s", found.rows[i].check,
                           found.rows[i].what);
    return DT_OK;
}

static dt_status look_and_report(const dt_options *options, dt_comm *comm, dt_facts *facts,
                                 dt_rank_facts *mine, dt_rank_facts *all) {
    bool first = dt_comm_rank(comm) == 0;
    if (first && !options->json)
        printf("dtrain doctor: %d rank%s, %d host%s; takes some seconds\n\n", facts->size,
               facts->size == 1 ? "" : "s", facts->n_hosts, facts->n_hosts == 1 ? "" : "s");
    fflush(stdout);
    DT_TRY(dt_doctor_look(options, comm, facts, mine));
    DT_TRY(dt_doctor_net(comm, facts, mine));
    DT_TRY(dt_comm_allgather(comm, mine, sizeof *mine, all));
    facts->ranks = all;
    return dt_comm_agree(comm, first ? report(options, facts) : DT_OK);
}

dt_status dt_doctor(const dt_options *options, dt_comm *comm) {
    int size = dt_comm_size(comm);
    dt_facts facts = {.size = size,
                      .n_hosts = dt_comm_hosts(comm),
                      .launcher = dt_comm_launcher(),
                      .batch_tasks = tasks_of_batch(),
                      .data = options->data,
                      .dir = options->out[0] ? options->out : "runs"};
    dt_rank_facts *mine = calloc(1, sizeof *mine), *all = calloc((size_t)size, sizeof *all);
    dt_status status = DT_OK;
    if (!mine || !all)
        status = dt_fail(DT_EDEVICE, "no memory for what %d ranks find", size);
    status = dt_comm_agree(comm, status);
    if (status == DT_OK)
        status = look_and_report(options, comm, &facts, mine, all);
    free(mine);
    free(all);
    return status;
}
