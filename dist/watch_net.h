/* dist/watch_net.h - datagrams between the watchers of several hosts.
 *
 * A star: one watcher of each host, its leader, tells rank 0 of its host's ranks, and is told of
 * rank 0's. A lost datagram is made up for by the next one; rank 0 should listen all the time, as
 * the system keeps but some hundred of them. UDP over IPv4, one socket a leader, so
 * that a thousand hosts need no thousand descriptors. Datagrams of another job are told by a random
 * number that rank 0 draws. */
#ifndef DT_DIST_WATCH_NET_H
#define DT_DIST_WATCH_NET_H

#include <stdbool.h>
#include <stdint.h>
#include "io/err.h"

enum { DT_WATCH_WORDS = 8, DT_WATCH_ADDRESSES = 8 };

typedef struct { /* where rank 0 listens: sent to all ranks as bytes */
    uint64_t job;
    uint16_t port;                        /* network order, as all of this */
    uint32_t address[DT_WATCH_ADDRESSES]; /* of its interfaces that are up */
    uint32_t n_addresses;
} dt_watch_hub;

typedef struct { /* one rank's record */
    int32_t rank;
    uint64_t words[DT_WATCH_WORDS];
} dt_watch_record;

typedef enum { DT_WATCH_STATE = 1, DT_WATCH_END = 2 } dt_watch_message; /* END: the job ends */

typedef struct dt_watch_net dt_watch_net;

/* Rank 0's end, for n_hosts hosts; fills in hub, whose job is given. DT_EDEVICE: no socket. */
DT_NODISCARD dt_status dt_watch_net_listen(dt_watch_hub *hub, int n_hosts, dt_watch_net **out);
/* The end of the leader of host number host. */
DT_NODISCARD dt_status dt_watch_net_connect(const dt_watch_hub *hub, int host, dt_watch_net **out);
void dt_watch_net_close(dt_watch_net **net);

int dt_watch_net_fd(const dt_watch_net *net); /* to poll() for what has come */
/* To rank 0; from rank 0: to all hosts that were heard of. Never waits; what cannot be sent is
 * lost.
 */
void dt_watch_net_send(dt_watch_net *net, dt_watch_message message, const dt_watch_record *records,
                       int n);
/* What has come, one datagram a call, at most max records; *n of them, *message and the host that
 * sent it (rank 0's is 0). false: nothing more. */
bool dt_watch_net_receive(dt_watch_net *net, dt_watch_message *message, int *host,
                          dt_watch_record *records, int max, int *n);

#endif
