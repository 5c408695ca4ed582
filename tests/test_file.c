/* Files: commit leaves the old file or the new one and nothing beside it, links are replaced in one
 * step, SHA-256 gives the published digests, failures name the path and the reason. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "io/file.h"
#include "tests/t.h"

static char dir[] = "/tmp/dtrain-test-file-XXXXXX";

static const char *in_dir(const char *name) {
    static char path[4][DT_PATH_MAX];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, DT_PATH_MAX, "%s/%s", dir, name);
    return p;
}

static void put_file(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    T_CHECK(f != NULL);
    if (f) {
        fputs(text, f);
        fclose(f);
    }
}

static int holds(const char *path, const char *text) {
    char got[64] = "";
    FILE *f = fopen(path, "r");
    if (!f)
        return 0;
    size_t n = fread(got, 1, sizeof got - 1, f);
    fclose(f);
    return n == strlen(text) && strcmp(got, text) == 0;
}

static void test_join(void) {
    char out[DT_PATH_MAX], name[DT_PATH_MAX];
    T_OK(dt_path_join(out, "a/b", "c"));
    T_CHECK(strcmp(out, "a/b/c") == 0);
    memset(name, 'x', sizeof name);
    name[DT_PATH_MAX - 2] = '\0'; /* with "d/" it fills the array: no room for the final 0 */
    T_FAILS(dt_path_join(out, "d", name), DT_EUSAGE, "too long");
    name[DT_PATH_MAX - 3] = '\0';
    T_OK(dt_path_join(out, "d", name));
    T_CHECK(strlen(out) == DT_PATH_MAX - 1);
}

static void test_mkdirs(void) {
    T_OK(dt_mkdirs(in_dir("a//b/c/")));
    T_CHECK(dt_path_exists(in_dir("a/b/c")));
    T_OK(dt_mkdirs(in_dir("a/b/c")));
    T_OK(dt_mkdirs("/"));
    put_file(in_dir("plain"), "x");
    T_FAILS(dt_mkdirs(in_dir("plain/below")), DT_EIO, "plain: a file has that name");
    T_FAILS(dt_mkdirs(in_dir("plain")), DT_EIO, "a file has that name");
    T_FAILS(dt_mkdirs("/proc/no/such"), DT_EIO, "/proc/no");
    T_FAILS(dt_mkdirs(""), DT_EUSAGE, "name");
}

/* Writes text to tmp_path and commits it as path. */
static dt_status commit(const char *tmp_path, const char *path, const char *text) {
    int fd = open(tmp_path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    T_CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    dt_status status = dt_file_commit(fd, tmp_path, path);
    T_CHECK(fcntl(fd, F_GETFD) < 0 && errno == EBADF); /* closed, whatever happened */
    return status;
}

static void test_commit(void) {
    put_file(in_dir("f"), "old");
    T_OK(commit(in_dir("f.tmp"), in_dir("f"), "new"));
    T_CHECK(holds(in_dir("f"), "new"));
    T_CHECK(!dt_path_exists(in_dir("f.tmp")));
    T_FAILS(dt_file_commit(-1, in_dir("none.tmp"), in_dir("f")), DT_EIO, "none.tmp");
    T_CHECK(holds(in_dir("f"), "new"));
    /* The rename fails: the old thing stays, the temporary file goes. */
    T_FAILS(commit(in_dir("g.tmp"), in_dir("a"), "new"), DT_EIO, strerror(EISDIR));
    T_CHECK(dt_path_exists(in_dir("a/b/c")));
    T_CHECK(!dt_path_exists(in_dir("g.tmp")));
    T_FAILS(commit(in_dir("h.tmp"), in_dir("nowhere/h"), "new"), DT_EIO, "nowhere/h");
    T_CHECK(!dt_path_exists(in_dir("h.tmp")));
    /* A name without a directory is in the current one. */
    T_CHECK(chdir(dir) == 0);
    T_OK(commit("local.tmp", "local", "here"));
    T_CHECK(holds("local", "here"));
}

static void test_link(void) {
    char target[64] = "";
    T_OK(dt_link_replace("f", in_dir("link")));
    T_CHECK(holds(in_dir("link"), "new"));
    put_file(in_dir("second"), "2");
    put_file(in_dir("link.tmp"), "left over from a crash");
    T_OK(dt_link_replace("second", in_dir("link")));
    T_CHECK(holds(in_dir("link"), "2"));
    T_CHECK(readlink(in_dir("link"), target, sizeof target - 1) == 6);
    T_CHECK(strcmp(target, "second") == 0);
    T_CHECK(!dt_path_exists(in_dir("link.tmp")));
    T_CHECK(holds(in_dir("f"), "new"));
    T_FAILS(dt_link_replace("f", in_dir("a")), DT_EIO, strerror(EISDIR));
    T_FAILS(dt_link_replace("f", in_dir("nowhere/l")), DT_EIO, "nowhere/l");
}

/* Several runs begin at the same moment: each sets runs/latest, and none may fail. */
static void test_link_race(void) {
    enum { PROCESSES = 4, TURNS = 300 };
    int n_failed = 0;
    for (int p = 0; p < PROCESSES; p++) {
        if (fork() != 0)
            continue;
        for (int i = 0; i < TURNS; i++)
            if (dt_link_replace("f", in_dir("shared")) != DT_OK)
                _exit(1);
        _exit(0);
    }
    for (int p = 0, status; p < PROCESSES; p++)
        n_failed += wait(&status) < 0 || status != 0;
    T_CHECK(n_failed == 0);
    T_CHECK(holds(in_dir("shared"), "new"));
    T_CHECK(!dt_path_exists(in_dir("shared.tmp")));
}

/* FIPS 180-4 examples, and the same in pieces. */
static void test_sha256(void) {
    static const struct {
        const char *text, *hex;
    } known[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    char hex[DT_SHA256_HEX];
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(known[i].text);
        dt_sha256(known[i].text, n, hex);
        T_CHECK(strcmp(hex, known[i].hex) == 0);
        dt_sha256_state *state;
        T_OK(dt_sha256_begin(&state));
        dt_sha256_add(state, known[i].text, n / 3);
        dt_sha256_add(state, known[i].text + n / 3, n - n / 3);
        dt_sha256_end(&state, hex);
        T_CHECK(strcmp(hex, known[i].hex) == 0);
        T_CHECK(state == NULL);
    }
}

static void test_error(void) {
    (void)dt_fail(DT_EIO, "one");
    (void)dt_fail(DT_EIO, "%s and two", dt_error()); /* may quote the last one */
    T_CHECK(strcmp(dt_error(), "one and two") == 0);
    char text[DT_ERROR_MAX + 100];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    dt_error_set(text);
    T_CHECK(strlen(dt_error()) == DT_ERROR_MAX - 1);
    /* A path however long leaves room for the reason, and no character is cut in two. */
    char path[DT_PATH_MAX], valid[DT_ERROR_MAX];
    for (int shift = 0; shift < 3; shift++) {
        for (size_t i = 0; i + 3 < sizeof path; i += 3)
            memcpy(path + i, "\xe2\x82\xac", 4); /* the sign of the euro */
        (void)dt_fail(DT_EIO, "%.*scannot write %s: %s", shift, "xx", path, "No space left");
        T_CHECK(strlen(dt_error()) < DT_ERROR_MAX && strstr(dt_error(), "cannot write \xe2"));
        T_CHECK(strstr(dt_error(), " ... \xe2\x82\xac") && strstr(dt_error(), ": No space left"));
        T_CHECK(strlen(dt_error()) > DT_ERROR_MAX - 10);
        snprintf(valid, sizeof valid, "%s", strstr(dt_error(), "write ") + 6);
        T_CHECK((strstr(valid, " ... ") - valid) % 3 == 0);
    }
}

static void test_whole_files(void) {
    void *bytes;
    size_t n;
    T_OK(dt_file_write(in_dir("whole"), "a\0b", 3));
    T_CHECK(!dt_path_exists(in_dir("whole.tmp")));
    T_OK(dt_file_read(in_dir("whole"), 3, &bytes, &n));
    T_CHECK(n == 3 && bytes && memcmp(bytes, "a\0b", 3) == 0);
    free(bytes);
    T_FAILS(dt_file_read(in_dir("whole"), 2, &bytes, &n), DT_EIO, "3 bytes, more than 2");
    T_CHECK(bytes == NULL && n == 0);
    T_OK(dt_file_write(in_dir("whole"), "", 0));
    T_OK(dt_file_read(in_dir("whole"), 0, &bytes, &n));
    T_CHECK(n == 0 && bytes);
    free(bytes);
    T_FAILS(dt_file_read(in_dir("nowhere"), 9, &bytes, &n), DT_EIO, "cannot open");
    T_FAILS(dt_file_read(dir, 1 << 20, &bytes, &n), DT_EIO, "not a regular file");
    T_FAILS(dt_file_write(in_dir("no/such"), "x", 1), DT_EIO, "cannot write");
}

int main(void) {
    T_BEGIN(60);
    if (!mkdtemp(dir))
        return 1;
    test_join();
    test_mkdirs();
    test_whole_files();
    test_commit();
    test_link();
    test_link_race();
    test_sha256();
    test_error();
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    T_CHECK(system(command) == 0);
    return t_finish();
}
