/* dist/watch_net.c - datagrams between watchers. See watch_net.h.
 *
 * Rank 0's host may have several addresses, of which some lead nowhere. A leader sends to all of
 * them, says of each datagram by which way it goes, and is told which way has arrived: then it
 * takes that one alone, as rank 0 has a thousand leaders to listen to. When either hears nothing
 * for some datagrams, it is all ways again. */
#include "dist/watch_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECORDS = 16 };     /* a datagram: it stays below 1,400 bytes, and whole on every link */
enum { BUFFER = 4 << 20 }; /* a thousand hosts' datagrams, some 800 bytes each for the kernel */
enum { PATIENCE = 4 };     /* datagrams sent without one received */

typedef struct {
    uint64_t job;
    uint32_t message;
    int32_t host;
    uint32_t n;
    uint32_t way; /* to rank 0: the address it is sent to, from 1; back: what has arrived, or 0 */
    dt_watch_record records[RECORDS];
} datagram;

typedef struct { /* an address of rank 0's host, or for rank 0 the leader of a host */
    struct sockaddr_in address; /* a port of 0: not heard of */
    uint32_t way;               /* by which its last datagram came */
    int unanswered;             /* datagrams sent since then */
} peer;

struct dt_watch_net {
    int fd, host; /* host 0: rank 0's */
    uint64_t job;
    peer *peers; /* [n_peers] */
    int n_peers;
    uint32_t way;   /* a leader's: the one that it takes; 0: all */
    int unanswered; /* a leader's: messages since rank 0 was heard */
};

static dt_watch_net *new_net(int host, int n_peers, uint64_t job) {
    dt_watch_net *net = calloc(1, sizeof *net);
    if (!net)
        return NULL;
    net->host = host;
    net->job = job;
    net->n_peers = n_peers;
    net->peers = calloc((size_t)n_peers + 1, sizeof *net->peers);
    net->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in any = {.sin_family = AF_INET};
    const int buffer = BUFFER;
    if (net->fd >= 0) /* the system may allow less */
        (void)setsockopt(net->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if (net->peers && net->fd >= 0 && bind(net->fd, (struct sockaddr *)&any, sizeof any) == 0)
        return net;
    dt_watch_net_close(&net);
    return NULL;
}

/* Addresses by which others may reach this host: loopback last, for ranks of this very host that
 * cannot share memory. */
static void find_addresses(dt_watch_hub *hub) {
    struct ifaddrs *all = NULL;
    hub->n_addresses = 0;
    if (getifaddrs(&all) != 0)
        return;
    for (unsigned loopback = 0; loopback <= IFF_LOOPBACK; loopback += IFF_LOOPBACK)
        for (const struct ifaddrs *i = all; i && hub->n_addresses < DT_WATCH_ADDRESSES;
             i = i->ifa_next) {
            struct sockaddr_in address;
            if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !(i->ifa_flags & IFF_UP) ||
                (i->ifa_flags & IFF_LOOPBACK) != loopback)
                continue;
            memcpy(&address, i->ifa_addr, sizeof address);
            hub->address[hub->n_addresses++] = address.sin_addr.s_addr;
        }
    freeifaddrs(all);
}

static dt_status no_socket(void) {
    return dt_fail(DT_EDEVICE, "no socket for the watchdog: %s", strerror(errno));
}

dt_status dt_watch_net_listen(dt_watch_hub *hub, int n_hosts, dt_watch_net **out) {
    struct sockaddr_in own;
    socklen_t nbytes = sizeof own;
    dt_watch_net *net = *out = new_net(0, n_hosts, hub->job);
    if (!net || getsockname(net->fd, (struct sockaddr *)&own, &nbytes) != 0) {
        dt_watch_net_close(out);
        return no_socket();
    }
    hub->port = own.sin_port;
    find_addresses(hub);
    return DT_OK;
}

dt_status dt_watch_net_connect(const dt_watch_hub *hub, int host, dt_watch_net **out) {
    dt_watch_net *net = *out = new_net(host, (int)hub->n_addresses, hub->job);
    if (!net)
        return no_socket();
    for (uint32_t i = 0; i < hub->n_addresses && i < DT_WATCH_ADDRESSES; i++) {
        struct sockaddr_in *to = &net->peers[i].address;
        *to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = hub->port};
        to->sin_addr.s_addr = hub->address[i];
    }
    return DT_OK;
}

void dt_watch_net_close(dt_watch_net **net) {
    dt_watch_net *n = *net;
    if (!n)
        return;
    if (n->fd >= 0)
        close(n->fd);
    free(n->peers);
    free(n);
    *net = NULL;
}

int dt_watch_net_fd(const dt_watch_net *net) {
    return net->fd;
}

static void send_to(const dt_watch_net *net, const peer *to, const datagram *d) {
    size_t nbytes = offsetof(datagram, records) + d->n * sizeof *d->records;
    if (to->address.sin_port != 0)
        (void)!sendto(net->fd, d, nbytes, MSG_DONTWAIT | MSG_NOSIGNAL,
                      (const struct sockaddr *)&to->address, sizeof to->address);
}

static void send_everywhere(dt_watch_net *net, datagram *d) {
    for (int i = 0; i < net->n_peers; i++) {
        const peer *to = &net->peers[i];
        if (net->host == 0)
            d->way = to->unanswered > PATIENCE ? 0 : to->way;
        else if (net->way == 0 || net->way == (uint32_t)i + 1)
            d->way = (uint32_t)i + 1;
        else
            continue;
        send_to(net, to, d);
    }
}

/* Before a message is sent. */
static void count_unanswered(dt_watch_net *net) {
    for (int i = 0; net->host == 0 && i < net->n_peers; i++)
        if (net->peers[i].unanswered <= PATIENCE)
            net->peers[i].unanswered++;
    if (net->host != 0 && ++net->unanswered > PATIENCE) {
        net->unanswered = 0;
        net->way = 0;
    }
}

void dt_watch_net_send(dt_watch_net *net, dt_watch_message message, const dt_watch_record *records,
                       int n) {
    datagram d = {.job = net->job, .message = (uint32_t)message, .host = net->host};
    count_unanswered(net);
    for (int i = 0; i == 0 || i < n; i += RECORDS) {
        d.n = (uint32_t)(n - i < RECORDS ? n - i : RECORDS);
        if (d.n > 0)
            memcpy(d.records, records + i, d.n * sizeof *records);
        send_everywhere(net, &d);
    }
}

/* Of this job, whole, and from a host that there is. */
static bool is_sound(const dt_watch_net *net, const datagram *d, ssize_t nbytes) {
    size_t head = offsetof(datagram, records);
    if (nbytes < (ssize_t)head || d->job != net->job || d->n > RECORDS ||
        (size_t)nbytes != head + d->n * sizeof *d->records)
        return false;
    return net->host == 0 ? d->host > 0 && d->host < net->n_peers : d->host == 0;
}

static void note_peer(dt_watch_net *net, const datagram *d, const struct sockaddr_in *from) {
    if (net->host == 0) {
        net->peers[d->host] = (peer){.address = *from, .way = d->way};
    } else {
        net->way = d->way <= (uint32_t)net->n_peers ? d->way : 0;
        net->unanswered = 0;
    }
}

bool dt_watch_net_receive(dt_watch_net *net, dt_watch_message *message, int *host,
                          dt_watch_record *records, int max, int *n) {
    for (;;) {
        datagram d;
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        ssize_t nbytes =
            recvfrom(net->fd, &d, sizeof d, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
        if (nbytes < 0 && (errno == ECONNREFUSED || errno == EINTR))
            continue; /* refused: an earlier datagram went to a port that nobody has */
        if (nbytes < 0)
            return false;
        if (!is_sound(net, &d, nbytes))
            continue;
        note_peer(net, &d, &from);
        *message = (dt_watch_message)d.message;
        *host = d.host;
        *n = (int)d.n < max ? (int)d.n : max;
        memcpy(records, d.records, (size_t)*n * sizeof *records);
        return true;
    }
}
