/* tests/test_watch_many.c - rank 0's watcher hears of a thousand hosts, of which each speaks once
 * between two of its looks: more than the system keeps for a socket by default. The watcher is a
 * file of its own here, as only its thread does that, and a thousand ranks to start it are not at
 * hand. */
#include "t.h"

#include <arpa/inet.h>

#include "dist/watchdog.c"

enum { HOSTS = 1000, SMALL = 100000 };

static const double PERIOD = 1.5;

static int count_known(dt_watchdog *w) {
    int n = 0;
    pthread_mutex_lock(&w->lock);
    for (int r = 1; r <= HOSTS; r++)
        n += w->view->states[r].known;
    pthread_mutex_unlock(&w->lock);
    return n;
}

int main(void) {
    T_BEGIN(30);
    dt_watchdog w = {.timeout = 60, .period = PERIOD, .lock = PTHREAD_MUTEX_INITIALIZER};
    dt_watch_hub hub = {.job = 7};
    w.view = view_new(0, HOSTS + 1);
    w.wake = eventfd(0, EFD_CLOEXEC);
    T_CHECK(w.view && w.wake >= 0 && see_self(w.view));
    T_OK(dt_watch_net_listen(&hub, HOSTS + 1, &w.view->net));
    const int small = SMALL; /* whatever the system would allow */
    T_CHECK(setsockopt(dt_watch_net_fd(w.view->net), SOL_SOCKET, SO_RCVBUF, &small, sizeof small) ==
            0);
    hub.n_addresses = 1;
    hub.address[0] = htonl(INADDR_LOOPBACK);
    T_CHECK(dt_thread_start(&w.thread, watch, &w) == 0);
    nap(PERIOD / 3); /* past its first look */

    double begin = dt_now();
    for (int i = 1; i <= HOSTS; i++) {
        dt_watch_net *host;
        const dt_watch_record r = {.rank = i, .words = {[ALIVE] = 1}};
        T_OK(dt_watch_net_connect(&hub, i, &host));
        dt_watch_net_send(host, DT_WATCH_STATE, &r, 1);
        dt_watch_net_close(&host);
        nap(PERIOD / 4 / HOSTS);
    }
    while (count_known(&w) < HOSTS && dt_now() < begin + 2 * PERIOD)
        nap(0.01);
    T_CHECK(count_known(&w) == HOSTS);

    const uint64_t one = 1;
    T_CHECK(write(w.wake, &one, sizeof one) == sizeof one);
    pthread_join(w.thread, NULL);
    view_free(&w.view);
    close(w.wake);
    return t_finish();
}
