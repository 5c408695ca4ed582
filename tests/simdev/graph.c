/* tests/simdev/graph.c - capture and graphs.
 *
 * A capture writes down what each stream was asked to do, waits and recordings included. To launch
 * a graph is to queue all that again, on a stream of the graph's own for each captured one, between
 * a fork from and a join to the stream that it is launched in. So the scheduler permutes a graph's
 * nodes, and clocks order them, exactly as far as the captured events do. */
#include "queue.h"

#include <stdlib.h>

struct CUgraphExec_st {
    struct CUgraph_st graph; /* nodes with arguments of their own */
    cudaStream_t streams[SIM_CHAINS];
};

static uint64_t n_captures;

static cudaError_t add(cudaStream_t s, sim_node node) {
    struct CUgraph_st *g = s->capture;
    if (g->n == g->capacity) {
        g->capacity = g->capacity ? 2 * g->capacity : 64;
        g->nodes = realloc(g->nodes, (size_t)g->capacity * sizeof *g->nodes);
        if (!g->nodes)
            abort();
    }
    node.chain = s->chain;
    g->nodes[g->n++] = node;
    return cudaSuccess;
}

static void *copy_of(const void *args, size_t n) {
    void *copy = malloc(n + 1);
    if (!copy)
        abort();
    return n ? memcpy(copy, args, n) : copy;
}

cudaError_t sim_capture_work(cudaStream_t s, sim_work work, const void *args, size_t nbytes,
                             const char *name) {
    s->capture->seen[s->chain][s->chain] = ++s->capture->done[s->chain];
    return add(s, (sim_node){.kind = SIM_WORK,
                             .work = work,
                             .args = copy_of(args, nbytes),
                             .nbytes = nbytes,
                             .name = name});
}

cudaError_t sim_capture_record(cudaStream_t s, cudaEvent_t e) {
    e->capture = s->capture->number;
    e->capture_token = s->capture->n_tokens++;
    memcpy(e->seen, s->capture->seen[s->chain], sizeof e->seen);
    return add(s, (sim_node){.kind = SIM_RECORD, .token = e->capture_token});
}

static struct CUgraph_st *capture_of(uint64_t number) {
    for (cudaStream_t s = sim_streams(); s; s = s->next)
        if (s->capture && s->capture->number == number)
            return s->capture;
    return NULL;
}

/* A stream that waits for an event of a capture becomes part of it. */
cudaError_t sim_capture_wait(cudaStream_t s, cudaEvent_t e) {
    struct CUgraph_st *g = e->capture ? capture_of(e->capture) : NULL;
    if (!g || (s->capture && s->capture != g)) {
        sim_violation(
            "cudaStreamWaitEvent: one of stream and event belongs to a capture, the other "
            "does not");
        return cudaErrorStreamCaptureIsolation;
    }
    if (!s->capture) {
        if (g->n_chains == SIM_CHAINS || s == sim_streams())
            return cudaErrorStreamCaptureUnsupported;
        s->capture = g;
        s->chain = g->n_chains++;
        g->priority[s->chain] = s->priority;
    }
    for (int i = 0; i < SIM_CHAINS; i++)
        if (e->seen[i] > g->seen[s->chain][i])
            g->seen[s->chain][i] = e->seen[i];
    return add(s, (sim_node){.kind = SIM_WAIT, .token = e->capture_token});
}

cudaError_t sim_no_capture(const char *function) {
    for (cudaStream_t s = sim_streams(); s; s = s->next) {
        if (!s->capture || s->capture->mode == cudaStreamCaptureModeRelaxed)
            continue;
        if (s->capture->mode == cudaStreamCaptureModeThreadLocal &&
            !pthread_equal(s->capture->thread, pthread_self()))
            continue;
        sim_violation("%s during a capture", function);
        return cudaErrorStreamCaptureUnsupported;
    }
    return cudaSuccess;
}

SIM_API cudaError_t cudaStreamBeginCapture(cudaStream_t handle, enum cudaStreamCaptureMode mode) {
    cudaError_t error = sim_begin("cudaStreamBeginCapture", cudaErrorLaunchFailure);
    if (error)
        return sim_return(error);
    pthread_mutex_lock(&sim_lock);
    cudaStream_t s = sim_stream(handle);
    struct CUgraph_st *g = calloc(1, sizeof *g);
    if (!g || !s || s == sim_streams() || s->capture) {
        error = cudaErrorStreamCaptureUnsupported;
        free(g);
    } else {
        g->origin = s, g->mode = mode, g->thread = pthread_self();
        g->n_chains = 1, g->number = ++n_captures, g->priority[0] = s->priority;
        s->capture = g, s->chain = 0;
    }
    pthread_mutex_unlock(&sim_lock);
    return sim_return(error);
}

static void destroy_nodes(struct CUgraph_st *g) {
    for (int i = 0; i < g->n; i++)
        free(g->nodes[i].args);
    free(g->nodes);
}

static bool joined(const struct CUgraph_st *g) {
    for (int i = 1; i < g->n_chains; i++)
        if (g->seen[0][i] < g->done[i])
            return false;
    return true;
}

SIM_API cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *out) {
    cudaError_t error = sim_begin("cudaStreamEndCapture", cudaErrorLaunchFailure);
    *out = NULL;
    pthread_mutex_lock(&sim_lock);
    cudaStream_t s = sim_stream(handle);
    struct CUgraph_st *g = s ? s->capture : NULL;
    if (!g || g->origin != s) {
        error = cudaErrorIllegalState;
    } else {
        if (!error && !joined(g)) {
            sim_violation("cudaStreamEndCapture: another stream of the capture has work that the "
                          "first one does not wait for");
            error = cudaErrorStreamCaptureUnjoined;
        }
        for (cudaStream_t o = sim_streams(); o; o = o->next)
            if (o->capture == g)
                o->capture = NULL;
        if (error) {
            destroy_nodes(g);
            free(g);
        } else {
            *out = g;
            sim_count("graph", 1);
        }
    }
    pthread_mutex_unlock(&sim_lock);
    return sim_return(error);
}

SIM_API cudaError_t cudaStreamIsCapturing(cudaStream_t handle,
                                          enum cudaStreamCaptureStatus *status) {
    sim_start();
    pthread_mutex_lock(&sim_lock);
    cudaStream_t s = sim_stream(handle);
    if (s)
        *status = s->capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    pthread_mutex_unlock(&sim_lock);
    return sim_return(s ? cudaSuccess : cudaErrorInvalidResourceHandle);
}

SIM_API cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode) {
    static __thread enum cudaStreamCaptureMode current = cudaStreamCaptureModeGlobal;
    enum cudaStreamCaptureMode before = current;
    current = *mode;
    *mode = before;
    return cudaSuccess;
}

/* ---- graphs ---- */
/* Unless asked otherwise a graph's nodes all run at the priority of the stream that it is launched
 * in, whatever those were that they were captured from. */
static void check_priorities(const struct CUgraph_st *g, unsigned long long flags) {
    for (int i = 1; i < g->n_chains; i++)
        if (!(flags & cudaGraphInstantiateFlagUseNodePriority) && g->done[i] > 0 &&
            g->priority[i] != g->priority[0]) {
            sim_violation("cudaGraphInstantiate: work of streams of priority %d and %d, and no "
                          "cudaGraphInstantiateFlagUseNodePriority: it loses its priorities",
                          g->priority[0], g->priority[i]);
            return;
        }
}

SIM_API cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t g,
                                         unsigned long long flags) {
    cudaError_t error = sim_begin("cudaGraphInstantiate", cudaErrorMemoryAllocation);
    if (error)
        return sim_return(error);
    check_priorities(g, flags);
    cudaGraphExec_t x = calloc(1, sizeof *x);
    if (!x)
        return sim_return(cudaErrorMemoryAllocation);
    x->graph = *g;
    x->graph.nodes = copy_of(g->nodes, (size_t)g->n * sizeof *g->nodes);
    for (int i = 0; i < g->n; i++)
        x->graph.nodes[i].args = copy_of(g->nodes[i].args, g->nodes[i].nbytes);
    pthread_mutex_lock(&sim_lock);
    for (int i = 0; i < g->n_chains; i++)
        x->streams[i] = sim_stream_new(true);
    pthread_mutex_unlock(&sim_lock);
    sim_count("executable graph", 1);
    *out = x;
    return cudaSuccess;
}

SIM_API cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *out, cudaGraph_t g,
                                                  unsigned long long flags) {
    return cudaGraphInstantiate(out, g, flags);
}

SIM_API cudaError_t cudaGraphUpload(cudaGraphExec_t x, cudaStream_t s) {
    (void)x, (void)s; /* a hint */
    return sim_return(sim_begin("cudaGraphUpload", cudaErrorMemoryAllocation));
}

SIM_API cudaError_t cudaGraphDestroy(cudaGraph_t g) {
    destroy_nodes(g);
    free(g);
    sim_count("graph", -1);
    return cudaSuccess;
}

SIM_API cudaError_t cudaGraphExecDestroy(cudaGraphExec_t x) {
    pthread_mutex_lock(&sim_lock);
    sim_clock host = sim_host;
    for (int i = 0; i < x->graph.n_chains; i++) {
        sim_wait_empty(x->streams[i]);
        sim_stream_drop(x->streams[i]);
    }
    sim_host = host;
    pthread_mutex_unlock(&sim_lock);
    destroy_nodes(&x->graph);
    free(x);
    sim_count("executable graph", -1);
    return cudaSuccess;
}

/* Nodes as CUDA counts them: work, not what orders it. */
SIM_API cudaError_t cudaGraphGetNodes(cudaGraph_t g, cudaGraphNode_t *nodes, size_t *n) {
    size_t found = 0;
    cudaError_t error = sim_begin("cudaGraphGetNodes", cudaErrorInvalidValue);
    if (error)
        return sim_return(error);
    for (int i = 0; i < g->n; i++)
        found += g->nodes[i].kind == SIM_WORK;
    *n = found;
    return nodes ? sim_return(cudaErrorNotSupported) : cudaSuccess;
}

/* `after` goes on when `before` has got to where it is now. */
static void order(cudaStream_t before, cudaStream_t after) {
    sim_token *token = sim_token_new();
    sim_push(before, SIM_RECORD, NULL, NULL, 0, "graph", token);
    sim_push(after, SIM_WAIT, NULL, NULL, 0, "graph", token);
    sim_token_drop(&token);
}

static void launch(cudaGraphExec_t x, cudaStream_t s) {
    const struct CUgraph_st *g = &x->graph;
    sim_token **tokens = calloc((size_t)g->n_tokens + 1, sizeof(sim_token *));
    if (!tokens)
        abort();
    for (int i = 0; i < g->n_tokens; i++)
        tokens[i] = sim_token_new();
    for (int i = 0; i < g->n_chains; i++)
        order(s, x->streams[i]);
    for (int i = 0; i < g->n; i++) {
        const sim_node *o = &g->nodes[i];
        sim_push(x->streams[o->chain], o->kind, o->work, o->args, o->nbytes, o->name,
                 o->kind == SIM_WORK ? NULL : tokens[o->token]);
    }
    for (int i = 0; i < g->n_chains; i++)
        order(x->streams[i], s);
    for (int i = 0; i < g->n_tokens; i++)
        sim_token_drop(&tokens[i]);
    free(tokens);
}

SIM_API cudaError_t cudaGraphLaunch(cudaGraphExec_t x, cudaStream_t handle) {
    cudaError_t error = sim_begin("cudaGraphLaunch", cudaErrorLaunchFailure);
    if (error)
        return sim_return(error);
    pthread_mutex_lock(&sim_lock);
    cudaStream_t s = sim_stream(handle);
    if (!s)
        error = cudaErrorInvalidResourceHandle;
    else if (s->capture)
        error = cudaErrorStreamCaptureUnsupported; /* graphs within graphs are not simulated */
    else
        sim_wait_room(), launch(x, s);
    pthread_mutex_unlock(&sim_lock);
    return sim_return(error);
}
