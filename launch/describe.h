/* launch/describe.h - who ran what, where and when: texts for the files of runs and sweeps. */
#ifndef DT_LAUNCH_DESCRIBE_H
#define DT_LAUNCH_DESCRIBE_H

#include <stdio.h>
#include "launch/setup.h"

/* "2026-01-31T12:00:00Z" */
void dt_describe_now(char text[32]);
/* This process's words, such that they can be given to a shell again. */
void dt_describe_command_line(FILE *f, const dt_setup *setup);
/* "hostA, hostB (2)": a name for each rank would be long; equal neighbours are counted. */
void dt_describe_hosts(FILE *f, const dt_setup *setup);
void dt_describe_devices(FILE *f, const dt_setup *setup);

/* What print() prints, for free(). DT_EDEVICE: no memory. */
DT_NODISCARD dt_status dt_described(void (*print)(FILE *f, const dt_setup *s),
                                    const dt_setup *setup, char **text);

#endif
