/* launch/doctor_look.c - what every rank can find out alone, or with the files that it shares.
 *
 * The lowest rank of each host looks at the files for all of its host. */
#include "launch/doctor_facts.h"

#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "dtrain_version.h"
#include "io/clock.h"
#include "io/dataset.h"
#include "io/h5.h"
#include "io/progress.h"

static const double SEE_SECONDS = 3; /* NFS clients remember for so long what was not there */

static void look_at_versions(dt_rank_facts *mine) {
    snprintf(mine->dtrain, sizeof mine->dtrain, "dtrain %s", DTRAIN_VERSION_FULL);
    snprintf(mine->libc, sizeof mine->libc, "libc %s", gnu_get_libc_version());
    dt_comm_mpi_library(mine->mpi, sizeof mine->mpi);
    dt_h5_library(mine->hdf5, sizeof mine->hdf5);
}

static void look_at_data(const dt_options *options, dt_rank_facts *mine) {
    dt_dataset *data;
    dt_phase before = dt_progress_phase(DT_PHASE_DATA);
    dt_status status = dt_dataset_open(options->data, mine->sight.threads, &data);
    dt_progress_phase(before);
    mine->data_status = (int32_t)status;
    if (status != DT_OK) {
        dt_error_copy(mine->data_error);
        return;
    }
    memcpy(mine->data_sha256, data->sha256, sizeof mine->data_sha256);
    dt_dataset_close(&data);
}

/* --- the run directory --- */

typedef struct { /* broadcast by rank 0 */
    int32_t status;
    char path[DT_PATH_MAX], text[64];
    char dir_error[DT_ERROR_MAX], hdf5_error[DT_ERROR_MAX];
    int32_t lock;
} nonce;

static dt_status write_nonce(nonce *n, int *fd) {
    size_t nbytes = strlen(n->text);
    *fd = open(n->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (*fd < 0 || write(*fd, n->text, nbytes) != (ssize_t)nbytes || fsync(*fd) != 0)
        return dt_fail(DT_EIO, "rank 0 cannot write to it: %s: %s", n->path, strerror(errno));
    n->lock = flock(*fd, LOCK_EX | LOCK_NB) == 0 ? DT_LOCK_WORKS : DT_LOCK_MISSING;
    return DT_OK;
}

/* Rank 0: a file of its own in dir, with a text that nobody can guess, locked while *fd is open. */
static void leave_nonce(const char *dir, nonce *n, int *fd) {
    char name[64], path[DT_PATH_MAX];
    memset(n, 0, sizeof *n);
    snprintf(name, sizeof name, ".doctor-%ld", (long)getpid());
    snprintf(n->text, sizeof n->text, "%ld %lld %p", (long)getpid(), (long long)time(NULL),
             (void *)n);
    dt_status status = dt_mkdirs(dir);
    if (status == DT_OK)
        status = dt_path_join(n->path, dir, name);
    if (status == DT_OK)
        status = write_nonce(n, fd);
    n->status = (int32_t)status;
    if (status != DT_OK) {
        dt_error_copy(n->dir_error);
        return;
    }
    strcat(name, ".h5");
    status = dt_path_join(path, dir, name);
    if (status == DT_OK)
        status = dt_h5_try_locking(path);
    if (status != DT_OK)
        dt_error_copy(n->hdf5_error);
}

static bool reads(const nonce *n) {
    char text[sizeof n->text] = "";
    int fd = open(n->path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    return got > 0 && strcmp(text, n->text) == 0;
}

/* Another host: is the file there, with rank 0's lock? */
static void look_at_nonce(const nonce *n, dt_rank_facts *mine) {
    double begin = dt_now();
    while (!(mine->sees_dir = reads(n)) && dt_now() - begin < SEE_SECONDS) {
        usleep(100000);
        dt_progress_tick();
    }
    int fd = mine->sees_dir && n->lock == DT_LOCK_WORKS ? open(n->path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        mine->lock = DT_LOCK_NOT_SEEN;
    else
        mine->lock = errno == EWOULDBLOCK ? DT_LOCK_WORKS : DT_LOCK_MISSING;
    close(fd);
}

/* How many bytes of path name a directory that is there. */
static size_t count_existing(const char *path) {
    char part[DT_PATH_MAX];
    snprintf(part, sizeof part, "%s", path);
    while (part[0] && !dt_path_exists(part)) {
        char *slash = strrchr(part, '/');
        *(slash ? slash : part) = 0;
    }
    return strlen(part);
}

/* Those that were made beyond. */
static void remove_new(const char *path, size_t n_old) {
    char part[DT_PATH_MAX];
    snprintf(part, sizeof part, "%s", path);
    while (strlen(part) > n_old && rmdir(part) == 0) {
        char *slash = strrchr(part, '/');
        *(slash ? slash : part) = 0;
    }
}

static dt_status look_at_dir(dt_comm *comm, bool leads, dt_facts *facts, dt_rank_facts *mine) {
    nonce n;
    int fd = -1;
    size_t n_old = count_existing(facts->dir);
    if (dt_comm_rank(comm) == 0)
        leave_nonce(facts->dir, &n, &fd);
    dt_status status = dt_comm_bcast(comm, &n, sizeof n, 0);
    if (status == DT_OK) {
        facts->dir_status = (dt_status)n.status;
        memcpy(facts->dir_error, n.dir_error, sizeof n.dir_error);
        memcpy(facts->hdf5_error, n.hdf5_error, sizeof n.hdf5_error);
        mine->lock = n.lock;
        mine->sees_dir = true;
        if (leads && dt_comm_rank(comm) != 0 && n.status == DT_OK) {
            mine->lock = DT_LOCK_UNTRIED;
            look_at_nonce(&n, mine);
        }
        status = dt_comm_idle_barrier(comm); /* all have looked */
    }
    if (fd >= 0) {
        unlink(n.path);
        close(fd);
        remove_new(facts->dir, n_old);
    }
    return status;
}

dt_status dt_doctor_look(const dt_options *options, dt_comm *comm, dt_facts *facts,
                         dt_rank_facts *mine) {
    bool leads = dt_comm_local_rank(comm) == 0;
    DT_TRY(dt_sight_look(options, comm, &mine->sight));
    mine->host = dt_comm_host_of(comm, dt_comm_rank(comm));
    mine->leads = leads;
    dt_cpus_allowed(mine->cpus);
    if (!mine->sight.no_cuda[0])
        dt_cpus_near(mine->sight.gpu.pci, mine->gpu_cpus);
    look_at_versions(mine);
    if (leads)
        look_at_data(options, mine);
    dt_progress_phase(DT_PHASE_MEASURING);
    return look_at_dir(comm, leads, facts, mine);
}
