/* launch/check.c - do all ranks still agree?
 *
 * Every rank has updated its own copy of the parameters from the same integers: the copies must be
 * equal, or some machine stores wrongly. And every rank computes one micro-batch twice over: its
 * own and its right neighbour's. The two answers to one question must be equal, or one of the two
 * machines computes wrongly; with three ranks and more it is the one that both its neighbours
 * contradict. Neighbours with different CPUs or libraries are not compared, since they may differ
 * (setup.c has warned of them). Both cost a few milliseconds an epoch: digests are exchanged, not
 * data. */
#include "launch/check.h"

#include <stdlib.h>
#include <string.h>

#include "io/rng.h"

typedef struct {
    char params[DT_SHA256_HEX];
    char own[DT_SHA256_HEX];   /* gradient of this rank's micro-batch, as this rank computes it */
    char right[DT_SHA256_HEX]; /* of the right neighbour's, as this rank computes it */
} report;

/* The micro-batch that rank is asked about: a pure function of seed, epoch and rank. */
static void choose_samples(const dt_setup *s, int64_t epoch, int rank, int64_t *samples) {
    int m = s->plan.micro;
    for (int i = 0; i < m; i++) {
        uint32_t bits[4];
        dt_random(s->options.seed, DT_RNG_CHECK, (uint32_t)epoch,
                  (uint64_t)rank * (uint64_t)m + (uint64_t)i, bits);
        uint64_t any = (uint64_t)bits[0] << 32 | bits[1];
        samples[i] = dt_setup_sample(s, (int64_t)(any % (uint64_t)s->n_train));
    }
}

static dt_status fill_report(const dt_setup *s, int64_t epoch, float *params, int64_t *samples,
                             report *mine) {
    int worker = (int)(epoch % s->workers[s->rank]);
    DT_TRY(s->backend->get_state(s->device, params, NULL));
    dt_sha256(params, s->net->n_params * sizeof *params, mine->params);
    choose_samples(s, epoch, s->rank, samples);
    DT_TRY(s->backend->fingerprint(s->device, worker, samples, (uint32_t)epoch, mine->own));
    choose_samples(s, epoch, (s->rank + 1) % s->size, samples);
    return s->backend->fingerprint(s->device, worker, samples, (uint32_t)epoch, mine->right);
}

/* How many ranks hold the parameters that rank r holds. */
static int count_same(const report *all, int size, int r) {
    int n = 0;
    for (int q = 0; q < size; q++)
        n += strcmp(all[q].params, all[r].params) == 0;
    return n;
}

static dt_status judge_parameters(const dt_setup *s, const report *all, int64_t epoch) {
    int most = 0;
    for (int r = 1; r < s->size; r++)
        if (count_same(all, s->size, r) > count_same(all, s->size, most))
            most = r;
    int n = count_same(all, s->size, most), odd = 0;
    if (n == s->size)
        return DT_OK;
    while (strcmp(all[odd].params, all[most].params) == 0)
        odd++;
    if (2 * n > s->size)
        return dt_fail(DT_EPEER,
                       "rank %d (%s) holds other parameters than %d of the %d ranks after epoch "
                       "%lld: its machine stores wrongly; the last good checkpoint is kept",
                       dt_comm_number(s->comm, odd), dt_comm_host(s->comm, odd), n, s->size,
                       (long long)epoch + 1);
    return dt_fail(
        DT_EPEER,
        "rank %d (%s) and rank %d (%s) hold different parameters after epoch %lld: one of "
        "the machines stores wrongly; the last good checkpoint is kept",
        dt_comm_number(s->comm, most), dt_comm_host(s->comm, most), dt_comm_number(s->comm, odd),
        dt_comm_host(s->comm, odd), (long long)epoch + 1);
}

/* Whether rank r and its right neighbour differ, and must not. */
static bool contradicts(const dt_setup *s, const report *all, int r) {
    int right = (r + 1) % s->size;
    return s->kin[r] == s->kin[right] && strcmp(all[r].right, all[right].own) != 0;
}

static dt_status judge_gradients(const dt_setup *s, const report *all, int64_t epoch) {
    int size = s->size, first = -1;
    for (int r = 0; r < size; r++) {
        bool left = contradicts(s, all, (r + size - 1) % size), right = contradicts(s, all, r);
        if (size > 2 && left && right)
            return dt_fail(
                DT_EPEER,
                "rank %d (%s) computes other bits than both its neighbours in epoch %lld: "
                "its machine computes wrongly; the last good checkpoint is kept",
                dt_comm_number(s->comm, r), dt_comm_host(s->comm, r), (long long)epoch + 1);
        if (right && first < 0)
            first = r;
    }
    if (first < 0)
        return DT_OK;
    int second = (first + 1) % size;
    return dt_fail(DT_EPEER,
                   "rank %d (%s) and rank %d (%s) compute different bits from the same samples in "
                   "epoch %lld: one of the machines computes wrongly; the last good checkpoint is "
                   "kept",
                   dt_comm_number(s->comm, first), dt_comm_host(s->comm, first),
                   dt_comm_number(s->comm, second), dt_comm_host(s->comm, second),
                   (long long)epoch + 1);
}

dt_status dt_check_ranks(dt_setup *setup, int64_t epoch) {
    if (setup->size == 1)
        return DT_OK;
    report mine = {0}, *all = calloc((size_t)setup->size, sizeof *all);
    float *params = malloc(setup->net->n_params * sizeof *params);
    int64_t *samples = malloc((size_t)setup->plan.micro * sizeof *samples);
    dt_status status = DT_OK;
    if (!all || !params || !samples)
        status = dt_fail(DT_EDEVICE, "no memory for the check between ranks");
    if (status == DT_OK)
        status = fill_report(setup, epoch, params, samples, &mine);
    DT_TRY_GOTO(status, dt_comm_agree(setup->comm, status), done);
    DT_TRY_GOTO(status, dt_comm_allgather(setup->comm, &mine, sizeof mine, all), done);
    DT_TRY_GOTO(status, judge_parameters(setup, all, epoch), done);
    status = judge_gradients(setup, all, epoch);
done:
    free(all);
    free(params);
    free(samples);
    return status;
}
