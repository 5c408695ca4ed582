/* dist/shared.h - memory that processes of one host share.
 *
 * One of them makes it, all map it, then the first takes its name away: what is left ends with the
 * last process. Every page is reserved before it is used: where /dev/shm is full (containers have
 * 64 MB) that is an answer, not a signal later. */
#ifndef DT_DIST_SHARED_H
#define DT_DIST_SHARED_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    char name[64]; /* "" where it could not be made */
} dt_shared_name;

/* Room for nbytes, zeroed; end with dt_shared_forget() when all have mapped it, or nobody can. */
dt_shared_name dt_shared_make(size_t nbytes);
void dt_shared_forget(const dt_shared_name *name);
/* All nbytes, with [from, from + n) reserved for this process; NULL if that cannot be had. */
void *dt_shared_map(const dt_shared_name *name, size_t nbytes, size_t from, size_t n);
void dt_shared_unmap(void *memory, size_t nbytes); /* NULL is fine */

#endif
