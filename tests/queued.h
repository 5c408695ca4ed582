/* tests/queued.h - a queued back end made of one that is not: what a GPU promises, without one.
 *
 * Steps are noted when they are submitted and computed when they are collected, at the second look:
 * the first says "not done yet". The ranks' sums go over a communicator. One device at a time. */
#ifndef DT_TESTS_QUEUED_H
#define DT_TESTS_QUEUED_H

#include <stdlib.h>
#include <string.h>
#include "dist/comm.h"
#include "io/clock.h"
#include "model/backend.h"
#include "tests/t.h"

static struct {
    const dt_backend *inner;
    dt_comm *comm;
    int micro;
    struct { /* the two epochs that are held, by epoch % 2 */
        uint32_t epoch;
        int64_t *samples;
        int n_micros;
    } list[2];
    dt_queued_step steps[DT_MAX_QUEUED];
    int64_t submitted, collected, looks;
    int64_t most;                    /* steps that were in the queue at once */
    int64_t gathered, most_gathered; /* micro-batches since the last step, and at most */
    int depth;
} queued;

static inline dt_status queued_epoch(dt_device *device, const dt_work *work) {
    (void)device;
    size_t m = (size_t)queued.micro, n = (size_t)work->n_micros * m;
    size_t first = (size_t)work->first * m, all = first + n + (size_t)work->rest * m;
    int64_t **samples = &queued.list[work->epoch % 2].samples;
    if (work->first == 0) {
        free(*samples);
        *samples = malloc((all + 1) * sizeof **samples);
        queued.list[work->epoch % 2].n_micros = 0;
        queued.list[work->epoch % 2].epoch = work->epoch;
    }
    T_CHECK(queued.list[work->epoch % 2].epoch == work->epoch &&
            queued.list[work->epoch % 2].n_micros == work->first);
    if (n)
        memcpy(*samples + first, work->samples, n * sizeof **samples);
    queued.list[work->epoch % 2].n_micros += work->n_micros;
    queued.gathered += work->n_micros;
    return DT_OK;
}

static inline dt_status queued_step(dt_device *device, const dt_queued_step *step) {
    (void)device;
    T_CHECK(queued.submitted - queued.collected < DT_MAX_QUEUED);
    T_CHECK(queued.list[step->epoch % 2].samples &&
            queued.list[step->epoch % 2].epoch == step->epoch);
    T_CHECK(step->first + step->n_micros <= queued.list[step->epoch % 2].n_micros);
    if (queued.submitted > 0 && queued.gathered > queued.most_gathered)
        queued.most_gathered = queued.gathered;
    queued.gathered = 0;
    queued.steps[queued.submitted++ % DT_MAX_QUEUED] = *step;
    if (queued.submitted - queued.collected > queued.most)
        queued.most = queued.submitted - queued.collected;
    return DT_OK;
}

static inline dt_status queued_collect(dt_device *device, bool wait, bool *done,
                                       dt_step_outcome *out) {
    T_CHECK(queued.collected < queued.submitted);
    *done = wait || ++queued.looks % 2 == 0;
    if (!*done)
        return DT_OK;
    const dt_queued_step *step = &queued.steps[queued.collected++ % DT_MAX_QUEUED];
    dt_work work = {.samples = queued.list[step->epoch % 2].samples +
                               (size_t)step->first * (size_t)queued.micro,
                    .n_micros = step->n_micros,
                    .epoch = step->epoch};
    dt_gradient buffer = queued.inner->buffer(device);
    *out = (dt_step_outcome){.votes = step->vote_stop};
    out->at[DT_STAMP_BEGAN] = dt_now();
    DT_TRY(queued.inner->gradient(device, &work, NULL, NULL));
    out->at[DT_STAMP_COMPUTED] = dt_now();
    DT_TRY(dt_comm_sum_i64(queued.comm, buffer.sums, buffer.n_sums));
    DT_TRY(dt_comm_sum_i64(queued.comm, &out->votes, 1));
    out->at[DT_STAMP_SUMMED] = dt_now();
    memcpy(out->sums, buffer.sums + (buffer.n_sums - DT_N_SUMS), sizeof out->sums);
    DT_TRY(queued.inner->update(device, &step->update, &out->norm));
    out->at[DT_STAMP_ENDED] = dt_now();
    return DT_OK;
}

static inline int queued_depth(const dt_device *device, int n_micros) {
    (void)device, (void)n_micros;
    return queued.depth;
}

/* inner with a queue, for ranks of comm. */
static inline dt_backend queued_backend(const dt_backend *inner, dt_comm *comm, int micro) {
    queued.inner = inner;
    queued.comm = comm;
    queued.micro = micro;
    queued.submitted = queued.collected = queued.looks = queued.most = 0;
    queued.gathered = queued.most_gathered = 0;
    queued.depth = DT_MAX_QUEUED;
    dt_backend backend = *inner;
    backend.epoch = queued_epoch;
    backend.step = queued_step;
    backend.collect = queued_collect;
    backend.depth = queued_depth;
    return backend;
}

static inline void queued_end(void) {
    for (int i = 0; i < 2; i++)
        free(queued.list[i].samples);
    memset(queued.list, 0, sizeof queued.list);
}

#endif
