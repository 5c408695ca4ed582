/* Event files: the checksum's known values, and the bytes of a file taken apart again. */
#include "tests/t.h"

#include <glob.h>
#include <signal.h>
#include <sys/resource.h>

#include "io/events.h"

static uint64_t little(const unsigned char *at, int n) {
    uint64_t v = 0;
    for (int i = n - 1; i >= 0; i--)
        v = v << 8 | at[i];
    return v;
}

static uint32_t masked(const void *data, size_t n) {
    uint32_t crc = dt_crc32c(data, n);
    return (crc >> 15 | crc << 17) + 0xa282ead8;
}

/* From RFC 3720, appendix B.4. */
static void test_checksum(void) {
    unsigned char bytes[32] = {0};
    T_CHECK(dt_crc32c("123456789", 9) == 0xe3069283);
    T_CHECK(dt_crc32c(bytes, 32) == 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    T_CHECK(dt_crc32c(bytes, 32) == 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    T_CHECK(dt_crc32c(bytes, 32) == 0x46dd794e);
}

/* The only event file in dir, its bytes for free(). */
static unsigned char *read_file(const char *pattern, size_t *n) {
    glob_t found;
    unsigned char *bytes = NULL;
    *n = 0;
    if (!T_CHECK(glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc == 1))
        return NULL;
    FILE *f = fopen(found.gl_pathv[0], "rb");
    if (T_CHECK(f != NULL)) {
        bytes = malloc(1 << 20);
        *n = fread(bytes, 1, 1 << 20, f);
        fclose(f);
    }
    globfree(&found);
    return bytes;
}

/* A record's payload, checked; moves *at past it. */
static const unsigned char *record(const unsigned char *bytes, size_t n, size_t *at, size_t *size) {
    const unsigned char *r = bytes + *at;
    *size = (size_t)little(r, 8);
    if (!T_CHECK(*at + 16 + *size <= n && little(r + 8, 4) == masked(r, 8) &&
                 little(r + 12 + *size, 4) == masked(r + 12, *size)))
        return NULL;
    *at += 16 + *size;
    return r + 12;
}

static void test_file(void) {
    dt_events *events;
    size_t n, at = 0, size;
    T_OK(dt_events_open("board/a/b", &events));
    dt_events_scalar(events, "train/loss", 300, 0.5);
    dt_events_scalar(events, "x", 0, -1e300); /* too large for a float: minus infinity */
    T_OK(dt_events_flush(events));
    T_OK(dt_events_flush(events)); /* nothing waits: nothing twice */
    dt_events_close(&events);
    T_CHECK(events == NULL);
    unsigned char *bytes = read_file("board/a/b/events.out.tfevents.*", &n);
    const unsigned char *p = bytes ? record(bytes, n, &at, &size) : NULL;
    /* wall_time, then field 3, 13 bytes */
    T_CHECK(p && size == 9 + 2 + 13 && p[0] == 0x09 &&
            memcmp(p + 9,
                   "\x1a\x0d"
                   "brain.Event:2",
                   15) == 0);
    p = p ? record(bytes, n, &at, &size) : NULL;
    static const unsigned char want[] = "\x10\xac\x02"       /* step 300 */
                                        "\x2a\x13\x0a\x11"   /* summary of 19, value of 17 bytes */
                                        "\x0a\x0atrain/loss" /* tag of 10 */
                                        "\x15\x00\x00\x00\x3f"; /* 0.5 */
    T_CHECK(p && size == 9 + sizeof want - 1 && memcmp(p + 9, want, sizeof want - 1) == 0);
    p = p ? record(bytes, n, &at, &size) : NULL;
    T_CHECK(p && memcmp(p + size - 4, "\x00\x00\x80\xff", 4) == 0);
    T_CHECK(at == n);
    free(bytes);
}

/* A disk that is full in the middle of a record, and has room again: nothing is lost or torn. */
static void test_full(void) {
    struct rlimit was, full;
    dt_events *events;
    size_t n, at = 0, size, records = 0;
    T_CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && getrlimit(RLIMIT_FSIZE, &was) == 0);
    T_OK(dt_events_open("full", &events));
    T_OK(dt_events_flush(events));
    for (int i = 0; i < 3; i++)
        dt_events_scalar(events, "train/loss", i, 0.5);
    full = was;
    full.rlim_cur = 40 + 48 + 7; /* the version, one scalar, and the beginning of another */
    T_CHECK(setrlimit(RLIMIT_FSIZE, &full) == 0);
    T_FAILS(dt_events_flush(events), DT_EIO, "full/events");
    T_CHECK(setrlimit(RLIMIT_FSIZE, &was) == 0);
    dt_events_scalar(events, "train/loss", 3, 0.5);
    T_OK(dt_events_flush(events));
    dt_events_close(&events);
    unsigned char *bytes = read_file("full/events.out.tfevents.*", &n);
    while (bytes && at < n && record(bytes, n, &at, &size))
        records++;
    T_CHECK(at == n && records == 1 + 4);
    free(bytes);
}

static void test_failures(void) {
    dt_events *events;
    FILE *f = fopen("file", "w");
    T_CHECK(f && fclose(f) == 0);
    T_FAILS(dt_events_open("file/dir", &events), DT_EIO, "file");
    T_CHECK(events == NULL);
}

int main(void) {
    T_BEGIN(60);
    test_checksum();
    test_file();
    test_full();
    test_failures();
    return t_finish();
}
