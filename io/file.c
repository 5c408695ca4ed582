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

/* Make one directory; one that is there already is fine. */
static dt_status make_dir(const char *dir) {
    struct stat st;
    if (mkdir(dir, 0777) == 0)
        return DT_OK;
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

/* fsync the file or directory at path. Some file systems cannot fsync a directory and say EINVAL:
 * they keep names safe in their own way, or not at all. */
static dt_status sync_path(const char *path, int flags) {
    int fd = open(path, flags | O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return dt_fail(DT_EIO, "cannot open %s: %s", path, strerror(errno));
    int failed = fsync(fd) != 0 && !((flags & O_DIRECTORY) && errno == EINVAL);
    int why = errno;
    if (close(fd) != 0 && !failed) {
        failed = 1;
        why = errno;
    }
    return failed ? dt_fail(DT_EIO, "cannot write %s to the disk: %s", path, strerror(why)) : DT_OK;
}

static dt_status sync_dir_of(const char *path) {
    char dir[DT_PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash)
        return sync_path(".", O_DIRECTORY);
    size_t n = slash == path ? 1 : (size_t)(slash - path);
    if (n >= sizeof dir)
        return dt_fail(DT_EUSAGE, "a path is too long: %.80s...", path);
    memcpy(dir, path, n);
    dir[n] = '\0';
    return sync_path(dir, O_DIRECTORY);
}

dt_status dt_file_commit(const char *tmp_path, const char *path) {
    dt_status status = sync_path(tmp_path, 0);
    if (status == DT_OK && rename(tmp_path, path) != 0)
        status = dt_fail(DT_EIO, "cannot rename %s to %s: %s", tmp_path, path, strerror(errno));
    if (status != DT_OK) {
        unlink(tmp_path);
        return status;
    }
    return sync_dir_of(path);
}

dt_status dt_link_replace(const char *target, const char *link_path) {
    char tmp[DT_PATH_MAX];
    int n = snprintf(tmp, sizeof tmp, "%s.tmp", link_path);
    if (n < 0 || n >= DT_PATH_MAX)
        return dt_fail(DT_EUSAGE, "a path is too long: %.80s...", link_path);
    if (unlink(tmp) != 0 && errno != ENOENT)
        return dt_fail(DT_EIO, "cannot remove %s: %s", tmp, strerror(errno));
    if (symlink(target, tmp) != 0)
        return dt_fail(DT_EIO, "cannot make the link %s: %s", tmp, strerror(errno));
    if (rename(tmp, link_path) != 0) {
        dt_status status =
            dt_fail(DT_EIO, "cannot replace the link %s: %s", link_path, strerror(errno));
        unlink(tmp);
        return status;
    }
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

void dt_sha256(const void *data, size_t nbytes, char hex[DT_SHA256_HEX]) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    hex[0] = '\0';
    if (EVP_Digest(data, nbytes, digest, NULL, EVP_sha256(), NULL) == 1)
        to_hex(digest, hex);
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

void dt_sha256_add(dt_sha256_state *state, const void *data, size_t nbytes) {
    if (EVP_DigestUpdate(state->context, data, nbytes) != 1)
        state->failed = true;
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
