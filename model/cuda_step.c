/* model/cuda_step.c - steps that are queued: epochs of samples, graphs, outcomes.
 *
 * A step is one launch that tells the device what to do, one graph for each micro-batch but the
 * last, one for the last with sums over ranks and update, and a copy of the outcome. Either kind of
 * micro-batch is launched piece by piece at its beginning, as libraries set themselves up then and
 * kernels are loaded; the next one of that kind is captured. The kind with sums comes once a step,
 * so that all ranks capture it in the same step, as NCCL asks. */
#include <nvtx3/nvToolsExt.h>
#include <stdio.h>
#include "io/clock.h"
#include "model/cuda_impl.h"

enum { DRIVER_LAUNCHES = 512 }; /* half of what is seen to fit */

/* Memory for both epochs that are held. Taking and freeing it waits for the device, which waits for
 * the other ranks: so both are opened before a step is queued. */
static dt_status open_sources(dt_device *d, int64_t capacity) {
    if (d->n_queued != d->n_collected)
        return dt_fail(DT_EDEVICE,
                       "an epoch of %lld micro-batches after one of %lld, while steps are queued",
                       (long long)capacity, (long long)d->epochs[0].capacity);
    DT_TRY(cuda_check(cudaStreamSynchronize(d->main), "the device failed"));
    DT_TRY(cuda_check(cudaStreamSynchronize(d->copy), "the device failed"));
    for (int i = 0; i < 2; i++) {
        cuda_source_close(&d->epochs[i]);
        DT_TRY(cuda_source_open(d, &d->epochs[i], capacity));
    }
    return DT_OK;
}

/* Two epochs are held: the one that is trained and the next. */
dt_status cuda_epoch(dt_device *d, const dt_work *work) {
    cuda_source *s = &d->epochs[work->epoch % 2];
    int64_t all = work->first + work->n_micros + work->rest;
    if (s->capacity < all || s->capacity == 0)
        DT_TRY(open_sources(d, all > 0 ? all : 1));
    s->held = s->awaited = false;
    s->epoch = work->epoch;
    nvtxRangePushA("gather");
    dt_status status = cuda_source_gather(d, s, DT_TRAIN, work);
    nvtxRangePop();
    if (status != DT_OK || work->rest > 0)
        return status;
    /* What is queued may read the epoch that was there. */
    DT_TRY(cuda_check(cudaEventRecord(d->used, d->main), "an event cannot be recorded"));
    DT_TRY(cuda_check(cudaStreamWaitEvent(d->copy, d->used, 0), "a stream cannot wait"));
    DT_TRY(cuda_source_upload(d, s, d->copy));
    s->held = true;
    return DT_OK;
}

static dt_status begin(dt_device *d, const dt_queued_step *step) {
    cuda_source *s = &d->epochs[step->epoch % 2];
    cuda_work work = {.epoch = step->epoch, .idle = 1};
    if (step->n_micros > 0) {
        if (!s->held || s->epoch != step->epoch || step->first + step->n_micros > s->n_micros)
            return dt_fail(DT_EDEVICE, "micro-batches %lld to %lld of epoch %u are not loaded",
                           (long long)step->first, (long long)step->first + step->n_micros - 1,
                           step->epoch);
        if (!s->awaited)
            DT_TRY(
                cuda_check(cudaStreamWaitEvent(d->main, s->uploaded, 0), "a stream cannot wait"));
        s->awaited = true;
        work = cuda_source_work(d, s);
        work.row = step->first;
    }
    work.reset = 1;
    work.slot = (int)(d->n_queued % DT_MAX_QUEUED);
    work.vote = step->vote_stop;
    work.scalars = cuda_scalars_of(&d->config.optim, &step->update);
    return cuda_check(cuda_begin(d->control, &work, d->gradient.head, d->main),
                      "a kernel cannot be launched");
}

/* After a failure amid the sums, the communication stream may still be in the capture, and would
 * not come out of it. What this itself meets does not count any more. */
static void leave_capture(dt_device *d) {
    enum cudaStreamCaptureStatus state;
    if (cudaStreamIsCapturing(d->comm, &state) != cudaSuccess ||
        state != cudaStreamCaptureStatusActive)
        return;
    cudaError_t error = cudaEventRecord(d->joined, d->comm);
    if (error == cudaSuccess)
        error = cudaStreamWaitEvent(d->main, d->joined, 0);
    (void)error;
}

/* Everything between is recorded instead of run. */
static dt_status capture(dt_device *d, bool last) {
    cudaGraph_t graph = NULL;
    size_t n_nodes = 0;
    DT_TRY(cuda_check(cudaStreamBeginCapture(d->main, cudaStreamCaptureModeThreadLocal),
                      "a step cannot be captured"));
    dt_status status = cuda_micro(d, last);
    if (status != DT_OK)
        leave_capture(d);
    cudaError_t ended = cudaStreamEndCapture(d->main, &graph); /* in any case: it ends the mode */
    if (status == DT_OK)
        status = cuda_check(ended, "a step cannot be captured");
    if (status == DT_OK)
        status = cuda_check(cudaGraphGetNodes(graph, NULL, &n_nodes), "a graph cannot be read");
    if (status == DT_OK)
        /* sums keep their stream's priority; without the flag all has that of the main stream */
        status = cuda_check(
            cudaGraphInstantiate(&d->graphs[last], graph, cudaGraphInstantiateFlagUseNodePriority),
            "a graph cannot be made ready");
    d->nodes[last] = (int64_t)n_nodes;
    if (graph)
        cudaGraphDestroy(graph);
    return status;
}

static void end_range(dt_device *d) {
    if (d->range_open)
        nvtxRangeEnd(d->range);
    d->range_open = false;
}

/* A micro-batch of a step, by replay where that is possible. */
static dt_status run(dt_device *d, bool last) {
    bool replay = d->config.graph && d->is_warm[last] &&
                  !(last && d->config.reduce && !d->config.reduce->captures);
    int64_t before = d->launches;
    if (!replay) {
        DT_TRY(cuda_micro(d, last));
        d->calls[last] = d->launches - before;
        d->is_warm[last] = true;
        return DT_OK;
    }
    if (!d->graphs[last])
        DT_TRY(capture(d, last));
    nvtxRangePushA("micro-batch");
    cudaError_t error = cudaGraphLaunch(d->graphs[last], d->main);
    nvtxRangePop();
    return cuda_check(error, "a graph cannot be launched");
}

/* For profilers: an epoch is from its first step to the next one's. */
static void mark_epoch(dt_device *d, const dt_queued_step *step) {
    char name[32];
    if (d->range_open && d->range_epoch == step->epoch)
        return;
    snprintf(name, sizeof name, "epoch %lu", (unsigned long)step->epoch + 1);
    end_range(d);
    d->range = nvtxRangeStartA(name);
    d->range_epoch = step->epoch;
    d->range_open = true;
}

/* More than what cuda_micro() enqueues, last or not: cuDNN and cuBLAS take several kernels for some
 * of their work, and events need room as well. */
static int most_launches(const dt_device *d) {
    int n = 10 + 5 * d->plan.n_ranges;
    for (int i = 0; i < d->plan.n_ops; i++)
        n += d->plan.ops[i].layer->kind == DT_CONV ? 13
             : d->plan.ops[i].layer->kind == DT_FC ? 8
                                                   : 2;
    return n;
}

/* Drivers hold about a thousand launches: the next one waits until one has ended, and those behind
 * the sum of a lost peer never do. The sums come in the last micro-batch of a step. */
int cuda_depth(const dt_device *d, int n_micros) {
    int micro = most_launches(d), room = DRIVER_LAUNCHES - micro;
    int depth = 1 + (room > 0 ? room / (micro * (n_micros > 0 ? n_micros : 1)) : 0);
    return depth < DT_MAX_QUEUED && d->config.reduce ? depth : DT_MAX_QUEUED;
}

static dt_status enqueue(dt_device *d, const dt_queued_step *step) {
    size_t slot = (size_t)(d->n_queued % DT_MAX_QUEUED);
    d->submitted[slot] = dt_now();
    DT_TRY(begin(d, step));
    for (int j = 1; j < step->n_micros; j++)
        DT_TRY(run(d, false));
    DT_TRY(run(d, true));
    DT_TRY(cuda_check(cudaMemcpyAsync(&d->collected[slot], &d->outcomes[slot], sizeof *d->outcomes,
                                      cudaMemcpyDeviceToHost, d->main),
                      "an outcome cannot be copied"));
    DT_TRY(cuda_check(cudaEventRecord(d->done[slot], d->main), "an event cannot be recorded"));
    d->n_queued++;
    return DT_OK;
}

dt_status cuda_step(dt_device *d, const dt_queued_step *step) {
    if (d->n_queued - d->n_collected >= DT_MAX_QUEUED)
        return dt_fail(DT_EDEVICE, "more than %d steps are queued", DT_MAX_QUEUED);
    mark_epoch(d, step);
    nvtxRangePushA("step");
    dt_status status = enqueue(d, step);
    nvtxRangePop();
    return status;
}

dt_status cuda_verdict(const cuda_outcome *outcome) {
    if (!outcome->diverged)
        return DT_OK;
    if (outcome->sums[DT_SUM_BAD] != 0)
        return dt_fail(DT_EDIVERGED,
                       "%lld values of the gradient or the loss are not finite or too large",
                       (long long)outcome->sums[DT_SUM_BAD]);
    if (outcome->sums[DT_SUM_COUNT] <= 0)
        return dt_fail(DT_EDIVERGED, "a step without samples");
    return dt_fail(DT_EDIVERGED, "the gradient's norm is not finite, or an earlier step's was not");
}

/* The two clocks are never compared as such: no step began before it was submitted, nor is one
 * collected before it has ended. The first is close where the queue was empty, the second where the
 * host was waiting; each new step moves the offset no further than these allow. */
static void translate_times(dt_device *d, size_t slot, const cuda_outcome *from, double *at) {
    double seen = dt_now();
    if (d->n_collected == 0) {
        d->clock.zero = from->at[DT_STAMP_BEGAN];
        d->clock.offset = d->submitted[slot];
    }
    for (int i = 0; i < DT_N_STAMPS; i++)
        at[i] = 1e-9 * (double)(long long)(from->at[i] - d->clock.zero);
    if (from->at[DT_STAMP_COMPUTED] == 0) /* one rank: there is nothing to sum */
        at[DT_STAMP_COMPUTED] = at[DT_STAMP_SUMMED];
    if (d->clock.offset < d->submitted[slot] - at[DT_STAMP_BEGAN])
        d->clock.offset = d->submitted[slot] - at[DT_STAMP_BEGAN];
    if (d->clock.offset > seen - at[DT_STAMP_ENDED])
        d->clock.offset = seen - at[DT_STAMP_ENDED];
    for (int i = 0; i < DT_N_STAMPS; i++)
        at[i] += d->clock.offset;
}

dt_status cuda_collect(dt_device *d, bool wait, bool *done, dt_step_outcome *out) {
    *done = false;
    if (d->n_collected == d->n_queued)
        return dt_fail(DT_EDEVICE, "no step is queued");
    size_t slot = (size_t)(d->n_collected % DT_MAX_QUEUED);
    cudaError_t error = wait ? cudaEventSynchronize(d->done[slot]) : cudaEventQuery(d->done[slot]);
    if (cuda_is_pending(error))
        return DT_OK;
    DT_TRY(cuda_check(error, "a step failed on the device"));
    const cuda_outcome *from = &d->collected[slot];
    *done = true;
    *out = (dt_step_outcome){.votes = from->votes, .norm = from->norm};
    translate_times(d, slot, from, out->at);
    d->n_collected++;
    for (int i = 0; i < DT_N_SUMS; i++)
        out->sums[i] = from->sums[i];
    return cuda_verdict(from);
}

dt_status cuda_idle(dt_device *d, bool *idle) {
    const cudaStream_t streams[] = {d->main, d->comm, d->copy};
    *idle = true;
    for (int i = 0; i < 3; i++) {
        cudaError_t error = cudaStreamQuery(streams[i]);
        if (cuda_is_pending(error))
            *idle = false;
        else
            DT_TRY(cuda_check(error, "the device failed"));
    }
    return DT_OK;
}

void cuda_steps_close(dt_device *d) {
    end_range(d);
    for (int i = 0; i < 2; i++)
        if (d->graphs[i])
            cudaGraphExecDestroy(d->graphs[i]);
}
