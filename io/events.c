/* io/events.c - TensorBoard's event files, written by hand.
 *
 * A file is a sequence of TFRecords: a little-endian length of 8 bytes, its checksum, the payload,
 * its checksum. A payload is a protocol buffer, tensorflow.Event, of which few fields are needed:
 *
 *   Event          1 wall_time double   2 step int64   3 file_version string   5 summary Summary
 *   Summary        1 value, repeated
 *   Summary.Value  1 tag string         2 simple_value float
 *
 * The first event holds file_version "brain.Event:2". */
#include "io/events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "io/file.h"

enum { MOST_PAYLOAD = 512, MOST_TAG = 256, RECORD_MORE = 16, MOST_WAITING = 1 << 26 };
enum { FIXED64 = 1, BYTES = 2, FIXED32 = 5 }; /* wire types; 0 is varint */

struct dt_events {
    int fd;
    char path[DT_PATH_MAX];
    unsigned char *waiting;
    size_t n, capacity;
    int lost; /* values for which there was no room */
};

typedef struct {
    unsigned char bytes[MOST_PAYLOAD];
    size_t n;
} message;

uint32_t dt_crc32c(const void *data, size_t nbytes) {
    const unsigned char *at = data;
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < nbytes; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

/* --- protocol buffers --- */

static void put_little(message *m, uint64_t v, int nbytes) {
    for (int i = 0; i < nbytes; i++)
        m->bytes[m->n++] = (unsigned char)(v >> 8 * i);
}

static void put_varint(message *m, uint64_t v) {
    for (; v >= 128; v >>= 7)
        m->bytes[m->n++] = (unsigned char)(v | 128);
    m->bytes[m->n++] = (unsigned char)v;
}

static void put_key(message *m, unsigned number, unsigned wire) {
    put_varint(m, number << 3 | wire);
}

static void put_double(message *m, unsigned number, double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_key(m, number, FIXED64);
    put_little(m, bits, 8);
}

static void put_float(message *m, unsigned number, float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_key(m, number, FIXED32);
    put_little(m, bits, 4);
}

static void put_bytes(message *m, unsigned number, const void *data, size_t nbytes) {
    put_key(m, number, BYTES);
    put_varint(m, nbytes);
    memcpy(m->bytes + m->n, data, nbytes);
    m->n += nbytes;
}

static void begin_event(message *m) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    m->n = 0;
    put_double(m, 1, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
}

/* --- records --- */

static uint32_t masked(const void *data, size_t nbytes) {
    uint32_t crc = dt_crc32c(data, nbytes);
    return (crc >> 15 | crc << 17) + 0xa282ead8;
}

static void append(dt_events *e, const message *m) {
    message head = {.n = 0}, tail = {.n = 0};
    if (e->n + m->n + RECORD_MORE > e->capacity) {
        size_t capacity = 2 * e->capacity + 65536;
        unsigned char *grown = capacity <= MOST_WAITING ? realloc(e->waiting, capacity) : NULL;
        if (!grown) {
            e->lost++;
            return;
        }
        e->waiting = grown;
        e->capacity = capacity;
    }
    put_little(&head, m->n, 8);
    put_little(&head, masked(head.bytes, 8), 4);
    put_little(&tail, masked(m->bytes, m->n), 4);
    memcpy(e->waiting + e->n, head.bytes, head.n);
    memcpy(e->waiting + e->n + head.n, m->bytes, m->n);
    memcpy(e->waiting + e->n + head.n + m->n, tail.bytes, tail.n);
    e->n += head.n + m->n + tail.n;
}

dt_status dt_events_open(const char *dir, dt_events **out) {
    static const char version[] = "brain.Event:2";
    char host[64] = "", name[160];
    *out = NULL;
    DT_TRY(dt_mkdirs(dir));
    dt_events *e = calloc(1, sizeof *e);
    if (!e)
        return dt_fail(DT_EDEVICE, "no memory for --tensorboard");
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = 0;
    snprintf(name, sizeof name, "events.out.tfevents.%010lld.%s.%d.0", (long long)time(NULL), host,
             (int)getpid());
    dt_status status = dt_path_join(e->path, dir, name);
    e->fd = -1;
    if (status == DT_OK)
        e->fd = open(e->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (status == DT_OK && e->fd < 0)
        status = dt_fail(DT_EIO, "cannot write to %s: %s", e->path, strerror(errno));
    if (status != DT_OK) {
        dt_events_close(&e);
        return status;
    }
    message m;
    begin_event(&m);
    put_bytes(&m, 3, version, sizeof version - 1);
    append(e, &m);
    *out = e;
    return DT_OK;
}

void dt_events_scalar(dt_events *e, const char *tag, int64_t step, double value) {
    message v = {.n = 0}, summary = {.n = 0}, m;
    put_bytes(&v, 1, tag, strnlen(tag, MOST_TAG));
    put_float(&v, 2, (float)value);
    put_bytes(&summary, 1, v.bytes, v.n);
    begin_event(&m);
    put_key(&m, 2, 0);
    put_varint(&m, (uint64_t)step);
    put_bytes(&m, 5, summary.bytes, summary.n);
    append(e, &m);
}

/* What could not be written waits for the next flush, from the byte on that comes next: a record
 * that a full disk cut is made whole when there is room again. */
dt_status dt_events_flush(dt_events *e) {
    dt_status status = DT_OK;
    size_t done = 0;
    while (status == DT_OK && done < e->n) {
        ssize_t more = write(e->fd, e->waiting + done, e->n - done);
        if (more > 0)
            done += (size_t)more;
        else if (more == 0 || errno != EINTR)
            status = dt_fail(DT_EIO, "cannot write to %s: %s", e->path, strerror(errno));
    }
    if (status == DT_OK && e->lost) {
        status = dt_fail(DT_EDEVICE, "no memory for %d values of %s", e->lost, e->path);
        e->lost = 0;
    }
    e->n -= done;
    if (done > 0 && e->n > 0)
        memmove(e->waiting, e->waiting + done, e->n);
    return status;
}

void dt_events_close(dt_events **events) {
    if (!events || !*events)
        return;
    if ((*events)->fd >= 0)
        close((*events)->fd);
    free((*events)->waiting);
    free(*events);
    *events = NULL;
}
