/* tests/simdev/queue.h - streams, events and captures from inside: queue.c, stream.c, graph.c. */
#ifndef DT_SIMDEV_QUEUE_H
#define DT_SIMDEV_QUEUE_H

#include <pthread.h>
#include <time.h>
#include "sim.h"

/* One recording of an event: done once the queue gets there. */
typedef struct {
    int refs;
    bool done;
    sim_clock seen; /* what had happened before it */
    struct timespec at;
} sim_token;

typedef enum { SIM_WORK, SIM_RECORD, SIM_WAIT } sim_kind;

typedef struct sim_op {
    struct sim_op *next;
    uint64_t number; /* in the order of the program */
    sim_kind kind;
    sim_work work;
    void *args;
    const char *name;
    sim_token *token; /* of SIM_RECORD and SIM_WAIT */
    sim_clock host;   /* what the host knew when it queued this */
    bool again;       /* asked to be called again in this round */
} sim_op;

enum { SIM_CHAINS = 16 }; /* streams in one capture */
typedef struct {
    sim_kind kind;
    int chain; /* the stream that it was captured from */
    sim_work work;
    void *args;
    size_t nbytes;
    const char *name;
    int token; /* number of the recording */
} sim_node;

struct CUgraph_st {
    sim_node *nodes;
    int n, capacity;
    int n_chains, n_tokens;
    /* while it is captured */
    cudaStream_t origin;
    enum cudaStreamCaptureMode mode;
    pthread_t thread;
    uint64_t number;
    int done[SIM_CHAINS];             /* work nodes of each chain */
    int priority[SIM_CHAINS];         /* of the stream */
    int seen[SIM_CHAINS][SIM_CHAINS]; /* [chain]: how much of the others it has waited for */
};

struct CUstream_st {
    struct CUstream_st *next; /* all streams, the legacy one first */
    sim_op *head, *tail;
    bool nonblocking, busy;
    int slot, priority;
    sim_clock clock;
    struct CUgraph_st *capture;
    int chain;
};

struct CUevent_st {
    struct CUevent_st *next;
    sim_token *token; /* of the last recording; NULL: none yet */
    bool timing;
    /* recorded in a capture: which, and what a waiting stream then follows */
    uint64_t capture;
    int capture_token;
    int seen[SIM_CHAINS];
};

extern pthread_mutex_t sim_lock; /* streams, events, captures, clocks */
extern sim_clock sim_host;       /* what the host has waited for */

/* With the lock held: */
cudaStream_t sim_stream(cudaStream_t handle); /* NULL, and a violation: no such stream */
cudaStream_t sim_streams(void);               /* the first */
cudaStream_t sim_stream_new(bool nonblocking);
void sim_stream_drop(cudaStream_t s); /* must be empty */
void sim_push(cudaStream_t s, sim_kind kind, sim_work work, const void *args, size_t nbytes,
              const char *name, sim_token *token);
sim_token *sim_token_new(void);
void sim_token_drop(sim_token **token);
void sim_join(sim_clock *to, const sim_clock *from);
void sim_wait_empty(cudaStream_t s); /* NULL: all streams */
void sim_wait_token(sim_token *token);
void sim_wait_room(void); /* of SIMDEV_QUEUE */
bool sim_is_lazy(void);
void sim_nudge(void); /* somebody polls: let a few operations run */
/* Is a call that waits or allocates allowed now? */
cudaError_t sim_no_capture(const char *function);

/* graph.c, with the lock held: append to the capture that s is in. */
cudaError_t sim_capture_work(cudaStream_t s, sim_work work, const void *args, size_t nbytes,
                             const char *name);
cudaError_t sim_capture_record(cudaStream_t s, cudaEvent_t e);
cudaError_t sim_capture_wait(cudaStream_t s, cudaEvent_t e);

#endif
