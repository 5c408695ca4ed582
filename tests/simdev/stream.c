/* tests/simdev/stream.c - the runtime's functions for streams and events. */
#include "queue.h"

#include <stdlib.h>

static cudaEvent_t events; /* all that exist */

/* ---- streams ---- */
SIM_API cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int priority) {
    cudaError_t error = sim_begin("cudaStreamCreate", cudaErrorMemoryAllocation);
    if (error)
        return sim_return(error);
    pthread_mutex_lock(&sim_lock);
    *out = sim_stream_new(flags == cudaStreamNonBlocking);
    (*out)->priority = priority; /* orders nothing, it only asks */
    pthread_mutex_unlock(&sim_lock);
    sim_count("stream", 1);
    return cudaSuccess;
}

SIM_API cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags) {
    return cudaStreamCreateWithPriority(out, flags, 0);
}

SIM_API cudaError_t cudaStreamCreate(cudaStream_t *out) {
    return cudaStreamCreateWithPriority(out, cudaStreamDefault, 0);
}

SIM_API cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    cudaError_t error = sim_begin("cudaDeviceGetStreamPriorityRange", cudaErrorUnknown);
    if (error)
        return sim_return(error);
    *least = 0, *greatest = -5;
    return cudaSuccess;
}

/* A device lets the work of a destroyed stream finish; nobody has waited for it by that. */
SIM_API cudaError_t cudaStreamDestroy(cudaStream_t handle) {
    sim_start();
    pthread_mutex_lock(&sim_lock);
    cudaStream_t s = sim_stream(handle);
    bool wrong = !s || s == sim_streams();
    if (!wrong) {
        if (s->capture)
            sim_violation("cudaStreamDestroy during a capture of that stream");
        sim_clock host = sim_host;
        sim_wait_empty(s);
        sim_host = host;
        sim_stream_drop(s);
    }
    pthread_mutex_unlock(&sim_lock);
    if (wrong)
        return sim_return(cudaErrorInvalidResourceHandle);
    sim_count("stream", -1);
    return cudaSuccess;
}

SIM_API cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    cudaError_t error = sim_begin("cudaStreamSynchronize", cudaErrorLaunchFailure);
    if (error)
        return sim_return(error);
    pthread_mutex_lock(&sim_lock);
    cudaStream_t s = sim_stream(handle);
    if (!s)
        error = cudaErrorInvalidResourceHandle;
    else if (s->capture)
        error = sim_no_capture("cudaStreamSynchronize");
    else
        sim_wait_empty(s);
    pthread_mutex_unlock(&sim_lock);
    return sim_return(error ? error : sim_sticky());
}

SIM_API cudaError_t cudaStreamQuery(cudaStream_t handle) {
    cudaError_t error = sim_begin("cudaStreamQuery", cudaErrorLaunchFailure);
    if (error)
        return sim_return(error);
    pthread_mutex_lock(&sim_lock);
    cudaStream_t s = sim_stream(handle);
    if (!s)
        error = cudaErrorInvalidResourceHandle;
    else if (s->capture)
        error = sim_no_capture("cudaStreamQuery");
    else if (s->head)
        error = cudaErrorNotReady, sim_nudge();
    else
        sim_join(&sim_host, &s->clock);
    pthread_mutex_unlock(&sim_lock);
    return sim_return(error ? error : sim_sticky());
}

SIM_API cudaError_t cudaDeviceSynchronize(void) {
    cudaError_t error = sim_begin("cudaDeviceSynchronize", cudaErrorLaunchFailure);
    return sim_return(error ? error : sim_drain_all());
}

/* ---- events ---- */
static bool known(cudaEvent_t e) {
    for (cudaEvent_t o = events; o; o = o->next)
        if (o == e)
            return true;
    sim_violation("an event is used that does not exist or was destroyed");
    return false;
}

SIM_API cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags) {
    cudaError_t error = sim_begin("cudaEventCreate", cudaErrorMemoryAllocation);
    if (error)
        return sim_return(error);
    cudaEvent_t e = calloc(1, sizeof *e);
    if (!e)
        return sim_return(cudaErrorMemoryAllocation);
    e->timing = !(flags & cudaEventDisableTiming);
    pthread_mutex_lock(&sim_lock);
    e->next = events;
    events = e;
    pthread_mutex_unlock(&sim_lock);
    sim_count("event", 1);
    *out = e;
    return cudaSuccess;
}

SIM_API cudaError_t cudaEventCreate(cudaEvent_t *out) {
    return cudaEventCreateWithFlags(out, cudaEventDefault);
}

SIM_API cudaError_t cudaEventDestroy(cudaEvent_t e) {
    sim_start();
    pthread_mutex_lock(&sim_lock);
    bool ok = known(e);
    for (cudaEvent_t *p = &events; ok && *p; p = &(*p)->next)
        if (*p == e) {
            *p = e->next;
            break;
        }
    if (ok) {
        sim_token_drop(&e->token);
        free(e);
    }
    pthread_mutex_unlock(&sim_lock);
    if (!ok)
        return sim_return(cudaErrorInvalidResourceHandle);
    sim_count("event", -1);
    return cudaSuccess;
}

SIM_API cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t handle) {
    cudaError_t error = sim_begin("cudaEventRecord", cudaErrorLaunchFailure);
    if (error)
        return sim_return(error);
    pthread_mutex_lock(&sim_lock);
    cudaStream_t s = sim_stream(handle);
    if (!s || !known(e)) {
        error = cudaErrorInvalidResourceHandle;
    } else if (s->capture) {
        error = sim_capture_record(s, e);
    } else {
        e->capture = 0;
        sim_token_drop(&e->token);
        e->token = sim_token_new();
        sim_push(s, SIM_RECORD, NULL, NULL, 0, "event record", e->token);
    }
    pthread_mutex_unlock(&sim_lock);
    return sim_return(error);
}

SIM_API cudaError_t cudaEventRecordWithFlags(cudaEvent_t e, cudaStream_t s, unsigned flags) {
    return flags ? sim_return(cudaErrorNotSupported) : cudaEventRecord(e, s);
}

SIM_API cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t e, unsigned flags) {
    cudaError_t error = sim_begin("cudaStreamWaitEvent", cudaErrorLaunchFailure);
    if (error || flags)
        return sim_return(error ? error : cudaErrorNotSupported);
    pthread_mutex_lock(&sim_lock);
    cudaStream_t s = sim_stream(handle);
    if (!s || !known(e))
        error = cudaErrorInvalidResourceHandle;
    else if (s->capture || e->capture)
        error = sim_capture_wait(s, e);
    else if (e->token) /* of an event that was never recorded, nothing is waited for */
        sim_push(s, SIM_WAIT, NULL, NULL, 0, "event wait", e->token);
    pthread_mutex_unlock(&sim_lock);
    return sim_return(error);
}

SIM_API cudaError_t cudaEventQuery(cudaEvent_t e) {
    cudaError_t error = sim_begin("cudaEventQuery", cudaErrorLaunchFailure);
    if (error)
        return sim_return(error);
    pthread_mutex_lock(&sim_lock);
    if (!known(e))
        error = cudaErrorInvalidResourceHandle;
    else if (e->capture)
        error = cudaErrorCapturedEvent;
    else if (e->token && !e->token->done)
        error = cudaErrorNotReady, sim_nudge();
    else if (e->token)
        sim_join(&sim_host, &e->token->seen);
    pthread_mutex_unlock(&sim_lock);
    return sim_return(error ? error : sim_sticky());
}

SIM_API cudaError_t cudaEventSynchronize(cudaEvent_t e) {
    cudaError_t error = sim_begin("cudaEventSynchronize", cudaErrorLaunchFailure);
    if (error)
        return sim_return(error);
    pthread_mutex_lock(&sim_lock);
    if (!known(e))
        error = cudaErrorInvalidResourceHandle;
    else if (e->capture)
        error = cudaErrorCapturedEvent;
    else if (e->token)
        sim_wait_token(e->token);
    pthread_mutex_unlock(&sim_lock);
    return sim_return(error ? error : sim_sticky());
}

SIM_API cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to) {
    cudaError_t error = sim_begin("cudaEventElapsedTime", cudaErrorLaunchFailure);
    if (error)
        return sim_return(error);
    pthread_mutex_lock(&sim_lock);
    if (!known(from) || !known(to) || !from->timing || !to->timing || !from->token || !to->token)
        error = cudaErrorInvalidResourceHandle;
    else if (!from->token->done || !to->token->done)
        error = cudaErrorNotReady;
    else
        *ms = (float)((double)(to->token->at.tv_sec - from->token->at.tv_sec) * 1e3 +
                      (double)(to->token->at.tv_nsec - from->token->at.tv_nsec) * 1e-6);
    pthread_mutex_unlock(&sim_lock);
    return sim_return(error);
}

/* ---- a function of the host in a stream ---- */
typedef struct {
    cudaHostFn_t function;
    void *data;
} host_call;

static int call_host(void *args) {
    const host_call *call = args;
    call->function(call->data);
    return SIM_DONE;
}

SIM_API cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t function, void *data) {
    cudaError_t error = sim_begin("cudaLaunchHostFunc", cudaErrorLaunchFailure);
    if (error)
        return sim_return(error);
    host_call call = {function, data};
    return sim_enqueue(s, call_host, &call, sizeof call, "host function");
}
