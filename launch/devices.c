/* launch/devices.c - `dtrain devices`.
 *
 * Each rank describes what it sees, rank 0 prints; neighbours that see the same share a paragraph.
 */
#include "launch/devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "dist/topology.h"
#include "launch/peak.h"
#include "launch/term.h"

static const char no_cuda[] = "this build has no CUDA back end";

typedef struct { /* gathered as bytes */
    char host[64], cpu[128], instruction_sets[128], libraries[256];
    int cores_allowed, cores_total, threads;
} sight;

static dt_status look(const dt_options *options, const dt_backend *backend, dt_comm *comm,
                      sight *mine) {
    dt_topology topology;
    memset(mine, 0, sizeof *mine);
    DT_TRY(dt_comm_agree(comm, dt_topology_read(&topology)));
    dt_core_share share;
    DT_TRY(dt_topology_share(&topology, comm, &share));
    mine->threads = options->threads > 0 ? (int)options->threads : share.threads;
    snprintf(mine->host, sizeof mine->host, "%s", dt_comm_host(comm, dt_comm_rank(comm)));
    snprintf(mine->cpu, sizeof mine->cpu, "%s",
             topology.model[0] ? topology.model : "unknown model");
    dt_peak_instruction_sets(mine->instruction_sets, sizeof mine->instruction_sets);
    backend->describe(mine->libraries, sizeof mine->libraries);
    mine->cores_allowed = topology.cores_allowed;
    mine->cores_total = topology.cores_total;
    return DT_OK;
}

static dt_status print_json(const sight *all, int n, const char *library) {
    dt_json j = {0};
    dt_json_open(&j, NULL, '{');
    dt_json_str(&j, "comm", library);
    dt_json_open(&j, "ranks", '[');
    for (int r = 0; r < n; r++) {
        dt_json_open(&j, NULL, '{');
        dt_json_int(&j, "rank", r);
        dt_json_str(&j, "host", all[r].host);
        dt_json_open(&j, "cpu", '{');
        dt_json_bool(&j, "available", true);
        dt_json_str(&j, "model", all[r].cpu);
        dt_json_int(&j, "cores_allowed", all[r].cores_allowed);
        dt_json_int(&j, "cores", all[r].cores_total);
        dt_json_int(&j, "threads", all[r].threads);
        dt_json_str(&j, "instruction_sets", all[r].instruction_sets);
        dt_json_str(&j, "libraries", all[r].libraries);
        dt_json_close(&j, '}');
        dt_json_open(&j, "cuda", '{');
        dt_json_bool(&j, "available", false);
        dt_json_str(&j, "reason", no_cuda);
        dt_json_close(&j, '}');
        dt_json_close(&j, '}');
    }
    dt_json_close(&j, ']');
    dt_json_close(&j, '}');
    return dt_stdout_json(&j);
}

static dt_status print_text(const sight *all, int n, const char *library) {
    dt_term term = dt_term_of(STDOUT_FILENO);
    printf("%d rank%s, MPI: %s\n", n, n == 1 ? "" : "s", library);
    for (int from = 0, end; from < n; from = end) {
        const sight *s = &all[from];
        for (end = from + 1; end < n && memcmp(s, &all[end], sizeof *s) == 0;)
            end++;
        if (end - from > 1)
            printf("\n%sranks %d-%d on %s%s, each:\n", term.bold, from, end - 1, s->host,
                   term.plain);
        else
            printf("\n%srank %d on %s%s:\n", term.bold, from, s->host, term.plain);
        printf("  cpu: available, %s\n", s->cpu);
        printf("       may use %d of %d cores, computes with %d thread%s\n", s->cores_allowed,
               s->cores_total, s->threads, s->threads == 1 ? "" : "s");
        printf("       instruction sets: %s\n", s->instruction_sets);
        printf("       libraries: %s\n", s->libraries);
        printf("  cuda: not available (%s)\n", no_cuda);
    }
    return dt_stdout_flush();
}

dt_status dt_devices(const dt_options *options, const dt_backend *backend, dt_comm *comm) {
    sight mine, *all = calloc((size_t)dt_comm_size(comm), sizeof *all);
    dt_status status =
        all ? DT_OK : dt_fail(DT_EDEVICE, "no memory for what %d ranks see", dt_comm_size(comm));
    DT_TRY_GOTO(status, dt_comm_agree(comm, status), done);
    DT_TRY_GOTO(status, look(options, backend, comm, &mine), done);
    DT_TRY_GOTO(status, dt_comm_allgather(comm, &mine, sizeof mine, all), done);
    if (dt_comm_rank(comm) == 0)
        status = (options->json ? print_json : print_text)(all, dt_comm_size(comm),
                                                           dt_comm_library(comm));
    status = dt_comm_agree(comm, status);
done:
    free(all);
    return status;
}
