/* launch/manual.h - what the program says about itself: help, version, man page, completion. */
#ifndef DT_LAUNCH_MANUAL_H
#define DT_LAUNCH_MANUAL_H

#include <stdbool.h>
#include <stdio.h>
#include "launch/options.h"

/* --help of one command; bold: headings stand out (a terminal). */
void dt_help_print(FILE *to, dt_command command, bool bold);
/* Version, build and libraries. */
void dt_version_print(FILE *to);
/* dtrain.1 in roff, for man(7). */
void dt_man_print(FILE *to);
/* A completion function for bash. */
void dt_completion_print(FILE *to);

#endif
