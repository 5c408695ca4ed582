/* model/update.c - two passes over the gradient, both in chunks of DT_NORM_CHUNK that workers
 * share.
 *
 * The first pass sums squares, chunk by chunk, for the norm; the second applies the update.
 * Integers become floats in a buffer that stays in the first-level cache, so no float copy of the
 * gradient exists. */
#include "model/update.h"

#include <math.h>
#include <string.h>
#include "model/fixed.h"

typedef struct {
    const dt_host_state *state;
    const dt_gradient *g;
    dt_update update;
    size_t n_chunks;
    int n_workers;
} job_t;

size_t dt_update_chunks(size_t n_params) {
    return (n_params + DT_NORM_CHUNK - 1) / DT_NORM_CHUNK;
}

/* Chunk c of the gradient as floats; returns how many. */
static size_t fetch(const job_t *job, size_t c, float out[DT_NORM_CHUNK]) {
    size_t from = c * DT_NORM_CHUNK, n = job->state->n_params - from;
    if (n > DT_NORM_CHUNK)
        n = DT_NORM_CHUNK;
    if (job->g->floats)
        memcpy(out, job->g->floats + from, n * sizeof *out);
    else
        dt_fixed_get(out, job->g->sums + from, n);
    return n;
}

static void norm_pass(void *ctx, int worker) {
    job_t *job = ctx;
    float g[DT_NORM_CHUNK];
    for (size_t c = (size_t)worker; c < job->n_chunks; c += (size_t)job->n_workers)
        job->state->chunks[c] = dt_norm_chunk(g, fetch(job, c, g), 0);
}

static void apply_pass(void *ctx, int worker) {
    job_t *job = ctx;
    const dt_host_state *s = job->state;
    float g[DT_NORM_CHUNK];
    for (size_t c = (size_t)worker; c < job->n_chunks; c += (size_t)job->n_workers) {
        size_t from = c * DT_NORM_CHUNK, n = fetch(job, c, g);
        float *slots[2] = {s->slots[0] ? s->slots[0] + from : NULL,
                           s->slots[1] ? s->slots[1] + from : NULL};
        dt_optim_apply(s->optim, &job->update, g, s->params + from, slots, 0, n);
    }
}

dt_status dt_update_run(dt_pool *pool, const dt_host_state *state, const dt_gradient *g,
                        const dt_update *update, double *norm) {
    const int64_t *sums = g->sums + g->n_sums - DT_N_SUMS;
    job_t job = {state, g, *update, dt_update_chunks(state->n_params), dt_pool_size(pool)};
    *norm = NAN;
    if (sums[DT_SUM_BAD] != 0)
        return dt_fail(DT_EDIVERGED,
                       "%lld values of the gradient or the loss are not finite or too large",
                       (long long)sums[DT_SUM_BAD]);
    if (sums[DT_SUM_COUNT] <= 0)
        return dt_fail(DT_EDIVERGED, "a step without samples");
    dt_pool_run(pool, norm_pass, &job);
    double mean = 1.0 / (double)sums[DT_SUM_COUNT], clip = 1;
    *norm = dt_norm_total(state->chunks, job.n_chunks) * mean;
    if (!isfinite(*norm))
        return dt_fail(DT_EDIVERGED, "the gradient's norm is not finite");
    if (state->optim->clip_norm > 0 && *norm > (double)state->optim->clip_norm)
        clip = (double)state->optim->clip_norm / *norm;
    job.update.gradient_scale = (float)(mean * clip);
    dt_pool_run(pool, apply_pass, &job);
    return DT_OK;
}
