/* launch/build.h - do all ranks run the same dtrain?
 *
 * Ranks exchange structures as bytes. Of two builds these may have other sizes and fields, and what
 * came of that would be cut messages or options that nobody gave. So this is asked before all else,
 * by a record whose layout never changes. */
#ifndef DT_LAUNCH_BUILD_H
#define DT_LAUNCH_BUILD_H

#include "dist/comm.h"

typedef struct {
    char version[120];      /* with the commit, and zeros behind it */
    uint64_t options_bytes; /* builds of one commit, changed since, may still differ */
} dt_build;

extern const dt_build dt_build_own;
/* The lowest rank that has another build than rank 0; -1: none. all: [n] */
int dt_build_find_other(const dt_build *all, int n);
/* Collective, the first one. DT_EDEVICE, the same sentence on all ranks: two ranks and their
 * versions. They must then part without another collective. */
DT_NODISCARD dt_status dt_build_agree(dt_comm *comm);

#endif
