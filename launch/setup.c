/* launch/setup.c - data, samples, network and device of a run: the same on every rank, or a
 * refusal.
 *
 * Work that can fail on one rank alone (files, memory, the device) is done first and agreed on
 * after; what ranks could see differently (the data's digests, the fingerprint) is gathered and
 * compared. */
#include "launch/setup.h"

#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dist/topology.h"
#include "dtrain_version.h"
#include "io/log.h"
#include "io/progress.h"
#include "io/rng.h"
#include "launch/peak.h"

/* Which samples --samples n takes must never change: neither with --seed nor with a later version.
 */
enum { SUBSET_SEED = 0 };
enum { MAX_CHOICES = 1 << 16 };

static void describe_gpu(const dt_gpu *gpu, dt_place *mine) {
    mine->threads = 1;
    snprintf(mine->device, sizeof mine->device, "%s, compute capability %d.%d", gpu->name,
             gpu->major, gpu->minor);
    snprintf(mine->pci, sizeof mine->pci, "%s", gpu->pci);
    snprintf(mine->uuid, sizeof mine->uuid, "%s", gpu->uuid);
}

/* What this rank computes with. Threads beyond the fair share are the user's wish. */
static dt_status describe_place(dt_setup *s, dt_place *mine) {
    dt_topology topology = {0};
    dt_core_share share = {0};
    dt_status status = dt_comm_agree(s->comm, dt_topology_read(&topology));
    if (status == DT_OK)
        status = dt_topology_share(&topology, s->comm, &share);
    DT_TRY(status);
    s->host_threads = s->options.threads > 0 ? (int)s->options.threads : share.threads;
    mine->threads = s->host_threads;
    mine->local_rank = dt_comm_local_rank(s->comm);
    mine->job_cores = share.job_cores;
    mine->cores_open = topology.cores_open;
    snprintf(mine->host, sizeof mine->host, "%s", dt_comm_host(s->comm, s->rank));
    char sets[64];
    dt_peak_instruction_sets(sets, sizeof sets);
    snprintf(mine->device, sizeof mine->device, "%s%s%s",
             topology.model[0] ? topology.model : "CPU", sets[0] ? ": " : "", sets);
    if (s->gpus->plugin)
        describe_gpu(&s->gpus->all[s->rank], mine);
    return DT_OK;
}

/* All ranks learn all places. */
static dt_status gather_places(dt_setup *s) {
    dt_place mine = {0};
    DT_TRY(describe_place(s, &mine));
    s->places = calloc((size_t)s->size, sizeof *s->places);
    s->workers = calloc((size_t)s->size, sizeof *s->workers);
    dt_status status = DT_OK;
    if (!s->places || !s->workers)
        status = dt_fail(DT_EDEVICE, "no memory for the places of %d ranks", s->size);
    DT_TRY(dt_comm_agree(s->comm, status));
    DT_TRY(dt_comm_allgather(s->comm, &mine, sizeof mine, s->places));
    for (int r = 0; r < s->size; r++)
        s->workers[r] = s->places[r].threads;
    return DT_OK;
}

dt_status dt_setup_open(dt_setup *s, const dt_options *options, const dt_backend *backend,
                        dt_gpus *gpus, dt_comm *comm) {
    *s = (dt_setup){.options = *options,
                    .backend = backend,
                    .gpus = gpus,
                    .comm = comm,
                    .rank = dt_comm_rank(comm),
                    .size = dt_comm_size(comm),
                    .started = dt_now()};
    if (s->options.micro_batch == 0)
        s->options.micro_batch = backend->default_micro_batch;
    return gather_places(s);
}

/* Every rank sees the same table of digests, hence all return the same. */
static dt_status compare_digests(dt_setup *s) {
    enum { BYTES = 4 * DT_SHA256_HEX };
    char(*all)[4][DT_SHA256_HEX] = malloc((size_t)s->size * BYTES);
    dt_status status = all ? DT_OK : dt_fail(DT_EDEVICE, "no memory for %d digests", s->size * 4);
    DT_TRY_GOTO(status, dt_comm_agree(s->comm, status), done);
    DT_TRY_GOTO(status, dt_comm_allgather(s->comm, s->data->sha256, BYTES, all), done);
    for (int r = 1; r < s->size && status == DT_OK; r++)
        for (int f = 0; f < 4 && status == DT_OK; f++)
            if (strcmp(all[r][f], all[0][f]) != 0)
                status = dt_fail(DT_EDATA,
                                 "%s is not the same on all hosts: SHA-256 %.12s... on rank 0 "
                                 "(%s), %.12s... on rank %d (%s)",
                                 s->data->path[f], all[0][f], dt_comm_host(s->comm, 0), all[r][f],
                                 r, dt_comm_host(s->comm, r));
done:
    free(all);
    return status;
}

dt_status dt_setup_data(dt_setup *s) {
    dt_status (*open)(const char *, int, dt_dataset **) =
        s->options.command == DT_CMD_EVAL ? dt_dataset_open_test : dt_dataset_open;
    dt_phase before = dt_progress_phase(DT_PHASE_DATA);
    dt_status status = open(s->options.data, s->host_threads, &s->data);
    status = dt_comm_agree(s->comm, status);
    if (status == DT_OK)
        status = compare_digests(s);
    dt_progress_phase(before);
    return status;
}

dt_status dt_setup_samples(dt_setup *s) {
    int64_t all = (int64_t)s->data->train.n;
    int64_t n = s->options.samples ? s->options.samples : all;
    if (n > all)
        return dt_fail(DT_EUSAGE, "--samples %lld: %s has only %lld", (long long)n,
                       s->data->path[0], (long long)all);
    if (s->options.validation >= n)
        return dt_fail(DT_EUSAGE, "--validation %lld holds out all of the %lld samples",
                       (long long)s->options.validation, (long long)n);
    s->n_validation = s->options.validation;
    s->n_train = n - s->n_validation;
    s->chosen = malloc((size_t)n * sizeof *s->chosen);
    dt_status status = DT_OK;
    if (!s->chosen)
        status = dt_fail(DT_EDEVICE, "no memory for the numbers of %lld samples", (long long)n);
    for (int64_t i = 0; status == DT_OK && i < n; i++)
        s->chosen[i] =
            (int64_t)dt_permute((uint64_t)all, (uint64_t)i, SUBSET_SEED, DT_RNG_SUBSET, 0);
    return dt_comm_agree(s->comm, status);
}

dt_status dt_setup_network(dt_setup *s, const char *spec) {
    const dt_dataset *data = s->data;
    dt_status status = dt_net_parse(spec, (dt_shape){1, data->height, data->width}, &s->net);
    if (status == DT_OK)
        status = dt_dataset_check_labels(data, s->net->classes);
    return dt_comm_agree(s->comm, status);
}

/* all: [size] fingerprints. */
static void find_kin(dt_setup *s, const char *all) {
    for (int r = 0; r < s->size; r++) {
        int q = 0;
        while (strcmp(all + (size_t)q * DT_FINGERPRINT_MAX, all + (size_t)r * DT_FINGERPRINT_MAX) !=
               0)
            q++;
        s->kin[r] = q;
    }
}

/* The bits are promised for one fingerprint. Another one on some host is legal, but must not go
 * unsaid. */
static dt_status compare_fingerprints(dt_setup *s) {
    char mine[DT_FINGERPRINT_MAX] = "", library[DT_FINGERPRINT_MAX / 2] = "";
    s->backend->describe(library, sizeof library);
    int n = snprintf(mine, sizeof mine, "%s; %s; libc %s; dtrain %s", s->places[s->rank].device,
                     library, gnu_get_libc_version(), DTRAIN_VERSION);
    if (s->choices && n > 0 && (size_t)n < sizeof mine) {
        char digest[DT_SHA256_HEX];
        dt_sha256(s->choices, strlen(s->choices), digest);
        snprintf(mine + n, sizeof mine - (size_t)n, "; engines %.12s", digest);
    }
    char *all = calloc((size_t)s->size, DT_FINGERPRINT_MAX);
    s->kin = calloc((size_t)s->size, sizeof *s->kin);
    dt_status status =
        all && s->kin ? DT_OK : dt_fail(DT_EDEVICE, "no memory for %d names", s->size);
    DT_TRY_GOTO(status, dt_comm_agree(s->comm, status), done);
    DT_TRY_GOTO(status, dt_comm_allgather(s->comm, mine, DT_FINGERPRINT_MAX, all), done);
    memcpy(s->fingerprint, all, DT_FINGERPRINT_MAX);
    find_kin(s, all);
    for (int r = 1; r < s->size && s->rank == 0; r++) {
        if (s->kin[r] == 0)
            continue;
        dt_warn("rank %d (%s) computes with \"%s\", rank 0 (%s) with \"%s\": the bits of this run "
                "depend on which ranks compute what",
                r, dt_comm_host(s->comm, r), all + (size_t)r * DT_FINGERPRINT_MAX,
                dt_comm_host(s->comm, 0), all);
        break;
    }
done:
    free(all);
    return status;
}

/* This rank's, of an epoch's training. */
static int64_t epoch_micros(const dt_setup *s) {
    const dt_plan *plan = &s->plan;
    int64_t last = dt_plan_steps(plan) - 1;
    return last * dt_plan_owned(plan, 0, s->rank, NULL, 0) +
           dt_plan_owned(plan, last, s->rank, NULL, 0);
}

static dt_device_config device_config(const dt_setup *s, double mean, double std) {
    const dt_options *o = &s->options;
    return (dt_device_config){
        .net = s->net,
        .precision = (dt_precision)o->precision,
        .micro_batch = s->plan.micro,
        .threads = s->workers[s->rank],
        .seed = o->seed,
        .label_smoothing = (float)o->label_smoothing,
        .augment = (dt_augment)o->augment,
        .exact = o->reduce == DT_REDUCE_EXACT,
        .max_micros = dt_plan_max_micros(&s->plan),
        .optim = {.kind = (dt_optimizer)o->optimizer,
                  .nesterov = o->nesterov,
                  .momentum = (float)o->momentum,
                  .beta2 = (float)o->beta2,
                  .epsilon = 1e-8f,
                  .weight_decay = (float)o->weight_decay,
                  .clip_norm = (float)o->clip_norm},
        .mean = mean,
        .std = std,
        .index = s->gpus->index,
        .epoch_micros = o->command == DT_CMD_TRAIN ? epoch_micros(s) : 0,
        .graph = !o->no_graph,
        .reduce = dt_gpus_reducer(s->gpus),
        .choices = s->choices,
    };
}

/* Rank 0's choice of engines becomes everybody's. */
static dt_status share_choices(dt_setup *s, const dt_device_config *config) {
    if (!s->backend->choose)
        return DT_OK;
    s->choices = calloc(1, MAX_CHOICES);
    dt_status status = s->choices ? DT_OK : dt_fail(DT_EDEVICE, "no memory for a list of engines");
    if (status == DT_OK && s->rank == 0)
        status = s->backend->choose(config, s->choices, MAX_CHOICES);
    DT_TRY(dt_comm_agree(s->comm, status));
    return dt_comm_bcast(s->comm, s->choices, MAX_CHOICES, 0);
}

static dt_status open_device(dt_setup *s, const dt_device_config *config) {
    const dt_samples *train = &s->data->train, *test = &s->data->test;
    DT_TRY(dt_gpus_explain(s->gpus, s->backend->open(config, &s->device)));
    DT_TRY(s->backend->load(s->device, DT_TRAIN, train->images, train->labels, train->n));
    return s->backend->load(s->device, DT_TEST, test->images, test->labels, test->n);
}

/* All ranks learn how much of its GPU each holds. */
static dt_status gather_usage(dt_setup *s) {
    if (!s->backend->usage)
        return DT_OK;
    dt_device_usage usage = {0};
    s->backend->usage(s->device, &usage);
    int64_t mine = (int64_t)usage.device_bytes, *all = malloc((size_t)s->size * sizeof *all);
    dt_status status = all ? DT_OK : dt_fail(DT_EDEVICE, "no memory for %d numbers", s->size);
    DT_TRY_GOTO(status, dt_comm_agree(s->comm, status), done);
    DT_TRY_GOTO(status, dt_comm_allgather(s->comm, &mine, sizeof mine, all), done);
    for (int r = 0; r < s->size; r++)
        s->places[r].gpu_memory_bytes = all[r];
done:
    free(all);
    return status;
}

dt_status dt_setup_device(dt_setup *s, double mean, double std) {
    const dt_options *o = &s->options;
    bool trains = o->command == DT_CMD_TRAIN;
    if (trains && o->batch < o->micro_batch)
        return dt_fail(DT_EUSAGE,
                       "--batch %lld is smaller than the micro-batch of %lld samples that one "
                       "worker computes: give --micro-batch %lld too, or a larger batch",
                       (long long)o->batch, (long long)o->micro_batch, (long long)o->batch);
    s->plan = (dt_plan){.n = trains ? s->n_train : (int64_t)s->data->test.n,
                        .batch = (int)(trains ? o->batch : o->micro_batch),
                        .micro = (int)o->micro_batch,
                        .seed = o->seed,
                        .n_ranks = s->size,
                        .workers = s->workers};
    if (trains)
        DT_TRY(dt_gpus_connect(s->gpus, o, (s->net->n_params + DT_SUMS_BEYOND) * sizeof(int64_t)));
    dt_device_config config = device_config(s, mean, std);
    DT_TRY(share_choices(s, &config));
    config.choices = s->choices;
    bool on_host = !s->backend->step; /* a queued back end has memory of its own */
    if (trains && s->size > 1 && config.exact && on_host)
        DT_TRY(dt_comm_share(s->comm, s->net->n_params + DT_N_SUMS, &config.sums));
    DT_TRY(dt_comm_agree(s->comm, open_device(s, &config)));
    DT_TRY(compare_fingerprints(s)); /* a back end describes the device that it has opened */
    return gather_usage(s);
}

void dt_setup_close(dt_setup *s) {
    if (s->device) {
        dt_gpus_settle(s->gpus, s->backend, s->device, DT_SETTLE_SECONDS);
        s->backend->close(&s->device);
    }
    dt_net_free(&s->net);
    dt_dataset_close(&s->data);
    free(s->chosen);
    free(s->workers);
    free(s->places);
    free(s->kin);
    free(s->choices);
    s->choices = NULL;
    s->kin = NULL;
    s->chosen = NULL;
    s->workers = NULL;
    s->places = NULL;
}
