/* IDX files: plain and gzip give the same bytes; every way of being wrong is named with the file
 * and its numbers. */
#include <sys/stat.h>
#include <zlib.h>
#include "io/idx.h"
#include "tests/t.h"

static char dir[] = "/tmp/dtrain-test-idx-XXXXXX";
static char path[128];

static void put_bytes(const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    T_CHECK(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

/* The same, compressed; returns its length, and its bytes in packed if that is not NULL. */
static size_t put_gzip(const void *bytes, size_t n, unsigned char *packed, size_t room) {
    gzFile f = gzopen(path, "wb9");
    T_CHECK(f && gzwrite(f, bytes, (unsigned)n) == (int)n && gzclose(f) == Z_OK);
    if (!packed)
        return 0;
    FILE *in = fopen(path, "rb");
    size_t got = in ? fread(packed, 1, room, in) : 0;
    T_CHECK(got > 0 && got < room && fclose(in) == 0);
    return got;
}

/* A header of these dimensions; returns its length. */
static size_t put_header(unsigned char *out, int n_dims, const uint32_t *dims) {
    const unsigned char start[4] = {0, 0, 8, (unsigned char)n_dims};
    memcpy(out, start, 4);
    for (int i = 0; i < n_dims; i++)
        for (int k = 0; k < 4; k++)
            out[4 + 4 * i + k] = (unsigned char)(dims[i] >> (24 - 8 * k));
    return 4 + 4 * (size_t)n_dims;
}

enum { N = 5, H = 3, W = 7, SIZE = 16 + N * H * W };
static unsigned char good[SIZE + 1];

static void make_good(void) {
    put_header(good, 3, (const uint32_t[]){N, H, W});
    for (int i = 16; i < SIZE + 1; i++)
        good[i] = (unsigned char)(i * 37);
}

static void check_good(const dt_idx *idx) {
    T_CHECK(idx->n_dims == 3 && idx->dims[0] == N && idx->dims[1] == H && idx->dims[2] == W);
    T_CHECK(idx->n_bytes == N * H * W);
    T_CHECK(idx->data && memcmp(idx->data, good + 16, N * H * W) == 0);
}

static void test_good(void) {
    dt_idx idx;
    put_bytes(good, SIZE);
    T_OK(dt_idx_open(path, &idx));
    check_good(&idx);
    T_CHECK(idx.is_mapped);
    dt_idx_close(&idx);
    T_CHECK(idx.data == NULL);
    dt_idx_close(&idx);
    put_gzip(good, SIZE, NULL, 0);
    T_OK(dt_idx_open(path, &idx));
    check_good(&idx);
    T_CHECK(!idx.is_mapped);
    dt_idx_close(&idx);
    T_OK(dt_idx_parse("memory", good, SIZE, &idx));
    check_good(&idx);
    dt_idx_close(&idx);
    T_CHECK(good[0] == 0); /* the bytes are still ours */
}

/* Two gzip files one after the other are one, as for gzip -d, wherever the cut is. */
static void test_joined_gzip(void) {
    static const size_t cuts[] = {1, 3, 4, 9, 16, 50, SIZE - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        unsigned char joined[2048];
        dt_idx idx;
        size_t n = put_gzip(good, cuts[i], joined, 1024);
        n += put_gzip(good + cuts[i], SIZE - cuts[i], joined + n, 1024);
        T_OK(dt_idx_parse("joined", joined, n, &idx));
        check_good(&idx);
        dt_idx_close(&idx);
    }
}

static void fails(const void *bytes, size_t n, const char *word) {
    dt_idx idx = {.n_dims = 77};
    put_bytes(bytes, n);
    T_FAILS(dt_idx_open(path, &idx), DT_EDATA, word);
    T_CHECK(strstr(dt_error(), path) != NULL); /* the file is named */
    T_CHECK(idx.n_dims == 0 && idx.data == NULL && idx.owned == NULL);
}

static void test_lengths(void) {
    char word[64];
    for (size_t n = 0; n < SIZE; n++) {
        snprintf(word, sizeof word,
                 n == 0   ? "is empty"
                 : n < 16 ? "%zu bytes"
                          : "cut short: %zu",
                 n);
        fails(good, n, word);
    }
    fails(good, SIZE - 1, "its header says 16 + 5 x 3 x 7 = 121");
    fails(good, SIZE + 1, "too long: 122 bytes");
}

static void test_headers(void) {
    unsigned char bad[SIZE];
    const struct {
        int at, value;
        const char *word;
    } wrong[] = {
        {0, 1, "no IDX file: starts with 01 00 08 03"},
        {1, 1, "no IDX file"},
        {2, 0x0d, "IDX type 0x0d"},
        {2, 0, "IDX type 0x00"},
        {3, 0, "0 dimensions"},
        {3, 5, "5 dimensions, not 1 to 4"},
        {3, 255, "255 dimensions"},
        {3, 2, "too long"},
        {7, 0, "holds nothing: its header says 0 x 3 x 7"},
        {7, 6, "cut short"},
        {7, 4, "too long"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        memcpy(bad, good, SIZE);
        bad[wrong[i].at] = (unsigned char)wrong[i].value;
        fails(bad, SIZE, wrong[i].word);
    }
}

/* Sizes made to overflow, or to make us allocate what no file could fill. */
static void test_hostile(void) {
    unsigned char bad[64] = {0}, packed[1024];
    static const struct {
        uint32_t dims[4];
        const char *word;
    } sizes[] = {
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, "more bytes than can be addressed"},
        {{0x80000000, 0x80000000, 4, 1}, "more bytes than can be addressed"}, /* 2^64: wraps to 0 */
        {{0x80000000, 0x80000000, 2, 1}, "more bytes than can be addressed"}, /* 2^63 */
        {{0x10001, 0x10001, 0xffff, 0xffff}, "more bytes than can be addressed"},
        {{0xffffffff, 0x1000, 1, 1}, "cut short"},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = put_header(bad, 4, sizes[i].dims);
        fails(bad, n + 8, sizes[i].word);
        n = put_gzip(bad, n + 8, packed, sizeof packed);
        fails(packed, n, i < 4 ? sizes[i].word : "of gzip cannot hold");
    }
}

static void test_bad_gzip(void) {
    unsigned char packed[1024], bad[1024];
    size_t n = put_gzip(good, SIZE, packed, sizeof packed);
    for (size_t cut = 2; cut < n; cut++)
        fails(packed, cut, "gzip file is cut short");
    memcpy(bad, packed, n);
    bad[n - 5] ^= 1; /* the CRC-32 */
    fails(bad, n, "damaged gzip file: incorrect data check");
    memcpy(bad, packed, n);
    bad[n - 1] ^= 1; /* the length */
    fails(bad, n, "damaged gzip file: incorrect length check");
    memcpy(bad, packed, n);
    memcpy(bad + n, "tail", 4);
    fails(bad, n + 4, "damaged gzip file");
    bad[2] = 7; /* the method */
    fails(bad, n, "damaged gzip file");
    n = put_gzip(good, SIZE - 1, packed, sizeof packed);
    fails(packed, n, "cut short: 120 bytes, its header says 16 + 5 x 3 x 7 = 121");
    n = put_gzip(good, SIZE + 1, packed, sizeof packed);
    fails(packed, n, "too long");
    n = put_gzip(good, 0, packed, sizeof packed);
    fails(packed, n, "is empty");
    n = put_gzip(good, 9, packed, sizeof packed);
    fails(packed, n, "9 bytes, cut within its header of 16");
}

static void test_unreadable(void) {
    dt_idx idx;
    unlink(path);
    T_FAILS(dt_idx_open(path, &idx), DT_EDATA, "cannot be opened: No such file");
    T_FAILS(dt_idx_open(dir, &idx), DT_EDATA, "no regular file");
    T_CHECK(mkfifo(path, 0600) == 0); /* must not wait for a writer */
    T_FAILS(dt_idx_open(path, &idx), DT_EDATA, "no regular file");
    unlink(path);
    put_bytes(good, SIZE);
    if (chmod(path, 0) == 0 && access(path, R_OK) != 0) /* root may read all */
        T_FAILS(dt_idx_open(path, &idx), DT_EDATA, "Permission denied");
}

int main(void) {
    T_BEGIN(60);
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/file", dir);
    make_good();
    test_good();
    test_joined_gzip();
    test_lengths();
    test_headers();
    test_hostile();
    test_bad_gzip();
    test_unreadable();
    unlink(path);
    T_CHECK(rmdir(dir) == 0);
    return t_finish();
}
