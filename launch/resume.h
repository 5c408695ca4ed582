/* launch/resume.h - the state of a run: where it is, and how it gets into and out of checkpoints.
 *
 * The state knows no rank and no thread: it can be taken up with any number of them. */
#ifndef DT_LAUNCH_RESUME_H
#define DT_LAUNCH_RESUME_H

#include "io/checkpoint.h"
#include "launch/setup.h"

typedef struct {
    int64_t epoch; /* completed, with their evaluation */
    int64_t step;  /* updates done in all */
    int64_t samples_seen;
    int64_t sums[DT_N_SUMS];            /* of the running epoch */
    double best_value;                  /* percent; NaN: none yet */
    int64_t best_step;                  /* -1: none yet */
    int64_t resumed_step;               /* -1: a new run */
    char resumed_sha256[DT_SHA256_HEX]; /* of the parameters there */
} dt_position;

/* "validation" or "test": what best_value measures. */
const char *dt_best_kind(const dt_setup *setup);
/* What files call the data set: the last component of --data. */
const char *dt_data_name(const dt_setup *setup);

/* Put parameters and optimizer state into every rank's device: of the newest whole checkpoint in
 * dir (with --resume, if there is one), of --init, or of the seed. Collective; rank 0 alone reads
 * files. DT_EUSAGE: options that change bits differ from the checkpoint's. DT_EDATA: so does the
 * data. DT_EIO: it cannot be read, or is of another network. */
DT_NODISCARD dt_status dt_resume(dt_setup *setup, const char *dir, dt_position *at);

/* A copy of this rank's state. DT_EDIVERGED: a parameter is not finite. Free with
 * dt_checkpoint_free(). */
DT_NODISCARD dt_status dt_snapshot(const dt_setup *setup, const dt_position *at,
                                   dt_checkpoint **out);

/* Whether checkpoint (named path) holds the parameters of net. DT_EIO names what differs. */
DT_NODISCARD dt_status dt_checkpoint_fits(const dt_checkpoint *checkpoint, const dt_net *net,
                                          const char *path);

#endif
