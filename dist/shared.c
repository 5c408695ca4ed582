/* dist/shared.c - POSIX shared memory. */
#include "dist/shared.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

dt_shared_name dt_shared_make(size_t nbytes) {
    static atomic_uint n_made;
    dt_shared_name name;
    snprintf(name.name, sizeof name.name, "/dtrain-%ld-%u", (long)getpid(),
             atomic_fetch_add(&n_made, 1));
    int fd = shm_open(name.name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && ftruncate(fd, (off_t)nbytes) == 0;
    if (fd >= 0)
        close(fd);
    if (!ok) {
        if (fd >= 0)
            shm_unlink(name.name);
        name.name[0] = 0;
    }
    return name;
}

void dt_shared_forget(const dt_shared_name *name) {
    if (name->name[0])
        shm_unlink(name->name);
}

void *dt_shared_map(const dt_shared_name *name, size_t nbytes, size_t from, size_t n) {
    int fd = name->name[0] ? shm_open(name->name, O_RDWR | O_CLOEXEC, 0) : -1;
    void *memory = MAP_FAILED;
    if (fd >= 0 && (n == 0 || posix_fallocate(fd, (off_t)from, (off_t)n) == 0))
        memory = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}

void dt_shared_unmap(void *memory, size_t nbytes) {
    if (memory)
        munmap(memory, nbytes);
}
