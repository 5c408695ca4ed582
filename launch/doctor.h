/* launch/doctor.h - `dtrain doctor`: what goes wrong in the first hour on a cluster, each found and
 * named with its fix. */
#ifndef DT_LAUNCH_DOCTOR_H
#define DT_LAUNCH_DOCTOR_H

#include "dist/comm.h"
#include "launch/options.h"

/* Collective; rank 0 prints, text or JSON. DT_OK: nothing is wrong, warnings aside. Else the code
 * of the first thing that is: DT_EDATA, DT_EIO, DT_EDEVICE, DT_EPEER. */
DT_NODISCARD dt_status dt_doctor(const dt_options *options, dt_comm *comm);

#endif
