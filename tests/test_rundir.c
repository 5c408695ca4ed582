/* tests/test_rundir.c - which directory a run gets, and that no other run gets it too. */
#include "t.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "launch/rundir.h"

static char top[] = "/tmp/dtrain-test-rundir-XXXXXX";
static dt_options options; /* large */

static dt_status choose(const char *out, bool resume, char dir[DT_PATH_MAX], int *claim) {
    memset(&options, 0, sizeof options);
    snprintf(options.out, sizeof options.out, "%s", out);
    options.resume = resume;
    return dt_rundir_choose(&options, dir, claim);
}

static void make_file(const char *path) {
    FILE *f = fopen(path, "w");
    T_CHECK(f && fclose(f) == 0);
}

static bool leads_to(const char *link, const char *target) {
    char there[DT_PATH_MAX] = "";
    return readlink(link, there, sizeof there - 1) > 0 && strcmp(there, target) == 0;
}

/* Without --out: runs/<date>-<time>, another one for each run, and the way back by --resume. */
static void test_dated(void) {
    char first[DT_PATH_MAX], second[DT_PATH_MAX], again[DT_PATH_MAX];
    int claim[3];
    T_OK(choose("", true, first, &claim[0])); /* nothing to resume: a new one */
    T_CHECK(strncmp(first, "runs/2", 6) == 0 && leads_to("runs/latest", first + 5));
    T_OK(choose("", false, second, &claim[1]));
    T_CHECK(strcmp(first, second) != 0 && leads_to("runs/latest", second + 5));
    dt_rundir_release(&claim[1]);
    T_OK(choose("", true, again, &claim[2]));
    T_CHECK(strcmp(again, second) == 0);
    dt_rundir_release(&claim[2]);
    dt_rundir_release(&claim[0]);
    T_CHECK(claim[0] == -1);
    dt_rundir_release(&claim[0]);
    /* what it leads to is gone */
    T_CHECK(unlink("runs/latest") == 0 && symlink("nowhere", "runs/latest") == 0);
    T_OK(choose("", true, again, &claim[0]));
    T_CHECK(strncmp(again, "runs/2", 6) == 0 && leads_to("runs/latest", again + 5));
    dt_rundir_release(&claim[0]);
    /* an absolute one, of the user's own making */
    char absolute[DT_PATH_MAX];
    snprintf(absolute, sizeof absolute, "%s/elsewhere", top);
    T_CHECK(mkdir(absolute, 0777) == 0 && unlink("runs/latest") == 0 &&
            symlink(absolute, "runs/latest") == 0);
    T_OK(choose("", true, again, &claim[0]));
    T_CHECK(strcmp(again, absolute) == 0);
    dt_rundir_release(&claim[0]);
}

/* Every sign of an earlier run is enough: nothing of it may be written over or pruned. */
static void test_used(void) {
    static const char *const signs[] = {"run.h5", "checkpoint-12.h5", "latest.h5"};
    char dir[DT_PATH_MAX], path[DT_PATH_MAX];
    int claim;
    T_OK(choose("a dir/b/\xc3\xbcn\xc3\xaf"
                "code",
                false, dir, &claim));
    dt_rundir_release(&claim);
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        T_OK(dt_path_join(path, dir, signs[i]));
        if (i == 2) /* its checkpoint is gone */
            T_CHECK(symlink("checkpoint-9.h5", path) == 0);
        else
            make_file(path);
        T_FAILS(choose(dir, false, path, &claim), DT_EUSAGE, signs[i]);
        T_CHECK(claim == -1 && strstr(dt_error(), "--resume"));
        T_OK(choose(dir, true, path, &claim));
        dt_rundir_release(&claim);
        T_OK(dt_path_join(path, dir, signs[i]));
        T_CHECK(unlink(path) == 0);
    }
    T_OK(choose(dir, false, path, &claim)); /* a log alone is no run */
    dt_rundir_release(&claim);
}

static void test_unusable(void) {
    char dir[DT_PATH_MAX], name[DT_PATH_MAX] = "";
    int claim;
    make_file("file");
    T_FAILS(choose("file", false, dir, &claim), DT_EIO, "file: a file has that name");
    T_FAILS(choose("file/below", true, dir, &claim), DT_EIO, "file");
    T_FAILS(choose("/proc/self/run", false, dir, &claim), DT_EIO, "/proc/self/run");
    T_CHECK(mkdir("nolog", 0777) == 0 && mkdir("nolog/log.jsonl", 0777) == 0);
    T_FAILS(choose("nolog", false, dir, &claim), DT_EIO, "nolog/log.jsonl: Is a directory");
    /* A directory in which no checkpoint's name would fit: known before the training, not after. */
    while (strlen(name) < DT_PATH_MAX - 30)
        strcat(name, "./");
    strcat(name, "x");
    T_FAILS(choose(name, false, dir, &claim), DT_EUSAGE, "too long");
    T_CHECK(!dt_path_exists("x"));
}

/* Two runs in one directory: the second waits a moment, and is refused. */
static void test_claim(void) {
    char dir[DT_PATH_MAX];
    int claim, ready[2];
    T_CHECK(pipe(ready) == 0);
    pid_t other = fork();
    if (other == 0) {
        if (choose("shared", false, dir, &claim) == DT_OK && write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    T_CHECK(read(ready[0], dir, 1) == 1);
    T_FAILS(choose("shared", true, dir, &claim), DT_EUSAGE, "another run is writing to shared");
    T_CHECK(claim == -1);
    T_CHECK(kill(other, SIGKILL) == 0);
    T_OK(choose("shared", true, dir, &claim)); /* it waits for the other one to be gone */
    T_CHECK(waitpid(other, NULL, 0) == other);
    dt_rundir_release(&claim);
    close(ready[0]);
    close(ready[1]);
}

int main(void) {
    T_BEGIN(60);
    if (!mkdtemp(top) || chdir(top) != 0)
        return 1;
    test_dated();
    test_used();
    test_unusable();
    test_claim();
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", top);
    T_CHECK(chdir("/") == 0 && system(command) == 0);
    return t_finish();
}
