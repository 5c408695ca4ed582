/* launch/serve.h - `dtrain serve`: a page on which to draw digits and to watch a run. */
#ifndef DT_LAUNCH_SERVE_H
#define DT_LAUNCH_SERVE_H

#include "dist/comm.h"
#include "launch/options.h"

/* Serves until SIGINT, SIGTERM or SIGUSR1 (dt_signals_install() came before), then DT_OK. One
 * process: DT_EUSAGE for several. Failures are those of dt_studio_open() and dt_http_open(). */
DT_NODISCARD dt_status dt_serve(const dt_options *options, dt_comm *comm);

#endif
