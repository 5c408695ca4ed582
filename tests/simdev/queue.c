/* tests/simdev/queue.c - what is queued, and the one thread that runs it.
 *
 * SIMDEV_SCHED chooses among the orders that CUDA allows:
 *   eager    as the program queued it, at once: what a careless test sees
 *   lazy     only when somebody waits, and the newest stream first: whoever forgot to wait loses
 *   random   any order that is allowed, by SIMDEV_SEED
 * Operations run one at a time; clocks tell whether two of them could have run together. An
 * operation that waits for another process is polled, while other streams go on. */
#include "queue.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

enum { NAMES = 4096, NANOSECONDS = 1000000000, PATIENCE_NS = 2000000, BURST = 16 };

pthread_mutex_t sim_lock = PTHREAD_MUTEX_INITIALIZER;
sim_clock sim_host;
sim_actor sim_now;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct CUstream_st legacy;
static bool slots[SIM_SLOTS] = {true};
static uint32_t slot_clocks[SIM_SLOTS]; /* go on when a slot is used again */
static const char *names[SIM_SLOTS][NAMES];
static uint64_t n_queued;
static long n_pending; /* pieces of work that are queued */
static int waiting, nudges;
static enum { EAGER, LAZY, RANDOM } order;
static uint32_t dice;
static cudaError_t sticky;
static __thread cudaError_t last_error;
static sigjmp_buf trap;
static __thread bool trapped; /* only ever on the queue's thread: it runs an operation */

/* ---- clocks and tokens ---- */
void sim_join(sim_clock *to, const sim_clock *from) {
    for (int i = 0; i < SIM_SLOTS; i++)
        if (from->v[i] > to->v[i])
            to->v[i] = from->v[i];
}

sim_token *sim_token_new(void) {
    sim_token *token = calloc(1, sizeof *token);
    if (!token)
        abort();
    token->refs = 1;
    return token;
}

void sim_token_drop(sim_token **token) {
    if (*token && --(*token)->refs == 0)
        free(*token);
    *token = NULL;
}

const char *sim_epoch_name(uint32_t epoch) {
    const char *name = names[epoch >> SIM_CLOCK_BITS][(epoch & SIM_CLOCK_MASK) % NAMES];
    return name ? name : "an operation";
}

/* ---- errors ---- */
cudaError_t sim_sticky(void) {
    return __atomic_load_n(&sticky, __ATOMIC_SEQ_CST);
}

cudaError_t sim_return(cudaError_t error) {
    static int keeps_not_ready = -1;
    if (keeps_not_ready < 0)
        keeps_not_ready = (int)sim_setting("SIMDEV_NOT_READY", 0);
    if (error != cudaSuccess && (error != cudaErrorNotReady || keeps_not_ready))
        last_error = error;
    return error;
}

cudaError_t sim_begin(const char *function, cudaError_t planned) {
    sim_start();
    if (sim_fails(function))
        return planned;
    return sim_sticky();
}

SIM_API cudaError_t cudaGetLastError(void) {
    cudaError_t error = last_error;
    last_error = sim_sticky();
    return error;
}

SIM_API cudaError_t cudaPeekAtLastError(void) {
    return last_error;
}

void sim_fault(const char *format, ...) {
    char text[400], where[120] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (sim_b && sim_t)
        snprintf(where, sizeof where, ", block %u,%u,%u thread %u,%u,%u", sim_b->id[0],
                 sim_b->id[1], sim_b->id[2], sim_t->tid[0], sim_t->tid[1], sim_t->tid[2]);
    sim_violation("in %s%s: %s", sim_now.name ? sim_now.name : "?", where, text);
    if (trapped)
        siglongjmp(trap, 1);
    abort();
}

/* ---- the queue ---- */
static void push_op(cudaStream_t s, sim_op *op) {
    op->number = ++n_queued;
    n_pending += op->kind == SIM_WORK;
    op->host = sim_host;
    if (s->tail)
        s->tail->next = op;
    else
        s->head = op;
    s->tail = op;
    pthread_cond_broadcast(&changed);
}

void sim_push(cudaStream_t s, sim_kind kind, sim_work work, const void *args, size_t nbytes,
              const char *name, sim_token *token) {
    sim_op *op = calloc(1, sizeof *op);
    void *copy = malloc(nbytes + 1);
    if (!op || !copy)
        abort();
    if (nbytes)
        memcpy(copy, args, nbytes);
    op->kind = kind, op->work = work, op->args = copy, op->name = name, op->token = token;
    if (token)
        token->refs++;
    push_op(s, op);
}

static void pop(cudaStream_t s) {
    sim_op *op = s->head;
    s->head = op->next;
    if (!s->head)
        s->tail = NULL;
    n_pending -= op->kind == SIM_WORK;
    sim_token_drop(&op->token);
    free(op->args);
    free(op);
    pthread_cond_broadcast(&changed);
}

/* The legacy stream and the blocking ones wait for each other, in the order of the program. */
static bool ready(const struct CUstream_st *s) {
    const sim_op *op = s->head;
    if (!op || op->again || (op->kind == SIM_WAIT && !op->token->done))
        return false;
    if (s != &legacy)
        return s->nonblocking || !legacy.head || legacy.head->number > op->number;
    for (const struct CUstream_st *o = legacy.next; o; o = o->next)
        if (!o->nonblocking && o->head && o->head->number < op->number)
            return false;
    return true;
}

static uint32_t roll(void) {
    dice ^= dice << 13, dice ^= dice >> 17, dice ^= dice << 5;
    return dice;
}

static cudaStream_t pick(void) {
    cudaStream_t best = NULL;
    uint32_t n = 0;
    for (cudaStream_t s = &legacy; s; s = s->next) {
        if (!ready(s))
            continue;
        n++;
        bool better = !best || (order == EAGER  ? s->head->number < best->head->number
                                : order == LAZY ? s->head->number > best->head->number
                                                : roll() % n == 0);
        if (better)
            best = s;
    }
    return best;
}

/* Everything that this operation comes after. */
static void follow(cudaStream_t s, const sim_op *op) {
    sim_join(&s->clock, &op->host);
    if (op->kind == SIM_WAIT)
        sim_join(&s->clock, &op->token->seen);
    if (s == &legacy) {
        for (cudaStream_t o = legacy.next; o; o = o->next)
            if (!o->nonblocking)
                sim_join(&s->clock, &o->clock);
    } else if (!s->nonblocking) {
        sim_join(&s->clock, &legacy.clock);
    }
}

static uint32_t next_epoch(cudaStream_t s, const char *name) {
    uint32_t count = ++s->clock.v[s->slot];
    if (count >= SIM_CLOCK_MASK) {
        fprintf(stderr, "simdev: more than %u operations in one stream\n", SIM_CLOCK_MASK);
        abort();
    }
    slot_clocks[s->slot] = count;
    names[s->slot][count % NAMES] = name;
    return (uint32_t)s->slot << SIM_CLOCK_BITS | count;
}

/* Run work without the lock; a fault makes the sticky error. */
static int run(cudaStream_t s, sim_op *op) {
    volatile int again = SIM_DONE; /* kept over the jump */
    sim_clock seen = s->clock;
    sim_now = (sim_actor){.epoch = (uint32_t)s->slot << SIM_CLOCK_BITS | s->clock.v[s->slot],
                          .seen = &seen,
                          .name = op->name};
    s->busy = true;
    pthread_mutex_unlock(&sim_lock);
    trapped = true;
    if (sigsetjmp(trap, 1) == 0)
        again = op->work(op->args);
    else
        __atomic_store_n(&sticky, cudaErrorIllegalAddress, __ATOMIC_SEQ_CST);
    trapped = false;
    sim_b = NULL, sim_t = NULL;
    pthread_mutex_lock(&sim_lock);
    s->busy = false;
    return again;
}

static void step(cudaStream_t s) {
    sim_op *op = s->head;
    follow(s, op);
    if (op->kind == SIM_RECORD) {
        op->token->done = true;
        op->token->seen = s->clock;
        clock_gettime(CLOCK_MONOTONIC, &op->token->at);
    } else if (op->kind == SIM_WORK && !sim_sticky()) {
        next_epoch(s, op->name);
        if (run(s, op) == SIM_AGAIN) {
            op->again = true;
            return;
        }
    }
    pop(s);
}

/* Nothing can run: wait for new work, or shortly for other processes. */
static void rest(void) {
    bool polling = false;
    for (cudaStream_t s = &legacy; s; s = s->next)
        if (s->head && s->head->again)
            polling = true, s->head->again = false;
    if (!polling) {
        pthread_cond_wait(&changed, &sim_lock);
        return;
    }
    pthread_mutex_unlock(&sim_lock);
    usleep(100);
    pthread_mutex_lock(&sim_lock);
}

/* Lazy and random: is it time? Somebody waits or polls, or nobody has come for a while. */
static bool time_to_run(void) {
    static int burst;
    if (order == EAGER || waiting || burst > 0) {
        burst -= burst > 0;
        return true;
    }
    if (nudges > 0) {
        nudges--;
        return true;
    }
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += PATIENCE_NS;
    until.tv_sec += until.tv_nsec / NANOSECONDS, until.tv_nsec %= NANOSECONDS;
    if (pthread_cond_timedwait(&changed, &sim_lock, &until) == ETIMEDOUT)
        burst = BURST;
    return false;
}

static void *device(void *unused) {
    (void)unused;
    pthread_mutex_lock(&sim_lock);
    for (;;) {
        cudaStream_t s = pick();
        if (!s)
            rest();
        else if (time_to_run())
            step(s);
    }
    return NULL;
}

/* ---- waiting ---- */
static bool empty(const struct CUstream_st *s) {
    if (s)
        return !s->head;
    for (s = &legacy; s; s = s->next)
        if (s->head)
            return false;
    return true;
}

void sim_wait_empty(cudaStream_t s) {
    waiting++;
    pthread_cond_broadcast(&changed);
    while (!empty(s))
        pthread_cond_wait(&changed, &sim_lock);
    waiting--;
    if (s)
        sim_join(&sim_host, &s->clock);
    else
        for (s = &legacy; s; s = s->next)
            sim_join(&sim_host, &s->clock);
}

/* A driver's queue has an end: whoever launches more waits in the launch. */
void sim_wait_room(void) {
    long most = sim_setting("SIMDEV_QUEUE", 0);
    waiting++;
    while (most > 0 && n_pending >= most) {
        pthread_cond_broadcast(&changed);
        pthread_cond_wait(&changed, &sim_lock);
    }
    waiting--;
}

void sim_wait_token(sim_token *token) {
    token->refs++;
    waiting++;
    pthread_cond_broadcast(&changed);
    while (!token->done)
        pthread_cond_wait(&changed, &sim_lock);
    waiting--;
    sim_join(&sim_host, &token->seen);
    sim_token_drop(&token);
}

bool sim_is_lazy(void) {
    return order == LAZY;
}

void sim_nudge(void) {
    nudges = BURST;
    pthread_cond_broadcast(&changed);
}

cudaError_t sim_drain_all(void) {
    pthread_mutex_lock(&sim_lock);
    cudaError_t error = sim_no_capture("a call that waits for the device");
    if (!error)
        sim_wait_empty(NULL);
    pthread_mutex_unlock(&sim_lock);
    return error ? error : sim_sticky();
}

cudaError_t sim_enqueue(cudaStream_t stream, sim_work work, const void *args, size_t nbytes,
                        const char *name) {
    sim_start();
    if (sim_sticky())
        return sim_return(sim_sticky());
    cudaError_t error = cudaSuccess;
    pthread_mutex_lock(&sim_lock);
    cudaStream_t s = sim_stream(stream);
    if (!s) {
        error = cudaErrorInvalidResourceHandle;
    } else if (s->capture) {
        error = sim_capture_work(s, work, args, nbytes, name);
    } else {
        sim_wait_room();
        sim_push(s, SIM_WORK, work, args, nbytes, name, NULL);
    }
    pthread_mutex_unlock(&sim_lock);
    return sim_return(error);
}

/* ---- streams ---- */
cudaStream_t sim_streams(void) {
    return &legacy;
}

cudaStream_t sim_stream(cudaStream_t handle) {
    if (!handle || handle == cudaStreamLegacy)
        return &legacy;
    for (cudaStream_t s = &legacy; s; s = s->next)
        if (s == handle)
            return s;
    sim_violation("a stream is used that does not exist or was destroyed");
    return NULL;
}

cudaStream_t sim_stream_new(bool nonblocking) {
    int slot = 0;
    while (slot < SIM_SLOTS && slots[slot])
        slot++;
    cudaStream_t s = calloc(1, sizeof *s);
    if (!s || slot == SIM_SLOTS) {
        fprintf(stderr, "simdev: more than %d streams, those of graphs counted\n", SIM_SLOTS);
        abort();
    }
    slots[slot] = true;
    s->nonblocking = nonblocking, s->slot = slot;
    s->clock.v[slot] = slot_clocks[slot];
    s->next = legacy.next;
    legacy.next = s;
    return s;
}

void sim_stream_drop(cudaStream_t s) {
    for (cudaStream_t *p = &legacy.next; *p; p = &(*p)->next)
        if (*p == s) {
            *p = s->next;
            break;
        }
    slots[s->slot] = false;
    free(s);
}

void sim_queue_leaks(int *leaks) {
    pthread_mutex_lock(&sim_lock);
    for (cudaStream_t s = &legacy; s; s = s->next)
        if (s->head && ++*leaks <= 8)
            fprintf(stderr, "simdev[%d]: LEAK: %s is still queued at exit\n", (int)getpid(),
                    s->head->name ? s->head->name : "a wait or record");
    pthread_mutex_unlock(&sim_lock);
}

/* ---- start ---- */
static void on_signal(int number, siginfo_t *info, void *context) {
    (void)context;
    if (trapped && sim_b)
        sim_fault("signal %d at %p", number, info->si_addr);
    if (sim_is_device(info->si_addr)) {
        static const char text[] = "simdev: VIOLATION: the host follows a device pointer\n";
        if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
            _exit(86);
    }
    signal(number, SIG_DFL);
}

static void start_once(void) {
    static char stack[1 << 16];
    const char *name = getenv("SIMDEV_SCHED");
    order = name && !strcmp(name, "lazy") ? LAZY : name && !strcmp(name, "random") ? RANDOM : EAGER;
    dice = (uint32_t)sim_setting("SIMDEV_SEED", 1) * 2654435761u | 1;
    sim_memory_start();
    stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaltstack(&alternative, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
    pthread_t thread;
    if (pthread_create(&thread, NULL, device, NULL) != 0)
        abort();
    pthread_detach(thread);
    atexit(sim_at_exit);
}

void sim_start(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_once);
}
