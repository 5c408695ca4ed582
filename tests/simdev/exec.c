/* tests/simdev/exec.c - runs a grid on the CPU, one block after another.
 *
 * A kernel without barriers runs thread after thread as a plain loop. With barriers or operations
 * of a warp, each thread has a stack of its own, and they take turns wherever they wait; the order
 * is that of SIMDEV_SCHED (lazy: the last thread first). Checked besides: that all threads reach
 * the same barrier, that a warp's operation names lanes that take part, and that between barriers
 * no two threads meet in shared memory unless both read. */
#include "sim.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { READY, AT_BARRIER, AT_WARP, ENDED };
enum { MAX_THREADS = 1024, STACK_BYTES = 64 << 10, SAVED_REGISTERS = 6, LANES = 32 };

typedef struct { /* of one byte of shared memory; phases count from 1, 0: not yet */
    unsigned w, w_phase, r, r_phase;
    int w_line, r_line;
} shadow;
#define SEVERAL (~0u)

sim_thread *sim_t;
sim_block *sim_b;
static sim_thread threads[MAX_THREADS];
static unsigned order[MAX_THREADS];
static unsigned n_at_barrier, n_at_warp;
static void *scheduler;
static const sim_kernel *kernel;
static const unsigned char *parameters;
static shadow *shared_shadow;
static unsigned dice = 88172645;

#ifndef __x86_64__
#error "the switch between threads of a block is written for x86-64"
#endif
/* Save the callee's registers and the stack pointer, and go on with another stack. */
void sim_switch(void **save, void *to);
__asm__(".text\n.globl sim_switch\n.hidden sim_switch\n.type sim_switch,@function\nsim_switch:\n"
        " push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
        " mov %rsp,(%rdi)\n mov %rsi,%rsp\n"
        " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n");

static _Noreturn void thread_main(void) {
    void *unused;
    kernel->thread(parameters);
    sim_t->state = ENDED;
    sim_switch(&unused, scheduler);
    abort();
}

static void yield(int state) {
    sim_thread *me = sim_t;
    me->state = state;
    sim_switch(&me->sp, scheduler);
}

static void resume(sim_thread *t) {
    sim_t = t;
    sim_now.thread = (uint16_t)t->linear;
    if (!t->sp) {
        if (!t->stack)
            t->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (t->stack == MAP_FAILED)
            abort();
        void **sp = (void **)((char *)t->stack + STACK_BYTES) - 3; /* as if called: 16n + 8 */
        *sp = NULL;
        *--sp = (void *)(uintptr_t)thread_main;
        for (int i = 0; i < SAVED_REGISTERS; i++)
            *--sp = NULL;
        t->sp = sp;
    }
    sim_switch(&scheduler, t->sp);
}

uint64_t sim_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- shared memory ---- */
static _Noreturn void shared_race(uint64_t at, const char *verb, int line, unsigned other,
                                  const char *did, int other_line) {
    char who[24];
    snprintf(who, sizeof who, "thread %u", other);
    sim_fault("race in shared memory at %llu: it %s (PTX line %d) what %s %s (line %d) with no "
              "barrier between",
              (unsigned long long)at, verb, line, other == SEVERAL ? "several threads" : who, did,
              other_line);
}

void *sim_shared(uint64_t at, unsigned n, sim_mode mode, int line) {
    if (at + n > sim_b->shared_bytes || at + n < at)
        sim_fault("shared memory out of bounds: %u bytes at %llu of %u (PTX line %d)", n,
                  (unsigned long long)at, sim_b->shared_bytes, line);
    if (at % n)
        sim_fault("misaligned access to shared memory (PTX line %d)", line);
    unsigned me = sim_t->linear, phase = sim_now.phase + 1u;
    bool write = mode != SIM_READ;
    for (uint64_t i = at; i < at + n; i++) {
        shadow *s = &shared_shadow[i];
        if (mode != SIM_WRITE && s->w_phase == 0)
            sim_fault("shared memory at %llu is read before it is written (PTX line %d)",
                      (unsigned long long)i, line);
        bool both_atomic = mode == SIM_ATOMIC && s->w_line < 0;
        if (s->w_phase == phase && s->w != me && !both_atomic)
            shared_race(i, write ? "writes" : "reads", line, s->w, "wrote", abs(s->w_line));
        if (write && s->r_phase == phase && s->r != me)
            shared_race(i, "writes", line, s->r, "read", s->r_line);
        if (write)
            s->w = me, s->w_phase = phase, s->w_line = mode == SIM_ATOMIC ? -line : line;
        else if (s->r_phase == phase && s->r != me)
            s->r = SEVERAL;
        else
            s->r = me, s->r_phase = phase, s->r_line = line;
    }
    return sim_b->shared + at;
}

/* ---- barriers and warps ---- */
void sim_barrier(const char *site) {
    sim_t->site = site;
    n_at_barrier++;
    yield(AT_BARRIER);
}

uint64_t sim_warp(int op, unsigned mask, uint64_t value, int arg, unsigned clamp, int *predicate) {
    sim_thread *t = sim_t;
    if (clamp != 0x1f && clamp != 0 && op != SIM_SYNC && op != SIM_BALLOT)
        sim_fault("a shuffle within parts of a warp is not simulated (clamp %#x)", clamp);
    if (!(mask >> t->linear % LANES & 1))
        sim_fault("warp operation: lane %u calls, mask %08x does not name it", t->linear % LANES,
                  mask);
    t->op = op, t->mask = mask, t->value = value, t->arg = arg;
    n_at_warp++;
    yield(AT_WARP);
    if (predicate)
        *predicate = t->predicate;
    return t->result;
}

/* Have all lanes of t's mask come to the same operation? */
static bool warp_complete(sim_thread *t, unsigned base, unsigned n) {
    for (unsigned lane = 0; lane < LANES; lane++) {
        if (!(t->mask >> lane & 1))
            continue;
        sim_t = t;
        if (base + lane >= n || threads[base + lane].state == ENDED)
            sim_fault("warp operation: lane %u is named and has ended, or does not exist", lane);
        const sim_thread *o = &threads[base + lane];
        if (o->state != AT_WARP || o->mask != t->mask || o->op != t->op)
            return false;
    }
    return true;
}

static void shuffle(sim_thread *t, unsigned base, unsigned lane) {
    int from = (int)lane;
    switch (t->op) {
    case SIM_DOWN:
        from += t->arg;
        break;
    case SIM_UP:
        from -= t->arg;
        break;
    case SIM_BFLY:
        from ^= t->arg;
        break;
    default:
        from = t->arg & (LANES - 1);
        break;
    }
    t->predicate = from >= 0 && from < LANES;
    if (!t->predicate)
        from = (int)lane;
    sim_t = t;
    if (!(t->mask >> from & 1))
        sim_fault("shuffle reads lane %d, which mask %08x does not name", from, t->mask);
    t->result = threads[base + (unsigned)from].value;
}

static void warp_run(unsigned mask, unsigned base) {
    uint64_t ballot = 0;
    for (unsigned lane = 0; lane < LANES; lane++)
        if (mask >> lane & 1 && threads[base + lane].value)
            ballot |= 1u << lane;
    for (unsigned lane = 0; lane < LANES; lane++) {
        sim_thread *t = &threads[base + lane];
        if (!(mask >> lane & 1))
            continue;
        if (t->op == SIM_BALLOT)
            t->result = ballot;
        else if (t->op != SIM_SYNC)
            shuffle(t, base, lane);
    }
    for (unsigned lane = 0; lane < LANES; lane++)
        if (mask >> lane & 1)
            threads[base + lane].state = READY, n_at_warp--;
}

static bool run_warps(unsigned n) {
    bool progress = false;
    for (unsigned i = 0; i < n && n_at_warp > 0; i++) {
        sim_thread *t = &threads[i];
        unsigned base = i / LANES * LANES;
        if (t->state != AT_WARP || !warp_complete(t, base, n))
            continue;
        warp_run(t->mask, base);
        progress = true;
    }
    return progress;
}

/* All live threads wait at a barrier: the same one, and nobody has left. */
static bool pass_barrier(unsigned n, unsigned live) {
    const char *site = NULL;
    if (n_at_barrier < live)
        return false;
    for (unsigned i = 0; i < n; i++) {
        sim_thread *t = &threads[i];
        if (t->state != AT_BARRIER)
            continue;
        sim_t = t;
        site = site ? site : t->site;
        if (t->site != site)
            sim_fault("threads of a block wait at different barriers (PTX lines %s and %s)", site,
                      t->site);
        t->state = READY;
    }
    if (live < n)
        sim_fault("%u of %u threads wait at a barrier (PTX line %s), the others have ended", live,
                  n, site);
    n_at_barrier = 0;
    sim_now.phase++;
    return true;
}

static void shuffle_order(unsigned n) {
    for (unsigned i = n; i > 1; i--) {
        dice ^= dice << 13, dice ^= dice >> 17, dice ^= dice << 5;
        unsigned j = dice % i, other = order[j];
        order[j] = order[i - 1], order[i - 1] = other;
    }
}

static void run_waiting_block(unsigned n, bool random) {
    unsigned live = n;
    while (live > 0) {
        bool progress = false;
        if (random)
            shuffle_order(n);
        for (unsigned i = 0; i < n; i++) {
            sim_thread *t = &threads[order[i]];
            if (t->state != READY)
                continue;
            resume(t);
            progress = true;
            live -= t->state == ENDED;
        }
        if (live > 0 && !run_warps(n) && !pass_barrier(n, live) && !progress)
            sim_fault("the threads of the block wait for each other");
    }
}

static void run_plain_block(unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        sim_t = &threads[order[i]];
        sim_now.thread = (uint16_t)sim_t->linear;
        kernel->thread(parameters);
    }
}

/* Who is who in a block; the same for all blocks, and often for the next grid. */
static void number_threads(const unsigned d[3], unsigned n, bool reverse) {
    static unsigned last[3];
    if (memcmp(last, d, sizeof last) != 0)
        for (unsigned i = 0; i < n; i++) {
            sim_thread *t = &threads[i];
            t->tid[0] = i % d[0], t->tid[1] = i / d[0] % d[1], t->tid[2] = i / d[0] / d[1];
            t->linear = i;
        }
    memcpy(last, d, sizeof last);
    for (unsigned i = 0; i < n; i++)
        order[i] = reverse ? n - 1 - i : i;
}

static void run_block(unsigned n, bool random) {
    if (!kernel->waits) {
        run_plain_block(n);
        return;
    }
    n_at_barrier = n_at_warp = 0;
    for (unsigned i = 0; i < n; i++)
        threads[i].state = READY, threads[i].sp = NULL;
    run_waiting_block(n, random);
}

int sim_run_grid(const sim_kernel *k, const unsigned grid[3], const unsigned dim[3],
                 unsigned dynamic, const unsigned char *params) {
    static unsigned char shared[64 << 10];
    static shadow shadows[sizeof shared];
    const char *sched = getenv("SIMDEV_SCHED");
    bool reverse = sched && !strcmp(sched, "lazy"), random = sched && !strcmp(sched, "random");
    unsigned n = dim[0] * dim[1] * dim[2], bytes = k->shared_bytes + dynamic;
    uint64_t n_blocks = (uint64_t)grid[0] * grid[1] * grid[2];
    kernel = k, parameters = params, shared_shadow = shadows;
    sim_now.fences = k->fences;
    number_threads(dim, n, reverse);
    for (uint64_t i = 0; i < n_blocks; i++) {
        unsigned at = (unsigned)(reverse ? n_blocks - 1 - i : i);
        sim_block b = {.id = {at % grid[0], at / grid[0] % grid[1], at / grid[0] / grid[1]},
                       .dim = {dim[0], dim[1], dim[2]},
                       .grid = {grid[0], grid[1], grid[2]},
                       .shared = shared,
                       .shared_bytes = bytes};
        sim_b = &b;
        sim_now.block = at, sim_now.phase = 0;
        memset(shared, 0xff, bytes);
        memset(shadows, 0, bytes * sizeof *shadows);
        run_block(n, random);
    }
    sim_b = NULL, sim_t = NULL;
    return SIM_DONE;
}
