/* model/update.h - one optimizer step on the host, shared by a device's workers: norm, clipping,
 * update. */
#ifndef DT_MODEL_UPDATE_H
#define DT_MODEL_UPDATE_H

#include "model/backend.h"
#include "model/pool.h"

typedef struct {
    const dt_optim_config *optim;
    size_t n_params;
    float *params, *slots[2];
    double *chunks; /* [dt_update_chunks(n_params)], scratch */
} dt_host_state;

size_t dt_update_chunks(size_t n_params);

/* params and slots move by the mean of the summed gradient in g. *norm = the mean gradient's norm
 * before clipping; the bits do not depend on the size of the pool. DT_EDIVERGED, nothing moved,
 * when the sums say so or the norm is not finite. */
DT_NODISCARD dt_status dt_update_run(dt_pool *pool, const dt_host_state *state,
                                     const dt_gradient *g, const dt_update *update, double *norm);

#endif
