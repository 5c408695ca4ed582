/* launch/devices.c - `dtrain devices`.
 *
 * Each rank describes what it sees, rank 0 prints; neighbours that see the same share a paragraph.
 * The CUDA plugin is loaded wherever it is, also where there is no driver: its libraries' versions
 * are half of an answer to "why no GPU?". The map of ranks to GPUs is the one that a training would
 * have. */
#include "launch/devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "dist/topology.h"
#include "io/progress.h"
#include "launch/peak.h"
#include "launch/term.h"
#include "model/backend.h"

static dt_status look_at_gpus(dt_comm *comm, dt_sight *mine) {
    const dt_plugin *plugin;
    DT_TRY(dt_plugin_open(&plugin));
    plugin->libraries(mine->cuda_libraries, sizeof mine->cuda_libraries);
    int index;
    DT_TRY(plugin->pick(dt_comm_local_rank(comm), &mine->n_gpus, &index));
    return plugin->gpu(index, &mine->gpu);
}

dt_status dt_sight_look(const dt_options *options, dt_comm *comm, dt_sight *mine) {
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
    dt_backend_cpu.describe(mine->libraries, sizeof mine->libraries);
    mine->cores_allowed = topology.cores_allowed;
    mine->cores_open = topology.cores_open;
    mine->cores_total = topology.cores_total;
    mine->job_cores = share.job_cores;
    if (look_at_gpus(comm, mine) != DT_OK) /* an answer, not a failure of this command */
        dt_error_copy(mine->no_cuda);
    return DT_OK;
}

static void json_cuda(dt_json *j, const dt_sight *s) {
    dt_json_open(j, "cuda", '{');
    dt_json_bool(j, "available", !s->no_cuda[0]);
    if (s->cuda_libraries[0])
        dt_json_str(j, "libraries", s->cuda_libraries);
    if (s->no_cuda[0]) {
        dt_json_str(j, "reason", s->no_cuda);
    } else {
        dt_json_int(j, "devices", s->n_gpus);
        dt_json_str(j, "name", s->gpu.name);
        dt_json_str(j, "pci", s->gpu.pci);
        dt_json_str(j, "uuid", s->gpu.uuid);
        dt_json_num(j, "compute_capability", s->gpu.major + 0.1 * s->gpu.minor);
        dt_json_int(j, "processors", s->gpu.processors);
        dt_json_int(j, "memory_bytes", (int64_t)s->gpu.memory);
    }
    dt_json_close(j, '}');
}

static dt_status print_json(const dt_sight *all, int n, const char *library) {
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
        json_cuda(&j, &all[r]);
        dt_json_close(&j, '}');
    }
    dt_json_close(&j, ']');
    dt_json_close(&j, '}');
    return dt_stdout_json(&j);
}

static void print_cuda(const dt_sight *s) {
    if (s->no_cuda[0])
        printf("  cuda: not available (%s)\n", s->no_cuda);
    else
        printf("  cuda: available, %s\n"
               "        %s, %s, compute capability %d.%d, %d multiprocessors, %.1f GiB\n"
               "        the one of %d that this rank would use\n",
               s->gpu.name, s->gpu.pci, s->gpu.uuid, s->gpu.major, s->gpu.minor, s->gpu.processors,
               (double)s->gpu.memory / (1 << 30), s->n_gpus);
    if (s->cuda_libraries[0])
        printf("        libraries: %s\n", s->cuda_libraries);
}

static dt_status print_text(const dt_sight *all, int n, const char *library) {
    dt_term term = dt_term_of(STDOUT_FILENO);
    printf("%d rank%s, MPI: %s\n", n, n == 1 ? "" : "s", library);
    for (int from = 0, end; from < n; from = end) {
        const dt_sight *s = &all[from];
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
        print_cuda(s);
    }
    return dt_stdout_flush();
}

dt_status dt_devices(const dt_options *options, dt_comm *comm) {
    dt_sight *mine = malloc(sizeof *mine), *all = calloc((size_t)dt_comm_size(comm), sizeof *all);
    dt_status status = DT_OK;
    if (!mine || !all)
        status = dt_fail(DT_EDEVICE, "no memory for what %d ranks see", dt_comm_size(comm));
    DT_TRY_GOTO(status, dt_comm_agree(comm, status), done);
    DT_TRY_GOTO(status, dt_sight_look(options, comm, mine), done);
    DT_TRY_GOTO(status, dt_comm_allgather(comm, mine, sizeof *mine, all), done);
    if (dt_comm_rank(comm) == 0) {
        dt_progress_output(true);
        status = (options->json ? print_json : print_text)(all, dt_comm_size(comm),
                                                           dt_comm_library(comm));
        dt_progress_output(false);
    }
    status = dt_comm_agree(comm, status);
done:
    free(mine);
    free(all);
    return status;
}
