/* io/seal.c - files whose first 512 bytes hold the digest of the rest.
 *
 * A file is read once, into memory, and what was checked is what is used: nothing can change in
 * between. The digest finds damage, not malice: who can write the file can write the digest too. */
#include "io/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/progress.h"

static const char hdf5_signature[8] = {'\x89', 'H', 'D', 'F', '\r', '\n', '\x1a', '\n'};

/* The one form that the first block can have for this digest and this many bytes after it. */
static void format_seal(unsigned char seal[DT_SEAL_BYTES], const char *hex, size_t n_rest) {
    memset(seal, 0, DT_SEAL_BYTES);
    snprintf((char *)seal, DT_SEAL_BYTES,
             "dtrain sha256 %.64s of the %zu bytes after the first %d\n", hex, n_rest,
             DT_SEAL_BYTES);
}

dt_status dt_seal_write(const char *path, unsigned char *bytes, size_t nbytes) {
    char hex[DT_SHA256_HEX];
    dt_sha256(bytes + DT_SEAL_BYTES, nbytes - DT_SEAL_BYTES, hex);
    if (hex[0] == '\0')
        return dt_fail(DT_EDEVICE, "cannot write %s: OpenSSL has no SHA-256", path);
    format_seal(bytes, hex, nbytes - DT_SEAL_BYTES);
    return dt_file_write(path, bytes, nbytes);
}

static dt_status read_all(int fd, const char *path, unsigned char *bytes, size_t nbytes) {
    for (size_t done = 0; done < nbytes;) {
        ssize_t n = read(fd, bytes + done, nbytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return dt_fail(DT_EIO, "cannot read %s: %s after %zu of %zu bytes", path,
                           n < 0 ? strerror(errno) : "it ends", done, nbytes);
        done += (size_t)n;
        dt_progress_tick();
    }
    return DT_OK;
}

/* Does the line promise n_rest more bytes? If not, say what is wrong with the file. */
static dt_status check_seal(const char *path, const unsigned char seal[DT_SEAL_BYTES],
                            size_t n_rest) {
    char text[DT_SEAL_BYTES + 1], hex[DT_SHA256_HEX];
    unsigned char again[DT_SEAL_BYTES];
    size_t n_promised;
    memcpy(text, seal, DT_SEAL_BYTES);
    text[DT_SEAL_BYTES] = '\0';
    if (memcmp(seal, hdf5_signature, sizeof hdf5_signature) == 0)
        return dt_fail(
            DT_EIO, "%s: an HDF5 file, but of another program: it has no digest of dtrain in front",
            path);
    if (sscanf(text, "dtrain sha256 %64[0-9a-f] of the %zu bytes", hex, &n_promised) != 2)
        return dt_fail(DT_EIO, "%s: damaged, or not a file of dtrain: it has no digest in front",
                       path);
    format_seal(again, hex, n_promised);
    if (memcmp(seal, again, DT_SEAL_BYTES) != 0)
        return dt_fail(DT_EIO, "%s: damaged in its first %d bytes", path, DT_SEAL_BYTES);
    if (n_promised > n_rest)
        return dt_fail(DT_EIO, "%s: cut off: %zu of %zu bytes are there", path,
                       n_rest + DT_SEAL_BYTES, n_promised + DT_SEAL_BYTES);
    if (n_promised < n_rest)
        return dt_fail(DT_EIO, "%s: damaged: %zu bytes too many at its end", path,
                       n_rest - n_promised);
    return DT_OK;
}

/* The digest is in text[14 .. 78) of a seal of the right form. */
static dt_status check_digest(const char *path, const unsigned char *bytes, size_t nbytes) {
    char hex[DT_SHA256_HEX];
    const char *promised = (const char *)bytes + strlen("dtrain sha256 ");
    dt_sha256(bytes + DT_SEAL_BYTES, nbytes - DT_SEAL_BYTES, hex);
    if (memcmp(hex, promised, DT_SHA256_HEX - 1) != 0)
        return dt_fail(DT_EIO, "%s: damaged: its SHA-256 is %.12s..., its first line says %.12s...",
                       path, hex, promised);
    return DT_OK;
}

static dt_status read_sealed(int fd, const char *path, unsigned char **bytes, size_t *nbytes) {
    struct stat st;
    unsigned char seal[DT_SEAL_BYTES];
    if (fstat(fd, &st) != 0)
        return dt_fail(DT_EIO, "cannot read %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return dt_fail(DT_EIO, "%s: not a regular file", path);
    if (st.st_size < DT_SEAL_BYTES)
        return dt_fail(
            DT_EIO,
            "%s: cut off, or not a file of dtrain: %lld bytes, the digest in front alone has %d",
            path, (long long)st.st_size, DT_SEAL_BYTES);
    *nbytes = (size_t)st.st_size;
    DT_TRY(read_all(fd, path, seal, sizeof seal));
    DT_TRY(check_seal(path, seal, *nbytes - DT_SEAL_BYTES)); /* before memory is asked for */
    *bytes = malloc(*nbytes);
    if (!*bytes)
        return dt_fail(DT_EDEVICE, "no memory for the %zu bytes of %s", *nbytes, path);
    memcpy(*bytes, seal, sizeof seal);
    DT_TRY(read_all(fd, path, *bytes + DT_SEAL_BYTES, *nbytes - DT_SEAL_BYTES));
    return check_digest(path, *bytes, *nbytes);
}

dt_status dt_seal_read(const char *path, unsigned char **bytes, size_t *nbytes) {
    *bytes = NULL;
    *nbytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO must not hang us */
    if (fd < 0)
        return dt_fail(DT_EIO, "cannot open %s: %s", path, strerror(errno));
    dt_status status = read_sealed(fd, path, bytes, nbytes);
    close(fd);
    if (status != DT_OK) {
        free(*bytes);
        *bytes = NULL;
        *nbytes = 0;
    }
    return status;
}
