/* dist/watchdog.c - the watcher's thread. See watchdog.h.
 *
 * Of every rank there is its record of progress (io/progress.h) and a counter of its watcher, which
 * says that the process runs at all. Watchers read those of the others, by their own clock note
 * when each changed last, and judge (dist/watch_judge.c). Both lie in memory that the host's ranks
 * share: a memfd of the lowest of them, which the others open by way of /proc, so that no name has
 * to be removed. Ranks of one host that cannot share it count as several hosts. What other hosts
 * are told, in eight words a rank, may be as old as the pause between two looks.
 *
 * Who finds a rank late claims the word for it on its host, says so, tells the other hosts, and
 * gives the launcher a moment to pass the line on before it leaves. */
#include "dist/watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dist/comm_impl.h"
#include "dist/watch_judge.h"
#include "dist/watch_net.h"
#include "io/clock.h"
#include "io/log.h"
#include "io/thread.h"

enum { ALIVE, TICKS, WRITER_TICKS, COLLECTIVES, STEP, WHAT, PROCESS, N_WORDS = DT_WATCH_WORDS };
enum { MOST_RECORDS = 64, FAREWELLS = 3 };

static const double REMOTE_GRACE = 0.25; /* so that a witness on the same host is heard before */
static const double OWN_GRACE = 0.5;     /* a late rank leaves it to others to name it */
static const double CONNECT_SECONDS = 3;
static const double SPEAKER_LEAVES = 0.3, OTHERS_LEAVE = 0.6;

typedef struct { /* in shared memory, on cache lines of its own */
    _Alignas(64) unsigned char progress[DT_PROGRESS_BYTES];
    _Alignas(64) _Atomic uint64_t alive; /* 0: nobody is here yet */
    _Atomic uint64_t process;
} slot;

typedef struct {
    _Atomic uint64_t id;   /* of the job and host, random */
    _Atomic int is_ending; /* some watcher has found a rank late */
    slot slots[];
} board;

typedef struct { /* of one rank, as this watcher saw it */
    uint64_t words[N_WORDS];
    double heard, worked, wrote;
} sight;

typedef struct { /* whom this watcher sees, and by what way */
    int rank, size;
    bool is_meeting; /* all ranks are about to be seen: one that is not is late, too */
    board *board;    /* of this host's ranks */
    size_t board_bytes;
    int n_local, *local; /* [n_local] their numbers in the group, ascending; slots in this order */
    int own;             /* this rank's slot */
    sight *sights;       /* [size] */
    dt_watch_state *states; /* [size] */
    char (*hosts)[DT_HOST_MAX];
    dt_watch_net *net; /* the leader's, with several hosts */
} view;

struct dt_watchdog {
    double timeout, period;
    pthread_t thread;
    int wake; /* an eventfd, to end the thread */
    pthread_mutex_t lock;
    view *view;
    int first_rank;       /* of this process, before there is a group */
    double suspects_self; /* since when this rank itself is the late one; 0: it is not */
};

static atomic_bool is_ending;

bool dt_watchdog_is_ending(void) {
    return atomic_load(&is_ending);
}

/* --- words ------------------------------------------------------------------------------------ */

static void read_slot(const view *v, int i, uint64_t words[N_WORDS]) {
    slot *s = &v->board->slots[i];
    words[ALIVE] = atomic_load(&s->alive); /* before the record, which a new place is filled with */
    dt_progress p = dt_progress_read(s->progress);
    words[TICKS] = p.ticks;
    words[WRITER_TICKS] = p.writer_ticks;
    words[COLLECTIVES] = p.collectives;
    words[STEP] = (uint64_t)p.step;
    words[WHAT] = (uint64_t)p.phase | (uint64_t)p.last_collective << 8 | (uint64_t)p.waiting << 16 |
                  (uint64_t)p.in_output << 17 | (uint64_t)p.writing << 18;
    words[PROCESS] = atomic_load_explicit(&s->process, memory_order_relaxed);
}

static dt_progress unpack(const uint64_t words[N_WORDS]) {
    uint64_t what = words[WHAT], phase = what & 0xff;
    return (dt_progress){.ticks = words[TICKS],
                         .writer_ticks = words[WRITER_TICKS],
                         .collectives = words[COLLECTIVES],
                         .step = (int64_t)words[STEP],
                         .phase = phase < DT_N_PHASES ? (dt_phase)phase : DT_PHASE_END,
                         .last_collective = (int)(what >> 8 & 0xff),
                         .waiting = what >> 16 & 1,
                         .in_output = what >> 17 & 1,
                         .writing = what >> 18 & 1};
}

static void publish(const view *v) {
    slot *own = &v->board->slots[v->own];
    atomic_store_explicit(&own->process, (uint64_t)getpid(), memory_order_relaxed);
    atomic_fetch_add(&own->alive, 1);
}

static bool is_seen(const view *v, int rank) {
    return v->sights[rank].words[ALIVE] > 0;
}

/* Of words that a rank has published, at whatever time they arrive. */
static void note(view *v, int rank, const uint64_t words[N_WORDS], double now) {
    sight *s = &v->sights[rank];
    bool is_new = s->words[ALIVE] == 0;
    bool worked = words[TICKS] != s->words[TICKS] || words[WHAT] != s->words[WHAT];
    bool wrote = words[WRITER_TICKS] != s->words[WRITER_TICKS];
    if (words[ALIVE] == 0) /* nothing there yet */
        return;
    if (is_new || words[ALIVE] != s->words[ALIVE])
        s->heard = now;
    if (is_new || worked)
        s->worked = now;
    if (is_new || wrote)
        s->wrote = now;
    memcpy(s->words, words, sizeof s->words);
}

/* --- telling other hosts ---------------------------------------------------------------------- */

/* The leader of a host tells of all its ranks, rank 0 of itself. */
static void tell(const view *v, dt_watch_message message) {
    dt_watch_record records[MOST_RECORDS];
    int n = v->rank == 0 ? 1 : v->n_local;
    for (int i = 0; i < n; i += MOST_RECORDS) {
        int k = 0;
        for (; k < MOST_RECORDS && i + k < n; k++) {
            records[k].rank = v->local[i + k];
            read_slot(v, i + k, records[k].words);
        }
        dt_watch_net_send(v->net, message, records, k);
    }
}

static void hear(view *v, double now) {
    dt_watch_record records[MOST_RECORDS];
    dt_watch_message message;
    int host, n;
    while (dt_watch_net_receive(v->net, &message, &host, records, MOST_RECORDS, &n)) {
        for (int i = 0; i < n; i++)
            if (records[i].rank >= 0 && records[i].rank < v->size)
                note(v, records[i].rank, records[i].words, now);
        if (message == DT_WATCH_END)
            atomic_store(&v->board->is_ending, 1);
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

static void nap(double seconds) {
    struct timespec left = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)(1e9 * (seconds - (double)(time_t)seconds))};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

/* What the system says of a process of this host; "" if it says nothing that helps. */
static void describe_process(uint64_t process, char *text, size_t nbytes) {
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/%llu/stat", (unsigned long long)process);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    if (fd >= 0)
        close(fd);
    const char *state = n > 0 ? strrchr(line, ')') : NULL;
    text[0] = '\0';
    if (fd < 0)
        snprintf(text, nbytes, "its process %llu is gone", (unsigned long long)process);
    else if (state && (state[2] == 'T' || state[2] == 't'))
        snprintf(text, nbytes, "its process %llu is stopped, by a signal or a debugger",
                 (unsigned long long)process);
    else if (state && state[2] == 'D')
        snprintf(text, nbytes, "its process %llu is blocked in the system, by a disk or network",
                 (unsigned long long)process);
}

static void speak(const dt_watchdog *w, const dt_watch_verdict *verdict) {
    const view *v = w->view;
    int rank = verdict->rank < 0 ? 0 : verdict->rank;
    char state[96] = "", text[DT_ERROR_MAX];
    const dt_progress at = v->states[rank].at;
    for (int i = 0; i < v->n_local; i++)
        if (v->local[i] == rank && is_seen(v, rank))
            describe_process(v->sights[rank].words[PROCESS], state, sizeof state);
    dt_watch_details details = {.host = v->hosts[rank],
                                .collective =
                                    at.collectives ? dt_comm_word(at.last_collective) : NULL,
                                .process_state = state,
                                .timeout = w->timeout};
    dt_watch_verdict told = *verdict;
    if (v->size == 1)
        told.rank = w->first_rank;
    dt_watch_sentence(&told, &at, &details, text, sizeof text);
    dt_log_urgent(text);
}

/* Does not return. verdict: of this watcher; NULL: another one's. */
static void end_job(const dt_watchdog *w, const dt_watch_verdict *verdict) {
    const view *v = w->view;
    dt_exit_soon(DT_EPEER); /* stderr may be blocked as well */
    atomic_store(&is_ending, true);
    bool speaks = verdict && atomic_exchange(&v->board->is_ending, 1) == 0;
    if (speaks)
        speak(w, verdict);
    for (int i = 0; v->net && i < FAREWELLS; i++)
        tell(v, DT_WATCH_END);
    nap(speaks ? SPEAKER_LEAVES : OTHERS_LEAVE);
    _exit(DT_EPEER);
}

/* --- watching --------------------------------------------------------------------------------- */

static bool is_local(const view *v, int rank) {
    for (int i = 0; i < v->n_local; i++)
        if (v->local[i] == rank)
            return true;
    return false;
}

static void judge(dt_watchdog *w, double now) {
    view *v = w->view;
    for (int r = 0; r < v->size; r++) {
        dt_watch_state *s = &v->states[r];
        double grace = is_local(v, r) ? 0 : REMOTE_GRACE;
        s->known = v->is_meeting || is_seen(v, r);
        s->at = unpack(v->sights[r].words);
        s->silent = now - v->sights[r].heard - grace;
        s->quiet = now - v->sights[r].worked - grace;
        s->writer_quiet = now - v->sights[r].wrote - grace;
    }
    dt_watch_verdict verdict = dt_watch_judge(v->states, v->size, w->timeout);
    if (verdict.kind == DT_WATCH_FINE) {
        w->suspects_self = 0;
        return;
    }
    if (verdict.rank == v->rank && v->size > 1) {
        w->suspects_self = w->suspects_self > 0 ? w->suspects_self : now;
        if (now - w->suspects_self < OWN_GRACE)
            return;
    }
    end_job(w, &verdict);
}

/* Time in which this watcher did not run says nothing about others. */
static void discount(view *v, double gap) {
    for (int r = 0; r < v->size; r++) {
        v->sights[r].heard += gap;
        v->sights[r].worked += gap;
        v->sights[r].wrote += gap;
    }
}

static void look(dt_watchdog *w, double now) {
    view *v = w->view;
    uint64_t words[N_WORDS];
    publish(v);
    for (int i = 0; i < v->n_local; i++) {
        read_slot(v, i, words);
        note(v, v->local[i], words, now);
    }
    if (v->net) {
        hear(v, now);
        tell(v, DT_WATCH_STATE);
    }
    if (atomic_load(&v->board->is_ending))
        end_job(w, NULL);
    judge(w, now);
}

/* Until the next look. What other hosts say is heard as it comes: of a thousand of them the
 * system would not keep it until then. false: it is over. */
static bool rest(dt_watchdog *w, double until) {
    double left;
    do {
        pthread_mutex_lock(&w->lock);
        int fd = w->view->net ? dt_watch_net_fd(w->view->net) : -1;
        pthread_mutex_unlock(&w->lock);
        struct pollfd any[] = {{.fd = w->wake, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
        left = until - dt_now();
        int n = poll(any, 2, left > 0 ? (int)(1e3 * left) + 1 : 0);
        if (n > 0 && any[0].revents != 0)
            return false;
        left = until - dt_now();
        if (n > 0 && left > 0) { /* else the next look hears, which knows of time without us */
            pthread_mutex_lock(&w->lock);
            hear(w->view, dt_now());
            pthread_mutex_unlock(&w->lock);
        }
    } while (left > 0);
    return true;
}

static void *watch(void *arg) {
    dt_watchdog *w = arg;
    double next = dt_now(); /* when this should have run again */
    do {
        double now = dt_now();
        pthread_mutex_lock(&w->lock);
        if (now - next > w->timeout / 4)
            discount(w->view, now - next);
        look(w, now);
        next = now + w->period;
        pthread_mutex_unlock(&w->lock);
    } while (rest(w, next));
    return NULL;
}

/* --- a view ----------------------------------------------------------------------------------- */

static void view_free(view **view_) {
    view *v = *view_;
    if (!v)
        return;
    dt_watch_net_close(&v->net);
    if (v->board)
        munmap(v->board, v->board_bytes);
    free(v->local);
    free(v->sights);
    free(v->states);
    free(v->hosts);
    free(v);
    *view_ = NULL;
}

static view *view_new(int rank, int size) {
    view *v = calloc(1, sizeof *v);
    if (!v)
        return NULL;
    v->rank = rank;
    v->size = size;
    v->local = calloc((size_t)size, sizeof *v->local);
    v->sights = calloc((size_t)size, sizeof *v->sights);
    v->states = calloc((size_t)size, sizeof *v->states);
    v->hosts = calloc((size_t)size, sizeof *v->hosts);
    if (!v->local || !v->sights || !v->states || !v->hosts)
        view_free(&v);
    return v;
}

/* A board of n slots: this process's own, or what fd leads to. */
static bool map_board(view *v, int n, int fd) {
    size_t nbytes = sizeof(board) + (size_t)n * sizeof(slot);
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void *p = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (p == MAP_FAILED)
        return false;
    if (v->board)
        munmap(v->board, v->board_bytes);
    v->board = p;
    v->board_bytes = nbytes;
    return true;
}

/* Of this process alone. */
static bool see_self(view *v) {
    v->n_local = 1;
    v->local[0] = v->rank;
    v->own = 0;
    return map_board(v, 1, -1);
}

/* --- meeting the others ----------------------------------------------------------------------- */

typedef struct { /* what a leader tells of its board */
    int64_t process;
    int32_t fd;
    uint64_t id;
} offer;

static uint64_t draw(void) {
    uint64_t number = 0;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        number = (uint64_t)getpid() << 32 ^ (uint64_t)time(NULL);
    return number | 1;
}

/* The leader's board, open under mine->fd until all have mapped it; -1 on failure. */
static void make_board(view *v, offer *mine) {
    size_t nbytes = sizeof(board) + (size_t)v->n_local * sizeof(slot);
    mine->process = getpid();
    mine->id = draw();
    mine->fd = memfd_create("dtrain-watchdog", MFD_CLOEXEC);
    if (mine->fd >= 0 && ftruncate(mine->fd, (off_t)nbytes) == 0 &&
        map_board(v, v->n_local, mine->fd)) {
        atomic_store(&v->board->id, mine->id);
        return;
    }
    if (mine->fd >= 0)
        close(mine->fd);
    mine->fd = -1;
}

/* false: this rank does not see the leader's board, be it that it sees other processes. */
static bool open_board(view *v, const offer *its) {
    char path[64];
    if (its->fd < 0 || v->own == 0)
        return its->fd >= 0;
    snprintf(path, sizeof path, "/proc/%lld/fd/%d", (long long)its->process, (int)its->fd);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat st;
    size_t nbytes = sizeof(board) + (size_t)v->n_local * sizeof(slot);
    bool ok = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
              st.st_size == (off_t)nbytes && map_board(v, v->n_local, fd);
    if (fd >= 0)
        close(fd);
    return ok && atomic_load(&v->board->id) == its->id;
}

static void find_local(view *v, const dt_comm *comm) {
    int host = dt_comm_host_of(comm, v->rank);
    v->n_local = 0;
    for (int r = 0; r < v->size; r++) {
        memcpy(v->hosts[r], dt_comm_host(comm, r), DT_HOST_MAX);
        if (r == v->rank)
            v->own = v->n_local;
        if (dt_comm_host_of(comm, r) == host)
            v->local[v->n_local++] = r;
    }
}

/* leaders: [size] of each rank. All ranks of a host have its board, or each is on its own. */
static void find_leaders(const view *v, const dt_comm *comm, const int32_t *has_board,
                         int32_t *leaders) {
    for (int r = 0; r < v->size; r++) {
        bool together = true;
        leaders[r] = -1;
        for (int q = 0; q < v->size; q++) {
            if (dt_comm_host_of(comm, q) != dt_comm_host_of(comm, r))
                continue;
            leaders[r] = leaders[r] < 0 ? q : leaders[r];
            together = together && has_board[q];
        }
        leaders[r] = together ? leaders[r] : r;
    }
}

/* The watcher goes on with *v, this process's record in its board; *v becomes what it had. From
 * here on all ranks are to be seen. */
static void swap_view(dt_watchdog *w, view **v) {
    pthread_mutex_lock(&w->lock);
    view *before = w->view;
    w->view = *v;
    double now = dt_now();
    for (int r = 0; r < w->view->size; r++)
        w->view->sights[r] = (sight){.heard = now, .worked = now, .wrote = now};
    w->view->is_meeting = true;
    *v = before;
    dt_progress_move(w->view->board->slots[w->view->own].progress);
    look(w, now);
    pthread_mutex_unlock(&w->lock);
}

/* On its own after all: the board is not everybody's. */
static dt_status leave_board(dt_watchdog *w) {
    const view *was = w->view;
    view *v = view_new(was->rank, was->size);
    if (!v || !see_self(v)) {
        view_free(&v);
        return dt_fail(DT_EDEVICE, "no memory for the watchdog");
    }
    memcpy(v->hosts, was->hosts, (size_t)v->size * sizeof *v->hosts);
    swap_view(w, &v);
    view_free(&v);
    return DT_OK;
}

/* Collective: boards for the hosts, and who leads. *v goes to the watcher as soon as there is a
 * board, so that from then on others are seen. */
static dt_status share_boards(dt_watchdog *w, view **v_, dt_comm *comm, int32_t *leaders) {
    view *v = *v_;
    offer mine = {.fd = -1}, *offers = calloc((size_t)v->size, sizeof *offers);
    int32_t ok = 0, *all_ok = calloc((size_t)v->size, sizeof *all_ok);
    dt_status status =
        offers && all_ok ? DT_OK : dt_fail(DT_EDEVICE, "no memory to watch %d ranks", v->size);
    DT_TRY_GOTO(status, dt_comm_agree(comm, status), done);
    if (v->own == 0)
        make_board(v, &mine);
    DT_TRY_GOTO(status, dt_comm_allgather(comm, &mine, sizeof mine, offers), done);
    ok = open_board(v, &offers[v->local[0]]);
    bool is_alone = !ok;
    if (is_alone && !see_self(v))
        status = dt_fail(DT_EDEVICE, "no memory for the watchdog");
    if (status == DT_OK) /* before anybody is waited for: it may have stopped by now */
        swap_view(w, v_);
    DT_TRY_GOTO(status, dt_comm_agree(comm, status), done);
    DT_TRY_GOTO(status, dt_comm_allgather(comm, &ok, sizeof ok, all_ok), done);
    find_leaders(w->view, comm, all_ok, leaders);
    for (int i = 0; i < w->view->n_local; i++)
        is_alone = is_alone || !all_ok[w->view->local[i]];
    if (ok && is_alone)
        status = leave_board(w);
    status = dt_comm_agree(comm, status);
done:
    if (mine.fd >= 0)
        close(mine.fd);
    free(offers);
    free(all_ok);
    return status;
}

/* Leaders and rank 0 say and hear until they know of each other, or for CONNECT_SECONDS; if that is
 * long, for half of the time-out. */
static bool meet(dt_watchdog *w, const int32_t *leaders) {
    view *v = w->view;
    double longest = w->timeout / 2 < CONNECT_SECONDS ? w->timeout / 2 : CONNECT_SECONDS;
    double end = dt_now() + longest;
    bool all_there = false;
    while (v->net && !all_there && dt_now() < end) {
        pthread_mutex_lock(&w->lock);
        look(w, dt_now());
        all_there = is_seen(v, 0);
        for (int r = 0; v->rank == 0 && r < v->size; r++)
            all_there = all_there && (leaders[r] != r || is_seen(v, r));
        pthread_mutex_unlock(&w->lock);
        nap(0.005);
    }
    return all_there;
}

static void warn_of_unreached(const view *v, const int32_t *leaders, const int32_t *reached) {
    for (int r = 1; r < v->size; r++)
        if (leaders[r] == r && !reached[r]) {
            dt_warn("the watchdog's datagrams (UDP) do not get through between %s and %s: a host "
                    "or rank that stops as a whole may go unnoticed; is there a firewall?",
                    v->hosts[0], v->hosts[r]);
            return;
        }
}

static int count_leaders(const int32_t *leaders, int size, int below) {
    int n = 0;
    for (int r = 0; r < size && r < below; r++)
        n += leaders[r] == r;
    return n;
}

static void set_net(dt_watchdog *w, dt_watch_net *net) {
    pthread_mutex_lock(&w->lock);
    w->view->net = net;
    pthread_mutex_unlock(&w->lock);
}

/* Collective. A host without a socket only does not hear of others. */
static dt_status join_hosts(dt_watchdog *w, dt_comm *comm, const int32_t *leaders) {
    int rank = w->view->rank, size = w->view->size, n_hosts = count_leaders(leaders, size, size);
    dt_watch_hub hub = {.job = draw()};
    dt_watch_net *net = NULL;
    int32_t *reached = calloc((size_t)size, sizeof *reached), mine = 0;
    dt_status status = reached ? DT_OK : dt_fail(DT_EDEVICE, "no memory to watch %d ranks", size);
    DT_TRY_GOTO(status, dt_comm_agree(comm, status), done);
    if (rank == 0 && dt_watch_net_listen(&hub, n_hosts, &net) != DT_OK)
        dt_warn("%s", dt_error());
    DT_TRY_GOTO(status, dt_comm_bcast(comm, &hub, sizeof hub, 0), done);
    if (rank != 0 && leaders[rank] == rank && hub.n_addresses > 0 &&
        dt_watch_net_connect(&hub, count_leaders(leaders, size, rank), &net) != DT_OK)
        dt_warn("%s", dt_error());
    set_net(w, net);
    net = NULL;
    mine = meet(w, leaders);
    DT_TRY_GOTO(status, dt_comm_allgather(comm, &mine, sizeof mine, reached), done);
    if (rank == 0)
        warn_of_unreached(w->view, leaders, reached);
done:
    dt_watch_net_close(&net);
    free(reached);
    return status;
}

static dt_status connect_ranks(dt_watchdog *w, dt_comm *comm) {
    int size = dt_comm_size(comm);
    view *v = view_new(dt_comm_rank(comm), size);
    int32_t *leaders = calloc((size_t)size, sizeof *leaders);
    dt_status status =
        v && leaders ? DT_OK : dt_fail(DT_EDEVICE, "no memory to watch %d ranks", size);
    DT_TRY_GOTO(status, dt_comm_agree(comm, status), done);
    find_local(v, comm);
    DT_TRY_GOTO(status, share_boards(w, &v, comm, leaders), done);
    if (count_leaders(leaders, size, size) > 1)
        status = join_hosts(w, comm, leaders);
    pthread_mutex_lock(&w->lock);
    w->view->is_meeting = false; /* a host that cannot be heard is watched by nobody else */
    pthread_mutex_unlock(&w->lock);
done:
    view_free(&v);
    free(leaders);
    return status;
}

/* --- start and end ---------------------------------------------------------------------------- */

static void set_timeout(dt_watchdog *w, double timeout) {
    double period = timeout / 20;
    w->timeout = timeout;
    w->period = period < 0.02 ? 0.02 : period > 0.5 ? 0.5 : period;
}

static void destroy(dt_watchdog **watchdog) {
    dt_watchdog *w = *watchdog;
    dt_progress_move(NULL);
    view_free(&w->view);
    if (w->wake >= 0)
        close(w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
    *watchdog = NULL;
}

dt_status dt_watchdog_open(double timeout, int rank, dt_watchdog **out) {
    *out = NULL;
    if (timeout <= 0)
        return DT_OK;
    dt_watchdog *w = *out = calloc(1, sizeof *w);
    if (!w)
        return dt_fail(DT_EDEVICE, "no memory for the watchdog");
    pthread_mutex_init(&w->lock, NULL);
    set_timeout(w, timeout);
    w->wake = eventfd(0, EFD_CLOEXEC);
    w->first_rank = rank;
    w->view = view_new(0, 1);
    int failed = w->wake < 0 ? errno : 0;
    if (!failed && (!w->view || !see_self(w->view)))
        failed = ENOMEM;
    if (!failed) {
        dt_host_name(w->view->hosts[0]);
        dt_progress_move(w->view->board->slots[0].progress);
        failed = dt_thread_start(&w->thread, watch, w);
    }
    if (!failed)
        return DT_OK;
    destroy(out);
    return dt_fail(DT_EDEVICE, "cannot start the watchdog: %s", strerror(failed));
}

dt_status dt_watchdog_connect(dt_watchdog **watchdog, dt_comm *comm) {
    double timeout = *watchdog ? (*watchdog)->timeout : 0;
    DT_TRY(dt_comm_bcast(comm, &timeout, sizeof timeout, 0));
    if (timeout <= 0) {
        dt_watchdog_close(watchdog);
        return DT_OK;
    }
    dt_status status = *watchdog ? DT_OK : dt_watchdog_open(timeout, dt_comm_rank(comm), watchdog);
    DT_TRY(dt_comm_agree(comm, status));
    pthread_mutex_lock(&(*watchdog)->lock);
    set_timeout(*watchdog, timeout);
    pthread_mutex_unlock(&(*watchdog)->lock);
    return dt_comm_size(comm) > 1 ? connect_ranks(*watchdog, comm) : DT_OK;
}

/* Is a rank of this host still on its way out? */
static bool is_missed(const view *v) {
    for (int i = 0; i < v->n_local; i++) {
        uint64_t words[N_WORDS];
        read_slot(v, i, words);
        if (words[ALIVE] > 0 && unpack(words).phase != DT_PHASE_GONE)
            return true;
    }
    return false;
}

/* This rank has left; its watcher stays until all of its host have, or one of them is late. Who
 * left at once would leave nobody to miss a rank that stops after the last collective, and the
 * launcher waits for that one for ever. */
static void leave(dt_watchdog *w) {
    pthread_mutex_lock(&w->lock);
    dt_progress_phase(DT_PHASE_GONE);
    publish(w->view);
    for (int i = 0; w->view->net && i < FAREWELLS; i++)
        tell(w->view, DT_WATCH_STATE);
    while (is_missed(w->view)) {
        pthread_mutex_unlock(&w->lock);
        nap(0.001);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
}

void dt_watchdog_close(dt_watchdog **watchdog) {
    dt_watchdog *w = *watchdog;
    uint64_t one = 1;
    if (!w)
        return;
    leave(w);
    while (write(w->wake, &one, sizeof one) < 0 && errno == EINTR)
        continue;
    pthread_join(w->thread, NULL);
    destroy(watchdog);
}
