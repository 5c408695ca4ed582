/* launch/build.c - see build.h. */
#include "launch/build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "dtrain_version.h"
#include "launch/options.h"

_Static_assert(sizeof(dt_build) == 128, "other builds expect this size");
_Static_assert(sizeof DTRAIN_VERSION_FULL <= sizeof((dt_build *)NULL)->version, "too long");

const dt_build dt_build_own = {.version = DTRAIN_VERSION_FULL, .options_bytes = sizeof(dt_options)};

int dt_build_find_other(const dt_build *all, int n) {
    for (int r = 1; r < n; r++)
        if (memcmp(&all[r], &all[0], sizeof *all) != 0)
            return r;
    return -1;
}

static dt_status name_both(const dt_comm *comm, const dt_build *all, int other) {
    const char *theirs = all[other].version, *host = dt_comm_host(comm, 0);
    int n = (int)sizeof all->version - 1; /* of another build, who knows */
    if (strncmp(theirs, all[0].version, (size_t)n) == 0)
        return dt_fail(DT_EDEVICE,
                       "dtrain %.*s on rank 0 (%s), another build of it on rank %d (%s): install "
                       "the same on all hosts",
                       n, theirs, host, other, dt_comm_host(comm, other));
    return dt_fail(DT_EDEVICE,
                   "dtrain %.*s on rank 0 (%s), dtrain %.*s on rank %d (%s): install the same on "
                   "all hosts",
                   n, all[0].version, host, n, theirs, other, dt_comm_host(comm, other));
}

dt_status dt_build_agree(dt_comm *comm) {
    int size = dt_comm_size(comm);
    dt_build *all = calloc((size_t)size, sizeof *all);
    dt_status status =
        all ? DT_OK : dt_fail(DT_EDEVICE, "no memory for the versions of %d ranks", size);
    DT_TRY_GOTO(status, dt_comm_agree(comm, status), done);
    DT_TRY_GOTO(status, dt_comm_allgather(comm, &dt_build_own, sizeof dt_build_own, all), done);
    int other = dt_build_find_other(all, size);
    if (other > 0)
        status = name_both(comm, all, other);
done:
    free(all);
    return status;
}
