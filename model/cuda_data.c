/* model/cuda_data.c - samples in the order of the work, as bytes, into device memory.
 *
 * A source is one block: sample numbers, labels, images, for so many micro-batches; the same layout
 * in pinned host memory, where it is gathered, and on the device. It goes over in one copy. */
#include <stdlib.h>
#include <string.h>
#include "model/cuda_impl.h"

static size_t rows_of(const dt_device *d, int64_t n_micros) {
    return (size_t)n_micros * (size_t)d->config.micro_batch;
}

static size_t pixels_of(const dt_device *d) {
    return dt_shape_size(d->config.net->in);
}

/* Bytes of n_micros micro-batches: 8 for the number, 1 for the label, the image. */
static size_t bytes_of(const dt_device *d, int64_t n_micros) {
    return rows_of(d, n_micros) * (sizeof(int64_t) + 1 + pixels_of(d));
}

void cuda_source_close(cuda_source *s) {
    if (s->host)
        cudaFreeHost(s->host);
    if (s->device)
        cudaFree(s->device);
    if (s->uploaded)
        cudaEventDestroy(s->uploaded);
    *s = (cuda_source){0};
}

dt_status cuda_source_open(dt_device *d, cuda_source *s, int64_t capacity) {
    size_t nbytes = bytes_of(d, capacity);
    *s = (cuda_source){.capacity = capacity};
    DT_TRY(cuda_check(cudaEventCreateWithFlags(&s->uploaded, cudaEventDisableTiming), "no event"));
    DT_TRY(cuda_check(cudaMallocHost((void **)&s->host, nbytes), "no pinned memory for samples"));
    return cuda_check(cudaMalloc((void **)&s->device, nbytes), "no device memory for samples");
}

/* The rows of micro-batches [first, first + n_micros) of the source's. */
static void gather(const dt_device *d, cuda_source *s, dt_set set, const dt_work *work) {
    size_t all = rows_of(d, s->n_micros), n = rows_of(d, work->n_micros), pixels = pixels_of(d);
    size_t from = rows_of(d, work->first);
    const int64_t *samples = work->samples;
    uint8_t *numbers = s->host + from * sizeof *samples;
    uint8_t *labels = s->host + all * sizeof *samples + from;
    uint8_t *images = s->host + all * (sizeof *samples + 1) + from * pixels;
    if (n > 0)
        memcpy(numbers, samples, n * sizeof *samples);
    for (size_t i = 0; i < n; i++, images += pixels) {
        labels[i] = 0;
        if (samples[i] < 0) {
            memset(images, 0, pixels);
            continue;
        }
        labels[i] = d->sets[set].labels[samples[i]];
        memcpy(images, d->sets[set].images + (size_t)samples[i] * pixels, pixels);
    }
}

dt_status cuda_source_gather(dt_device *d, cuda_source *s, dt_set set, const dt_work *work) {
    if (work->first == 0) { /* the last upload from this memory, long ago */
        DT_TRY(cuda_check(cudaEventSynchronize(s->uploaded), "an upload failed"));
        s->n_micros = work->n_micros + work->rest;
    }
    gather(d, s, set, work);
    return DT_OK;
}

dt_status cuda_source_upload(dt_device *d, cuda_source *s, cudaStream_t stream) {
    if (s->n_micros > 0)
        DT_TRY(cuda_check(cudaMemcpyAsync(s->device, s->host, bytes_of(d, s->n_micros),
                                          cudaMemcpyHostToDevice, stream),
                          "samples cannot be uploaded"));
    return cuda_check(cudaEventRecord(s->uploaded, stream), "an event cannot be recorded");
}

cuda_work cuda_source_work(const dt_device *d, const cuda_source *s) {
    size_t n = rows_of(d, s->n_micros);
    const uint8_t *labels = s->device + n * sizeof(int64_t);
    return (cuda_work){.images = labels + n,
                       .labels = labels,
                       .samples = (const int64_t *)(const void *)s->device,
                       .epoch = s->epoch};
}
