/* launch/trainer.h - the loop: joins data, plan, device and communicator, and keeps what they
 * produce. */
#ifndef DT_LAUNCH_TRAINER_H
#define DT_LAUNCH_TRAINER_H

#include "dist/comm.h"
#include "launch/gpu.h"
#include "launch/options.h"
#include "model/backend.h"

/* `dtrain train`. Collective; gpus are open and stay the caller's, backend is theirs if they have
 * one; options are already the same on all ranks, defaults filled in.
 * Returns DT_OK for a finished run, DT_ESTOPPED when it was asked to stop and everything is saved,
 * or the failure. */
DT_NODISCARD dt_status dt_train(const dt_options *options, const dt_backend *backend, dt_gpus *gpus,
                                dt_comm *comm);
/* `dtrain eval CHECKPOINT`. Collective. Prints on rank 0. */
DT_NODISCARD dt_status dt_evaluate(const dt_options *options, const dt_backend *backend,
                                   dt_gpus *gpus, dt_comm *comm);

/* SIGTERM, SIGINT and SIGUSR1 ask for an early stop; install before MPI starts. The second one of
 * the same kind kills. */
void dt_signals_install(void);
int dt_signals_pending(void);           /* number of the signal that came, or 0 */
const char *dt_signal_name(int number); /* of one of the three */

#endif
