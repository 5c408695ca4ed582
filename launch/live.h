/* launch/live.h - where a training is, read from its files while it writes them.
 *
 * log.jsonl gives the curves: it is read on from where it was read to. run.h5, replaced once an
 * epoch, gives the rest: ranks, hosts, how it ended. Whether a process is still there is told by
 * the lock that a run holds on its log. */
#ifndef DT_LAUNCH_LIVE_H
#define DT_LAUNCH_LIVE_H

#include "io/file.h"
#include "io/json.h"

typedef struct dt_live dt_live;

/* dir need not hold a run yet. DT_EDEVICE: no memory. */
DT_NODISCARD dt_status dt_live_open(const char *dir, dt_live **out);
void dt_live_close(dt_live **live);

/* Look at the files again, and write what they say into json, an object for the member key (NULL:
 * alone). What cannot be read is left out; "state" is one of
 *   waiting    no run has begun here
 *   running    a process has the run's lock
 *   finished   it ended with 0
 *   stopped    it ended early, with everything saved
 *   failed     it ended with another code: "exit_status"
 *   lost       it is gone without a word
 * Accuracies are in percent, curves have at most 600 points: averages over steps where there are
 * more, and every k-th epoch. */
void dt_live_json(dt_live *live, const char *key, dt_json *json);

#endif
