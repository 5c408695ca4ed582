/* dist/watchdog.h - a thread in every rank that sees when some rank no longer goes on.
 *
 * A rank that is blocked in a collective cannot know whom it waits for, so the watchers talk beside
 * MPI: within a host through memory that its ranks share, between hosts by datagrams to rank 0's
 * host. A rank that was not heard of, or has not gone on, for the time-out (three times as long
 * while starting up) is named on stderr by one of those that wait for it, and every rank leaves
 * with exit code 6, whatever its other threads are blocked in.
 *
 * Time in which a watcher itself did not run (a debugger, a suspended machine) does not count. The
 * watcher calls no MPI. Nothing of it outlives the job: the shared memory never has a name. */
#ifndef DT_DIST_WATCHDOG_H
#define DT_DIST_WATCHDOG_H

#include "dist/comm.h"

typedef struct dt_watchdog dt_watchdog;

/* Begin to watch this process alone, before there is a group; rank: as far as is known. timeout:
 * seconds; 0: *out is NULL, and nothing is watched. DT_EDEVICE: no memory or no thread. */
DT_NODISCARD dt_status dt_watchdog_open(double timeout, int rank, dt_watchdog **out);
/* Watch all ranks of the group from here on. Collective, also with *watchdog == NULL: rank 0's
 * time-out is everybody's. A host whose datagrams do not get through is warned about, and watches
 * itself alone. */
DT_NODISCARD dt_status dt_watchdog_connect(dt_watchdog **watchdog, dt_comm *comm);
/* This rank leaves in good order, after the group is closed: nobody will miss it. Waits for the
 * other ranks of its host to do so, too. NULL and *watchdog == NULL are fine. */
void dt_watchdog_close(dt_watchdog **watchdog);

/* The job is about to be ended by the watchdog of this process: within a second it is. */
bool dt_watchdog_is_ending(void);

#endif
