/* io/file.c - files that are whole or not there, and digests.
 *
 * A crash at any moment leaves the old file or the new one: the new one is written under another
 * name, its bytes reach the disk (fsync), it takes the name in one step (rename), and the directory
 * that holds the name reaches the disk too. Leaving out either fsync is the classic way to find an
 * empty file after a power cut.
 *
 * SHA-256 comes from OpenSSL, which uses the processor's SHA instructions where it has them. */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/evp.h>

#include "io/progress.h"

enum { SHA256_PIECE = 1 << 22 };

dt_status dt_path_join(char out[DT_PATH_MAX], const char *dir, const char *name) {
    int n = snprintf(out, DT_PATH_MAX, "%s/%s", dir, name);
    if (n < 0 || n >= DT_PATH_MAX)
        return dt_fail(DT_EUSAGE, "a path is too long: %d bytes, at most %d: %.80s.../%.80s", n,
                       DT_PATH_MAX - 1, dir, name);
    return DT_OK;
}

bool dt_path_exists(const char *path) {
    return access(path, F_OK) == 0;
}

static int sync_fd(int fd) {
    int failed;
    do
        failed = fsync(fd);
    while (failed && errno == EINTR);
    dt_progress_tick();
    return failed;
}

/* Make the names in path's directory durable. Some file systems cannot fsync a directory and say
 * so: they keep names safe in their own way, or not at all. */
static dt_status sync_dir_of(const char *path) {
    char dir[DT_PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    size_t n = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
    if (n >= sizeof dir)
        return dt_fail(DT_EUSAGE, "a path is too long: %.80s...", path);
    if (n > 0) {
        memcpy(dir, path, n);
        dir[n] = '\0';
    }
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == EACCES)
        return DT_OK; /* may be written to but not read: there is no way */
    if (fd < 0)
        return dt_fail(DT_EIO, "cannot open %s: %s", dir, strerror(errno));
    int why = sync_fd(fd) == 0 ? 0 : errno;
    close(fd);
    if (why != 0 && why != EINVAL && why != ENOTSUP && why != ENOSYS)
        return dt_fail(DT_EIO, "cannot write %s to the disk: %s", dir, strerror(why));
    return DT_OK;
}

/* Make one directory; one that is there already is fine. */
static dt_status make_dir(const char *dir) {
    struct stat st;
    if (mkdir(dir, 0777) == 0)
        return sync_dir_of(dir);
    int why = errno; /* EEXIST, but also EROFS or EACCES for a directory that is there */
    if (stat(dir, &st) != 0)
        return dt_fail(DT_EIO, "cannot make the directory %s: %s", dir, strerror(why));
    if (!S_ISDIR(st.st_mode))
        return dt_fail(DT_EIO, "cannot make the directory %s: a file has that name", dir);
    return DT_OK;
}

dt_status dt_mkdirs(const char *dir) {
    char path[DT_PATH_MAX];
    size_t n = strlen(dir);
    if (n == 0 || n >= sizeof path)
        return dt_fail(DT_EUSAGE, "a directory's name has %zu bytes, not 1 to %d: %.80s", n,
                       DT_PATH_MAX - 1, dir);
    memcpy(path, dir, n + 1);
    for (size_t i = 1; i < n; i++) {
        if (path[i] != '/' || path[i - 1] == '/')
            continue;
        path[i] = '\0';
        DT_TRY(make_dir(path));
        path[i] = '/';
    }
    return make_dir(path);
}

/* fsync on the descriptor that wrote: it alone is sure to be told of what went wrong. */
static dt_status sync_and_close(int fd, const char *path) {
    int why = sync_fd(fd) == 0 ? 0 : errno;
    if (close(fd) != 0 && why == 0 && errno != EINTR)
        why = errno;
    return why ? dt_fail(DT_EIO, "cannot write %s to the disk: %s", path, strerror(why)) : DT_OK;
}

dt_status dt_file_commit(int fd, const char *tmp_path, const char *path) {
    dt_status status = sync_and_close(fd, tmp_path);
    if (status == DT_OK && rename(tmp_path, path) != 0)
        status = dt_fail(DT_EIO, "cannot rename %s to %s: %s", tmp_path, path, strerror(errno));
    if (status != DT_OK) {
        unlink(tmp_path);
        return status;
    }
    return sync_dir_of(path);
}

static dt_status write_all(int fd, const char *path, const char *bytes, size_t nbytes) {
    for (size_t done = 0; done < nbytes;) {
        ssize_t n = write(fd, bytes + done, nbytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return dt_fail(DT_EIO, "cannot write %s: %s after %zu of %zu bytes", path,
                           n < 0 ? strerror(errno) : "nothing is taken", done, nbytes);
        done += (size_t)n;
        dt_progress_tick();
    }
    return DT_OK;
}

dt_status dt_file_write(const char *path, const void *bytes, size_t nbytes) {
    char tmp[DT_PATH_MAX];
    int length = snprintf(tmp, sizeof tmp, "%s.tmp", path);
    if (length < 0 || length >= DT_PATH_MAX)
        return dt_fail(DT_EIO, "cannot write %.80s...: the path is too long", path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return dt_fail(DT_EIO, "cannot write %s: %s", tmp, strerror(errno));
    dt_status status = write_all(fd, path, bytes, nbytes);
    if (status != DT_OK) {
        close(fd);
        unlink(tmp);
        return status;
    }
    return dt_file_commit(fd, tmp, path);
}

/* Up to n bytes; fewer only at the end of the file. */
static ssize_t read_up_to(int fd, char *bytes, size_t n) {
    size_t done = 0;
    while (done < n) {
        ssize_t more = read(fd, bytes + done, n - done);
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            return -1;
        if (more == 0)
            break;
        done += (size_t)more;
    }
    return (ssize_t)done;
}

dt_status dt_file_read(const char *path, size_t limit, void **bytes, size_t *nbytes) {
    struct stat st;
    dt_status status = DT_OK;
    char *room = NULL;
    *bytes = NULL;
    *nbytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO must not hang us */
    if (fd < 0)
        return dt_fail(DT_EIO, "cannot open %s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0)
        status = dt_fail(DT_EIO, "cannot read %s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        status = dt_fail(DT_EIO, "%s: not a regular file", path);
    else if ((size_t)st.st_size > limit)
        status =
            dt_fail(DT_EIO, "%s: %lld bytes, more than %zu", path, (long long)st.st_size, limit);
    else if ((room = malloc((size_t)st.st_size + 1)) == NULL)
        status =
            dt_fail(DT_EDEVICE, "no memory for the %lld bytes of %s", (long long)st.st_size, path);
    else if (read_up_to(fd, room, (size_t)st.st_size) != (ssize_t)st.st_size)
        status = dt_fail(DT_EIO, "cannot read %s: it ends or fails after fewer than %lld bytes",
                         path, (long long)st.st_size);
    close(fd);
    if (status != DT_OK) {
        free(room);
        return status;
    }
    *bytes = room;
    *nbytes = (size_t)st.st_size;
    return DT_OK;
}

/* The link is made under the name tmp and renamed. 0, or why that failed. */
static int try_link(const char *target, const char *tmp, const char *link_path) {
    if (unlink(tmp) != 0 && errno != ENOENT)
        return errno;
    if (symlink(target, tmp) != 0)
        return errno;
    if (rename(tmp, link_path) == 0)
        return 0;
    int why = errno;
    unlink(tmp);
    return why;
}

dt_status dt_link_replace(const char *target, const char *link_path) {
    enum { TURNS = 30 };
    char tmp[DT_PATH_MAX];
    int n = snprintf(tmp, sizeof tmp, "%s.tmp", link_path);
    if (n < 0 || n >= DT_PATH_MAX)
        return dt_fail(DT_EUSAGE, "a path is too long: %.80s...", link_path);
    int why = try_link(target, tmp, link_path);
    /* Runs that begin together set runs/latest together, and take each other's tmp away: again,
     * after pauses that grow and differ. */
    for (unsigned i = 1; i < TURNS && (why == EEXIST || why == ENOENT); i++) {
        usleep(i * (100 + (unsigned)getpid() % 16 * 20));
        why = try_link(target, tmp, link_path);
    }
    if (why != 0)
        return dt_fail(DT_EIO, "cannot set the link %s: %s", link_path, strerror(why));
    return sync_dir_of(link_path);
}

static void to_hex(const unsigned char digest[32], char hex[DT_SHA256_HEX]) {
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = '\0';
}

struct dt_sha256_state {
    EVP_MD_CTX *context;
    bool failed;
};

dt_status dt_sha256_begin(dt_sha256_state **state) {
    dt_sha256_state *s = calloc(1, sizeof *s);
    *state = NULL;
    if (s && (s->context = EVP_MD_CTX_new()) != NULL &&
        EVP_DigestInit_ex(s->context, EVP_sha256(), NULL) == 1) {
        *state = s;
        return DT_OK;
    }
    if (s)
        EVP_MD_CTX_free(s->context);
    free(s);
    return dt_fail(DT_EDEVICE, "SHA-256 cannot be started: no memory, or this OpenSSL lacks it");
}

/* In pieces, since data may be a file that is mapped and has yet to be read. */
void dt_sha256_add(dt_sha256_state *state, const void *data, size_t nbytes) {
    for (size_t i = 0, n; i < nbytes; i += n) {
        n = nbytes - i < SHA256_PIECE ? nbytes - i : SHA256_PIECE;
        if (EVP_DigestUpdate(state->context, (const char *)data + i, n) != 1)
            state->failed = true;
        dt_progress_tick();
    }
}

void dt_sha256_end(dt_sha256_state **state, char hex[DT_SHA256_HEX]) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    dt_sha256_state *s = *state;
    hex[0] = '\0';
    if (!s->failed && EVP_DigestFinal_ex(s->context, digest, NULL) == 1)
        to_hex(digest, hex);
    EVP_MD_CTX_free(s->context);
    free(s);
    *state = NULL;
}

void dt_sha256(const void *data, size_t nbytes, char hex[DT_SHA256_HEX]) {
    dt_sha256_state *state;
    hex[0] = '\0';
    if (dt_sha256_begin(&state) != DT_OK)
        return;
    dt_sha256_add(state, data, nbytes);
    dt_sha256_end(&state, hex);
}
