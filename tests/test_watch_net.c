/* tests/test_watch_net.c - datagrams between watchers, over this machine's loopback: whole, of this
 * job only, to all hosts that were heard of. */
#include "t.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "dist/watch_net.h"

enum { MOST = 64 };

static dt_watch_hub hub = {.job = 77};
static dt_watch_record got[MOST];

static dt_watch_record record(int rank) {
    dt_watch_record r = {.rank = rank};
    for (int i = 0; i < DT_WATCH_WORDS; i++)
        r.words[i] = (uint64_t)rank << 32 | (uint64_t)i;
    return r;
}

/* The next datagram, for up to a second. */
static bool receive(dt_watch_net *net, dt_watch_message *message, int *host, int *n) {
    struct pollfd p = {.fd = dt_watch_net_fd(net), .events = POLLIN};
    return poll(&p, 1, 1000) == 1 && dt_watch_net_receive(net, message, host, got, MOST, n);
}

static bool is_silent(dt_watch_net *net) {
    dt_watch_message message;
    int host, n;
    return !dt_watch_net_receive(net, &message, &host, got, MOST, &n);
}

static void test_both_ways(dt_watch_net *zero, dt_watch_net *one, dt_watch_net *two) {
    dt_watch_record r[40];
    dt_watch_message message;
    int host, n, all = 0;
    for (int i = 0; i < 40; i++)
        r[i] = record(i);
    dt_watch_net_send(zero, DT_WATCH_STATE, r, 1); /* nobody was heard of yet */
    T_CHECK(is_silent(one) && is_silent(two));

    dt_watch_net_send(one, DT_WATCH_STATE, r, 40); /* more than one datagram takes */
    while (all < 40 && T_CHECK(receive(zero, &message, &host, &n))) {
        T_CHECK(host == 1 && message == DT_WATCH_STATE);
        T_CHECK(n > 0 && memcmp(got, r + all, (size_t)n * sizeof *r) == 0);
        all += n;
    }
    T_CHECK(all == 40);
    dt_watch_net_send(zero, DT_WATCH_END, r, 1);
    T_CHECK(receive(one, &message, &host, &n) && message == DT_WATCH_END && host == 0 && n == 1);
    T_CHECK(is_silent(two));

    dt_watch_net_send(two, DT_WATCH_STATE, NULL, 0);
    T_CHECK(receive(zero, &message, &host, &n) && host == 2 && n == 0);
    dt_watch_net_send(zero, DT_WATCH_STATE, r, 1);
    T_CHECK(receive(one, &message, &host, &n) && message == DT_WATCH_STATE);
    T_CHECK(receive(two, &message, &host, &n) && memcmp(got, r, sizeof *r) == 0);
}

/* Whatever else comes to the port is not heard. */
static void test_strangers(dt_watch_net *zero) {
    struct { /* as watch_net.c has it */
        uint64_t job;
        uint32_t message;
        int32_t host;
        uint32_t n, unused;
        dt_watch_record r[17];
    } d = {.job = 77, .message = DT_WATCH_END, .host = 1, .n = 1};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = hub.port};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    size_t head = 24, one = sizeof d.r[0];
    const struct {
        uint64_t job;
        int host;
        uint32_t n;
        size_t nbytes;
    } wrong[] = {{76, 1, 1, head + one},  {77, 0, 1, head + one},       {77, 3, 1, head + one},
                 {77, -1, 1, head + one}, {77, 1, 2, head + one},       {77, 1, 1, head + 2 * one},
                 {77, 1, 1, head - 1},    {77, 1, 17, head + 17 * one}, {77, 1, 1, 0}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        d.job = wrong[i].job;
        d.host = wrong[i].host;
        d.n = wrong[i].n;
        T_CHECK(sendto(fd, &d, wrong[i].nbytes, 0, (struct sockaddr *)&to, sizeof to) ==
                (ssize_t)wrong[i].nbytes);
        T_CHECK(is_silent(zero));
    }
    dt_watch_message message;
    int host, n;
    d.n = 1;
    d.host = 1;
    T_CHECK(sendto(fd, &d, head + one, 0, (struct sockaddr *)&to, sizeof to) > 0);
    T_CHECK(receive(zero, &message, &host, &n) && message == DT_WATCH_END && host == 1);
    close(fd);
}

static long allowed_buffer(void) {
    long nbytes = 0;
    FILE *f = fopen("/proc/sys/net/core/rmem_max", "r");
    if (f && fscanf(f, "%ld", &nbytes) != 1)
        nbytes = 0;
    if (f)
        fclose(f);
    return nbytes;
}

/* What a thousand hosts say while rank 0 does not look is all there when it does, if the system
 * allows a buffer for it. tests/test_watch_many.c: that it looks all the time. */
static void test_many(void) {
    enum { HOSTS = 1001 };
    static bool heard[HOSTS];
    dt_watch_hub many = {.job = 78};
    dt_watch_net *zero, *host;
    if (allowed_buffer() < 1 << 20)
        return;
    T_OK(dt_watch_net_listen(&many, HOSTS, &zero));
    many.n_addresses = 1;
    many.address[0] = htonl(INADDR_LOOPBACK);
    for (int i = 1; i < HOSTS; i++) {
        const dt_watch_record r = record(i);
        T_OK(dt_watch_net_connect(&many, i, &host));
        dt_watch_net_send(host, DT_WATCH_STATE, &r, 1);
        dt_watch_net_close(&host);
    }
    dt_watch_message message;
    int from, n, n_heard = 0;
    while (dt_watch_net_receive(zero, &message, &from, got, MOST, &n)) {
        T_CHECK(!heard[from] && n == 1 && got[0].rank == from);
        heard[from] = true;
        n_heard++;
    }
    T_CHECK(n_heard == HOSTS - 1);
    dt_watch_net_close(&zero);
}

/* Rank 0's host may be reached at several addresses: all are tried until one answers. */
static void test_addresses(void) {
    dt_watch_hub two_ways = {.job = 79};
    dt_watch_net *zero, *one;
    dt_watch_record r = record(1);
    dt_watch_message message;
    int host, n;
    T_OK(dt_watch_net_listen(&two_ways, 2, &zero));
    two_ways.n_addresses = 2;
    two_ways.address[0] = htonl(INADDR_LOOPBACK);
    two_ways.address[1] = htonl(INADDR_LOOPBACK + 1); /* the same host, as all of 127.0.0.0/8 */
    T_OK(dt_watch_net_connect(&two_ways, 1, &one));
    dt_watch_net_send(one, DT_WATCH_STATE, &r, 1);
    T_CHECK(receive(zero, &message, &host, &n) && receive(zero, &message, &host, &n));
    T_CHECK(is_silent(zero));
    dt_watch_net_send(zero, DT_WATCH_STATE, &r, 1);
    T_CHECK(receive(one, &message, &host, &n));
    dt_watch_net_send(one, DT_WATCH_STATE, &r, 1);
    T_CHECK(receive(zero, &message, &host, &n) && is_silent(zero));
    for (int i = 0; i < 5; i++) { /* that one seems to lead nowhere now */
        dt_watch_net_send(zero, DT_WATCH_STATE, &r, 1);
        T_CHECK(receive(one, &message, &host, &n));
    }
    dt_watch_net_send(one, DT_WATCH_STATE, &r, 1);
    T_CHECK(receive(zero, &message, &host, &n) && receive(zero, &message, &host, &n));
    dt_watch_net_close(&one);
    dt_watch_net_close(&zero);
}

int main(void) {
    T_BEGIN(30);
    dt_watch_net *zero, *one, *two;
    T_OK(dt_watch_net_listen(&hub, 3, &zero));
    T_CHECK(hub.port != 0 && hub.n_addresses > 0);
    hub.n_addresses = 1; /* one way is enough here */
    hub.address[0] = htonl(INADDR_LOOPBACK);
    T_OK(dt_watch_net_connect(&hub, 1, &one));
    T_OK(dt_watch_net_connect(&hub, 2, &two));
    test_both_ways(zero, one, two);
    test_strangers(zero);
    test_many();
    test_addresses();
    dt_watch_net_close(&two);
    dt_watch_net_close(&one);
    dt_watch_net_close(&zero);
    dt_watch_net_close(&zero);
    return t_finish();
}
