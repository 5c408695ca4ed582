/* launch/devices.h - `dtrain devices`: what each rank can compute with, and why not. */
#ifndef DT_LAUNCH_DEVICES_H
#define DT_LAUNCH_DEVICES_H

#include "dist/comm.h"
#include "launch/options.h"

/* Collective; rank 0 prints, text or JSON. */
DT_NODISCARD dt_status dt_devices(const dt_options *options, dt_comm *comm);

#endif
