/* launch/setup.h - what training and evaluation need before the first step, the same on every rank.
 *
 * Opened in parts, since a checkpoint may have a say between them: the places, the data, the
 * network, the device. Each part is collective, and fails on all ranks when it fails on one. */
#ifndef DT_LAUNCH_SETUP_H
#define DT_LAUNCH_SETUP_H

#include "dist/comm.h"
#include "dist/plan.h"
#include "io/clock.h"
#include "io/dataset.h"
#include "launch/gpu.h"
#include "launch/options.h"
#include "launch/ui.h"
#include "model/backend.h"

enum { DT_FINGERPRINT_MAX = 512 };

typedef struct {
    dt_options options; /* with micro_batch filled in */
    const dt_backend *backend;
    dt_gpus *gpus; /* with a plugin: GPUs compute */
    dt_comm *comm;
    int rank, size;
    double started; /* dt_now() */

    dt_dataset *data;
    int64_t
        *chosen; /* [n_train + n_validation]: index into data->train of each sample of the run */
    int64_t n_train, n_validation;

    dt_net *net;
    dt_device *device;
    char *choices; /* of a back end that makes some: rank 0's, everywhere */
    dt_plan plan;
    int host_threads;                     /* of this rank, for work on its host */
    int *workers;                         /* [size] */
    dt_place *places;                     /* [size] */
    char fingerprint[DT_FINGERPRINT_MAX]; /* of rank 0 */
    int *kin;                             /* [size] the lowest rank with the same fingerprint */
} dt_setup;

/* Find out who computes with what; nothing else is open yet. gpus stays the caller's.
 * dt_setup_close() after a failure too. */
DT_NODISCARD dt_status dt_setup_open(dt_setup *s, const dt_options *options,
                                     const dt_backend *backend, dt_gpus *gpus, dt_comm *comm);
/* Open the data on every rank and compare the digests between them. DT_EDATA names file, ranks and
 * hosts. */
DT_NODISCARD dt_status dt_setup_data(dt_setup *s);
/* Choose the samples to train on (--samples, --validation): needs the data. DT_EUSAGE. */
DT_NODISCARD dt_status dt_setup_samples(dt_setup *s);
/* Parse the network for the data's shape. DT_EUSAGE: impossible. DT_EDATA: a label has no output;
 * names file and label. */
DT_NODISCARD dt_status dt_setup_network(dt_setup *s, const char *spec);
/* Count the workers, plan, open this rank's device and load the data into it; pixels are normalised
 * with mean and std. */
DT_NODISCARD dt_status dt_setup_device(dt_setup *s, double mean, double std);
void dt_setup_close(dt_setup *s);

/* The training set's index of sample i of the run's own numbering; -1 stays -1. */
static inline int64_t dt_setup_sample(const dt_setup *s, int64_t i) {
    return i < 0 ? -1 : s->chosen[i];
}

#endif
