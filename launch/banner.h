/* launch/banner.h - what a run is made of, told once at its start. */
#ifndef DT_LAUNCH_BANNER_H
#define DT_LAUNCH_BANNER_H

#include <stdio.h>
#include "launch/term.h"
#include "launch/ui.h"

/* Version, places, libraries, data, split of the batch, network table, output. */
void dt_banner_print(FILE *to, const dt_banner *banner, const dt_term *term);
/* Warn of workers without work and of cores that the job may not use, with the option that changes
 * it. */
void dt_banner_warn(const dt_banner *banner);

#endif
