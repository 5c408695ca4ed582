/* tests/simdev/memory.c - device and pinned memory, and the check of every access to them.
 *
 * An address range with no access rights is what programs get as device memory; the bytes lie in a
 * second range at the same offset. So a host that follows a device pointer dies at once. Addresses
 * are not used again: a use after free always shows. Each allocation begins a page and is followed
 * by one that is nobody's. Pinned memory is where its address says, as host and device share it. */
#include "sim.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE  4096ull
#define ARENA (SIM_DEVICE_PART + SIM_PINNED_PART)

typedef struct {
    uint64_t offset;
    size_t n;
    bool live, pinned;
} allocation;

sim_arena sim_memory;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static allocation *list;
static size_t n_list, capacity;
static uint64_t device_end, pinned_end = SIM_DEVICE_PART;
static size_t device_used;

static void *reserve(uint64_t n, int rights) {
    void *p = mmap(NULL, n, rights, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        fprintf(stderr, "simdev: no %llu GiB of address space; is it limited (ulimit -v)?\n",
                (unsigned long long)(n >> 30));
        abort();
    }
    return p;
}

void sim_memory_start(void) {
    sim_memory.device = (uintptr_t)reserve(SIM_DEVICE_PART, PROT_NONE);
    sim_memory.bytes = (uintptr_t)reserve(ARENA, PROT_NONE);
    sim_memory.state = reserve(ARENA, PROT_READ | PROT_WRITE);
    sim_memory.granules = reserve(ARENA / 4 * sizeof(sim_granule), PROT_READ | PROT_WRITE);
}

bool sim_is_device(const void *p) {
    return (uintptr_t)p - sim_memory.device < SIM_DEVICE_PART;
}

/* Offset of an address in the arena; false: it is neither device nor pinned memory. */
static bool locate(uint64_t address, uint64_t *offset) {
    *offset = address - sim_memory.device;
    if (*offset < SIM_DEVICE_PART)
        return true;
    *offset = address - sim_memory.bytes;
    return *offset >= SIM_DEVICE_PART && *offset < ARENA;
}

bool sim_is_pinned(const void *p, size_t n) {
    uint64_t offset = (uintptr_t)p - sim_memory.bytes;
    return offset >= SIM_DEVICE_PART && offset < ARENA && n > 0 &&
           !memchr(sim_memory.state + offset, SIM_GONE, n);
}

/* The allocation at or before an offset, for messages and for freeing. With the lock. */
static allocation *find(uint64_t offset) {
    allocation *best = NULL;
    for (size_t i = 0; i < n_list; i++)
        if (list[i].offset <= offset && (!best || list[i].offset > best->offset))
            best = &list[i];
    return best;
}

/* ---- faults ---- */
static _Noreturn void explain(const char *what, uint64_t address, size_t n, sim_mode mode) {
    uint64_t offset;
    const char *verb = mode == SIM_READ ? "read" : "write";
    if (!locate(address, &offset))
        sim_fault("%s: %s of %zu bytes at %#llx, which is not device memory", what, verb, n,
                  (unsigned long long)address);
    pthread_mutex_lock(&lock);
    allocation *near = find(offset);
    allocation a = near ? *near : (allocation){0};
    pthread_mutex_unlock(&lock);
    if (near && !a.live && offset < a.offset + a.n)
        sim_fault("%s: use after free: %s of %zu bytes in a buffer of %zu", what, verb, n, a.n);
    sim_fault("%s: out of bounds: %s of %zu bytes at offset %llu of a buffer of %zu", what, verb, n,
              (unsigned long long)(offset - a.offset), a.n);
}

/* ---- order between accesses ---- */
static bool ordered(uint32_t epoch) {
    return (epoch & SIM_CLOCK_MASK) <= sim_now.seen->v[epoch >> SIM_CLOCK_BITS];
}
/* May a thread of this operation meet what (block, thread, phase) of it did? Neighbours of less
 * than 4 bytes share a granule, and are not compared. */
static bool apart(uint32_t block, uint16_t thread, uint16_t phase) {
    if (sim_now.fences || sim_now.part || thread == SIM_PART)
        return true;
    if (block != sim_now.block)
        return false;
    return thread == sim_now.thread || phase != sim_now.phase;
}

static void race(const sim_granule *g, const char *verb, const char *other, uint32_t epoch) {
    static uint32_t last; /* one message an operation is enough */
    if (last == sim_now.epoch)
        return;
    last = sim_now.epoch;
    uint64_t offset = (uint64_t)(g - sim_memory.granules) * 4;
    pthread_mutex_lock(&lock);
    const allocation *a = find(offset);
    size_t n = a ? a->n : 0;
    uint64_t within = a ? offset - a->offset : 0;
    pthread_mutex_unlock(&lock);
    if (epoch == sim_now.epoch)
        sim_violation("race within %s: block %u thread %u %s offset %llu of a buffer of %zu, which "
                      "another thread %s",
                      sim_now.name, sim_now.block, sim_now.thread, verb, (unsigned long long)within,
                      n, other);
    else
        sim_violation("race: %s %s offset %llu of a buffer of %zu, which %s %s with no order "
                      "between them",
                      sim_now.name, verb, (unsigned long long)within, n, sim_epoch_name(epoch),
                      other);
}

static void note_read(sim_granule *g) {
    if (g->w == sim_now.epoch ? !apart(g->w_block, g->w_thread, g->w_phase) : !ordered(g->w))
        race(g, "reads", "wrote", g->w);
    if (g->r == sim_now.epoch) {
        if (g->r_block != sim_now.block)
            g->r_block = SIM_ANY_BLOCK;
        else if (sim_now.part)
            g->r_thread = SIM_PART;
        else if (g->r_phase == sim_now.phase && g->r_thread != sim_now.thread)
            g->r_thread = SIM_ANY_THREAD;
        else
            g->r_thread = sim_now.thread, g->r_phase = sim_now.phase;
        return;
    }
    if (!ordered(g->r))
        g->r2 = g->r;
    g->r = sim_now.epoch;
    g->r_block = sim_now.block, g->r_phase = sim_now.phase;
    g->r_thread = sim_now.part ? SIM_PART : sim_now.thread;
}

static void note_write(sim_granule *g, bool atomic) {
    bool same = g->w == sim_now.epoch;
    bool both = same && atomic && g->w_thread == SIM_ATOM;
    if (same ? !both && !apart(g->w_block, g->w_thread, g->w_phase) : !ordered(g->w))
        race(g, "writes", "wrote", g->w);
    if (g->r == sim_now.epoch ? !apart(g->r_block, g->r_thread, g->r_phase) : !ordered(g->r))
        race(g, "writes", "read", g->r);
    if (!ordered(g->r2))
        race(g, "writes", "read", g->r2);
    g->w_block = both && g->w_block != sim_now.block ? SIM_ANY_BLOCK : sim_now.block;
    g->w = sim_now.epoch;
    g->w_thread = sim_now.part ? SIM_PART : atomic ? SIM_ATOM : sim_now.thread;
    g->w_phase = sim_now.phase;
    g->r = g->r2 = 0;
}

static void note(uint64_t offset, size_t n, sim_mode mode) {
    sim_granule *end = sim_memory.granules + (offset + n + 3) / 4;
    for (sim_granule *g = sim_memory.granules + offset / 4; g < end; g++) {
        if (mode == SIM_READ || mode == SIM_UPDATE)
            note_read(g);
        if (mode != SIM_READ)
            note_write(g, mode == SIM_ATOMIC);
    }
}

static void uninitialised(const char *what, uint64_t offset) {
    static uint32_t last;
    if (last == sim_now.epoch)
        return;
    last = sim_now.epoch;
    pthread_mutex_lock(&lock);
    const allocation *a = find(offset);
    size_t n = a ? a->n : 0;
    uint64_t within = a ? offset - a->offset : 0;
    pthread_mutex_unlock(&lock);
    sim_violation("%s (%s): reads offset %llu of a buffer of %zu, which was never written",
                  sim_now.name, what, (unsigned long long)within, n);
}

static void *check(const char *what, uint64_t address, size_t n, sim_mode mode) {
    uint64_t offset;
    if (!locate(address, &offset) || offset + n > ARENA)
        explain(what, address, n, mode);
    uint8_t *state = sim_memory.state + offset;
    if (memchr(state, SIM_GONE, n))
        explain(what, address, n, mode);
    if (mode != SIM_WRITE) {
        const uint8_t *raw = memchr(state, SIM_RAW, n);
        if (raw)
            uninitialised(what, (uint64_t)(raw - sim_memory.state));
    }
    if (mode != SIM_READ)
        memset(state, SIM_SET, n);
    note(offset, n, mode);
    return (void *)(sim_memory.bytes + offset);
}

void *sim_use(const void *p, size_t n, sim_mode mode, const char *what) {
    return check(what, (uintptr_t)p, n, mode);
}

/* Have all n bytes (1, 2, 4 or 8) been written? */
static inline bool all_set(const uint8_t *state, unsigned n) {
    uint64_t eight;
    uint32_t four;
    switch (n) {
    case 4:
        memcpy(&four, state, 4);
        return four == 0x02020202u;
    case 8:
        memcpy(&eight, state, 8);
        return eight == 0x0202020202020202ull;
    case 1:
        return state[0] == SIM_SET;
    default:
        return n == 2 && state[0] == SIM_SET && state[1] == SIM_SET;
    }
}

/* n is a power of two. The common case first: aligned, in device memory, written before. */
void *sim_access(uint64_t address, unsigned n, sim_mode mode) {
    uint64_t offset = address - sim_memory.device;
    sim_now.part = n < 4;
    if (address & (n - 1))
        sim_fault("misaligned access: %u bytes at %#llx", n, (unsigned long long)address);
    if (offset >= SIM_DEVICE_PART || !all_set(sim_memory.state + offset, n))
        return check("kernel", address, n, mode);
    if (n == 4 && mode == SIM_READ)
        note_read(sim_memory.granules + offset / 4);
    else if (n == 4 && mode == SIM_WRITE)
        note_write(sim_memory.granules + offset / 4, false);
    else
        note(offset, n, mode);
    return (void *)(sim_memory.bytes + offset);
}

/* ---- allocation ---- */
size_t sim_memory_total(void) {
    return (size_t)sim_setting("SIMDEV_MEMORY_MB", 4096) << 20;
}

/* A new buffer at *end, filled with 0xff: NaN. With the lock. */
static void *create(uint64_t *end, size_t n, bool pinned) {
    uint64_t room = (n + PAGE - 1) / PAGE * PAGE, offset = *end;
    uint64_t limit = pinned ? ARENA : SIM_DEVICE_PART;
    if (offset + room + PAGE > limit)
        return NULL;
    if (n_list == capacity) {
        capacity = capacity ? 2 * capacity : 256;
        list = realloc(list, capacity * sizeof *list);
    }
    void *bytes = (void *)(sim_memory.bytes + offset);
    if (!list || mprotect(bytes, room, PROT_READ | PROT_WRITE))
        abort();
    memset(bytes, 0xff, n);
    memset(sim_memory.state + offset, pinned ? SIM_SET : SIM_RAW, n);
    list[n_list++] = (allocation){offset, n, true, pinned};
    *end += room + PAGE;
    return pinned ? bytes : (void *)(sim_memory.device + offset);
}

/* Give a buffer back; its pages too, so that long runs stay small. NULL: no such buffer. */
static bool destroy(uint64_t offset, bool pinned, size_t *n) {
    allocation *a = find(offset);
    if (!a || a->offset != offset || !a->live || a->pinned != pinned)
        return false;
    a->live = false;
    *n = a->n;
    uint64_t room = (a->n + PAGE - 1) / PAGE * PAGE;
    memset(sim_memory.state + offset, SIM_GONE, a->n);
    void *bytes = (void *)(sim_memory.bytes + offset);
    mprotect(bytes, room, PROT_NONE);
    madvise(bytes, room, MADV_DONTNEED);
    madvise(sim_memory.granules + offset / 4, room / 4 * sizeof(sim_granule), MADV_DONTNEED);
    return true;
}

cudaError_t sim_allocate(void **p, size_t n, bool pinned) {
    *p = NULL;
    if (n == 0)
        return cudaSuccess;
    pthread_mutex_lock(&lock);
    if (pinned || device_used + n <= sim_memory_total())
        *p = create(pinned ? &pinned_end : &device_end, n, pinned);
    if (*p && !pinned)
        device_used += n;
    pthread_mutex_unlock(&lock);
    return *p ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t sim_release(void *p, bool pinned, const char *function) {
    uint64_t offset;
    size_t n = 0;
    if (!p)
        return cudaSuccess;
    cudaError_t error = sim_drain_all(); /* as a device waits before it unmaps */
    if (error == cudaErrorStreamCaptureUnsupported)
        return error;
    pthread_mutex_lock(&lock);
    bool found = locate((uintptr_t)p, &offset) && destroy(offset, pinned, &n);
    if (found && !pinned)
        device_used -= n;
    pthread_mutex_unlock(&lock);
    if (found)
        return cudaSuccess;
    sim_violation("%s of %p: no such buffer, or freed before", function, p);
    return cudaErrorInvalidValue;
}

size_t sim_memory_used(void) {
    return __atomic_load_n(&device_used, __ATOMIC_SEQ_CST);
}

void sim_memory_leaks(int *leaks) {
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < n_list; i++)
        if (list[i].live && ++*leaks <= 8)
            fprintf(stderr, "simdev: LEAK: %zu bytes of %s memory\n", list[i].n,
                    list[i].pinned ? "pinned" : "device");
    pthread_mutex_unlock(&lock);
}
