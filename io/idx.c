/* io/idx.c - one IDX file, plain or gzip, every byte accounted for.
 *
 * The first two bytes tell the two kinds apart: gzip starts with 1f 8b, IDX with 00 00. The header
 * is read first, in both cases, and gives the exact length that the file must have; only then is
 * anything as large as that mapped or allocated. So a header that lies costs nothing: a plain
 * file's length is known, and a gzip file cannot hold more than DEFLATE_MAX_RATIO times its own
 * length.
 *
 * A plain file is mapped: ranks of one host share its pages, and nothing is read that is not used.
 */
#include "io/idx.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "io/progress.h"

enum {
    TYPE_UNSIGNED_BYTE = 8,
    HEADER_MAX = 4 + 4 * DT_IDX_MAX_DIMS,
    INFLATE_PIECE = 1 << 20,
    DEFLATE_MAX_RATIO = 1032, /* 258 bytes from two bits: zlib's technical notes */
};

static uint32_t big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static size_t header_bytes(const dt_idx *idx) {
    return 4 + 4 * (size_t)idx->n_dims;
}

/* "60000 x 28 x 28" */
static const char *dims_text(const dt_idx *idx, char text[64]) {
    int n = 0;
    for (int i = 0; i < idx->n_dims; i++)
        n += snprintf(text + n, 64 - (size_t)n, "%s%u", i ? " x " : "", idx->dims[i]);
    return text;
}

/* Fill in dims and n_bytes from the first n bytes of a file. */
static dt_status parse_header(const char *name, const uint8_t *bytes, size_t n, dt_idx *idx) {
    char text[64];
    if (n == 0)
        return dt_fail(DT_EDATA, "%s: is empty", name);
    if (n < 4)
        return dt_fail(DT_EDATA, "%s: %zu bytes, too short for an IDX file", name, n);
    if (bytes[0] != 0 || bytes[1] != 0)
        return dt_fail(DT_EDATA, "%s: no IDX file: starts with %02x %02x %02x %02x, not 00 00",
                       name, bytes[0], bytes[1], bytes[2], bytes[3]);
    if (bytes[2] != TYPE_UNSIGNED_BYTE)
        return dt_fail(DT_EDATA, "%s: IDX type 0x%02x; only 0x08, unsigned bytes, is read", name,
                       bytes[2]);
    if (bytes[3] < 1 || bytes[3] > DT_IDX_MAX_DIMS)
        return dt_fail(DT_EDATA, "%s: %d dimensions, not 1 to %d", name, bytes[3], DT_IDX_MAX_DIMS);
    idx->n_dims = bytes[3];
    if (n < header_bytes(idx))
        return dt_fail(DT_EDATA, "%s: %zu bytes, cut within its header of %zu", name, n,
                       header_bytes(idx));
    idx->n_bytes = 1;
    for (int i = 0; i < idx->n_dims; i++)
        idx->dims[i] = big_endian(bytes + 4 + 4 * i);
    for (int i = 0; i < idx->n_dims; i++) {
        if (idx->dims[i] == 0)
            return dt_fail(DT_EDATA, "%s: holds nothing: its header says %s", name,
                           dims_text(idx, text));
        if (idx->n_bytes > (size_t)PTRDIFF_MAX / 2 / idx->dims[i])
            return dt_fail(DT_EDATA, "%s: its header says %s, more bytes than can be addressed",
                           name, dims_text(idx, text));
        idx->n_bytes *= idx->dims[i];
    }
    return DT_OK;
}

static dt_status wrong_length(const char *name, size_t nbytes, const dt_idx *idx) {
    char text[64];
    size_t header = header_bytes(idx), want = header + idx->n_bytes;
    return dt_fail(DT_EDATA, "%s: %s: %zu bytes, its header says %zu + %s = %zu", name,
                   nbytes < want ? "cut short" : "too long", nbytes, header, dims_text(idx, text),
                   want);
}

/* A gzip file in memory, inflated piece by piece. */
typedef struct {
    const char *name;
    z_stream z;
    const uint8_t *input; /* what z has not been given yet: its counts are 32-bit */
    size_t n_input;
    bool ended; /* all members are inflated */
} gzip;

static dt_status gzip_open(gzip *g, const char *name, const void *bytes, size_t nbytes) {
    *g = (gzip){.name = name, .input = bytes, .n_input = nbytes};
    if (inflateInit2(&g->z, 15 + 16) != Z_OK) /* 16: a gzip header and its CRC-32, nothing else */
        return dt_fail(DT_EDEVICE, "%s: zlib cannot start: %s", name,
                       g->z.msg ? g->z.msg : "no memory");
    return DT_OK;
}

/* Hand zlib the next part of the input; false if there is none left. */
static bool gzip_feed(gzip *g) {
    size_t n = g->n_input < UINT_MAX ? g->n_input : UINT_MAX;
    g->z.next_in = (z_const Bytef *)g->input;
    g->z.avail_in = (uInt)n;
    g->input += n;
    g->n_input -= n;
    return n > 0;
}

/* Inflate up to n bytes to out; *got < n only at the end of the file. */
static dt_status gzip_read(gzip *g, uint8_t *out, size_t n, size_t *got) {
    *got = 0;
    while (*got < n && !g->ended) {
        if (g->z.avail_in == 0 && !gzip_feed(g))
            return dt_fail(DT_EDATA, "%s: the gzip file is cut short", g->name);
        uInt room = (uInt)(n - *got < INFLATE_PIECE ? n - *got : INFLATE_PIECE);
        g->z.next_out = out + *got;
        g->z.avail_out = room;
        int code = inflate(&g->z, Z_NO_FLUSH);
        *got += room - g->z.avail_out;
        dt_progress_tick();
        if (code == Z_STREAM_END && g->z.avail_in + g->n_input > 0)
            code = inflateReset(&g->z); /* gzip files may be joined */
        else if (code == Z_STREAM_END)
            g->ended = true;
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
            return dt_fail(DT_EDATA, "%s: damaged gzip file: %s", g->name,
                           g->z.msg ? g->z.msg : zError(code));
    }
    return DT_OK;
}

/* The rest of a gzip file whose header said idx: exactly as many bytes, not one more. */
static dt_status gzip_body(gzip *g, dt_idx *idx) {
    uint8_t extra;
    size_t got, n_extra;
    uint8_t *data = malloc(idx->n_bytes);
    if (!data)
        return dt_fail(DT_EDEVICE, "%s: no memory for %zu bytes", g->name, idx->n_bytes);
    dt_status status;
    DT_TRY_GOTO(status, gzip_read(g, data, idx->n_bytes, &got), failed);
    if (got < idx->n_bytes) {
        status = wrong_length(g->name, header_bytes(idx) + got, idx);
        goto failed;
    }
    DT_TRY_GOTO(status, gzip_read(g, &extra, 1, &n_extra), failed); /* also checks the CRC-32 */
    if (n_extra > 0) {
        char text[64];
        status = dt_fail(DT_EDATA, "%s: too long: more than the %zu + %s bytes of its header",
                         g->name, header_bytes(idx), dims_text(idx, text));
        goto failed;
    }
    idx->data = idx->owned = data;
    idx->owned_bytes = idx->n_bytes;
    return DT_OK;
failed:
    free(data);
    return status;
}

static dt_status inflate_file(const char *name, const void *bytes, size_t nbytes, dt_idx *idx) {
    gzip g;
    uint8_t head[HEADER_MAX];
    size_t got, more;
    dt_status status;
    DT_TRY(gzip_open(&g, name, bytes, nbytes));
    DT_TRY_GOTO(status, gzip_read(&g, head, 4, &got), done);
    size_t rest = got == 4 && head[3] <= DT_IDX_MAX_DIMS ? 4 * (size_t)head[3] : 0;
    DT_TRY_GOTO(status, gzip_read(&g, head + got, rest, &more), done);
    DT_TRY_GOTO(status, parse_header(name, head, got + more, idx), done);
    if (idx->n_bytes / DEFLATE_MAX_RATIO > nbytes) {
        char text[64];
        status = dt_fail(DT_EDATA, "%s: %zu bytes of gzip cannot hold the %s bytes of its header",
                         name, nbytes, dims_text(idx, text));
        goto done;
    }
    status = gzip_body(&g, idx);
done:
    inflateEnd(&g.z);
    return status;
}

/* Map the whole of a regular file. */
static dt_status map_file(const char *path, void **map, size_t *nbytes) {
    struct stat st;
    dt_status status = DT_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not make us wait */
    if (fd < 0)
        return dt_fail(DT_EDATA, "%s: cannot be opened: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0)
        status = dt_fail(DT_EDATA, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        status = dt_fail(DT_EDATA, "%s: is no regular file", path);
    else if (st.st_size == 0)
        status = dt_fail(DT_EDATA, "%s: is empty", path);
    if (status == DT_OK) {
        *nbytes = (size_t)st.st_size;
        *map = mmap(NULL, *nbytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (*map == MAP_FAILED)
            status = dt_fail(DT_EDATA, "%s: cannot be mapped: %s", path, strerror(errno));
    }
    close(fd);
    return status;
}

dt_status dt_idx_parse(const char *name, const void *bytes, size_t nbytes, dt_idx *out) {
    const uint8_t *p = bytes;
    dt_idx idx = {0};
    *out = idx;
    if (nbytes >= 2 && p[0] == 0x1f && p[1] == 0x8b) {
        DT_TRY(inflate_file(name, p, nbytes, &idx));
    } else {
        DT_TRY(parse_header(name, p, nbytes, &idx));
        if (nbytes != header_bytes(&idx) + idx.n_bytes)
            return wrong_length(name, nbytes, &idx);
        idx.data = p + header_bytes(&idx);
    }
    *out = idx;
    return DT_OK;
}

dt_status dt_idx_open(const char *path, dt_idx *out) {
    void *map = NULL;
    size_t nbytes = 0;
    *out = (dt_idx){0};
    DT_TRY(map_file(path, &map, &nbytes));
    dt_status status = dt_idx_parse(path, map, nbytes, out);
    if (status != DT_OK || out->owned) { /* the mapping is of no more use */
        munmap(map, nbytes);
        return status;
    }
    out->owned = map;
    out->owned_bytes = nbytes;
    out->is_mapped = 1;
    return DT_OK;
}

void dt_idx_close(dt_idx *idx) {
    if (idx->is_mapped)
        munmap(idx->owned, idx->owned_bytes);
    else
        free(idx->owned);
    *idx = (dt_idx){0};
}

void dt_idx_library(char *text, size_t nbytes) {
    snprintf(text, nbytes, "zlib %s", zlibVersion());
}
