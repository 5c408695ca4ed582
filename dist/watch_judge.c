/* dist/watch_judge.c - who is late? See watch_judge.h.
 *
 * A rank that waits for others is a witness, not a suspect. So a stopped rank is found by its
 * silence alone, since it may have been stopped amid a wait; a blocked one by its work, while its
 * watcher still speaks. Only when all ranks wait, and all are alive, is it their count of finished
 * collectives that tells. */
#include "dist/watch_judge.h"

#include <stdint.h>
#include <stdio.h>

enum { FAR_BEHIND = 64 }; /* counts further apart are of different groups, and say nothing */

static double limit_of(const dt_watch_state *s, double timeout) {
    return s->at.phase <= DT_PHASE_DATA ? DT_STARTUP_FACTOR * timeout : timeout;
}

/* What is true of this rank alone, and for how long. */
static dt_watch_kind judge_one(const dt_watch_state *s, double timeout, double *seconds) {
    if (!s->known || s->at.phase == DT_PHASE_GONE)
        return DT_WATCH_FINE;
    *seconds = s->silent;
    if (s->silent >= timeout)
        return DT_WATCH_SILENT;
    if (s->at.in_output)
        return DT_WATCH_FINE;
    bool is_stuck = !s->at.waiting && s->quiet >= limit_of(s, timeout);
    /* who waits for its own writer is stuck because of it, and was so a moment before */
    *seconds = s->writer_quiet;
    if (s->at.writing && s->writer_quiet >= (is_stuck ? timeout / 2 : timeout))
        return DT_WATCH_WRITER;
    *seconds = s->quiet;
    return is_stuck ? DT_WATCH_STUCK : DT_WATCH_FINE;
}

/* Everybody is known, waits for others, and has for long enough. */
static bool all_wait(const dt_watch_state *states, int n, double timeout, double *seconds) {
    int n_here = 0;
    *seconds = 0;
    for (int r = 0; r < n; r++) {
        const dt_watch_state *s = &states[r];
        if (!s->known)
            return false;
        if (s->at.phase == DT_PHASE_GONE)
            continue;
        if (!s->at.waiting || s->at.in_output || s->quiet < limit_of(s, timeout))
            return false;
        if (n_here++ == 0 || s->quiet < *seconds)
            *seconds = s->quiet;
    }
    return n_here > 0;
}

/* The lowest rank with the fewest collectives, and how many have no more; -1 if all have as many.
 * Who is still here when others have left is behind, whatever it counts. */
static int find_behind(const dt_watch_state *states, int n, int *count) {
    int rank = -1;
    bool has_left = false;
    uint64_t most = 0;
    *count = 0;
    for (int r = 0; r < n; r++) {
        uint64_t done = states[r].at.collectives;
        if (states[r].at.phase == DT_PHASE_GONE) {
            has_left = true;
            continue;
        }
        if (rank < 0 || done < states[rank].at.collectives) {
            rank = r;
            *count = 0;
        }
        *count += done == states[rank].at.collectives;
        most = done > most ? done : most;
    }
    uint64_t apart = rank < 0 ? 0 : most - states[rank].at.collectives;
    return has_left || (apart > 0 && apart <= FAR_BEHIND) ? rank : -1;
}

dt_watch_verdict dt_watch_judge(const dt_watch_state *states, int n, double timeout) {
    dt_watch_verdict verdict = {.kind = DT_WATCH_FINE, .rank = -1};
    double seconds = 0;
    for (int r = 0; r < n; r++) {
        dt_watch_kind kind = judge_one(&states[r], timeout, &seconds);
        if (kind == DT_WATCH_FINE)
            continue;
        if (verdict.rank < 0 || kind < verdict.kind)
            verdict = (dt_watch_verdict){.kind = kind, .rank = r, .seconds = seconds};
        verdict.count += kind == verdict.kind;
    }
    if (verdict.rank >= 0 || !all_wait(states, n, timeout, &seconds))
        return verdict;
    verdict.seconds = seconds;
    verdict.rank = find_behind(states, n, &verdict.count);
    verdict.kind = verdict.rank < 0 ? DT_WATCH_ALL : DT_WATCH_BEHIND;
    if (verdict.rank < 0)
        verdict.count = n;
    return verdict;
}

static const char *what_of(const dt_watch_verdict *v) {
    switch (v->kind) {
    case DT_WATCH_SILENT:
        return "is stopped or lost: no sign of life";
    case DT_WATCH_STUCK:
        return "makes no progress: nothing done";
    case DT_WATCH_WRITER:
        return "is blocked in writing its files: nothing written";
    case DT_WATCH_BEHIND:
        return "is behind the others, and all ranks wait: nothing done";
    case DT_WATCH_ALL:
    case DT_WATCH_FINE:
        break;
    }
    if (v->count == 1)
        return "waits in vain for other ranks, or for its device: nothing done";
    return "waits, as all ranks do, and none is behind: nothing done";
}

void dt_watch_sentence(const dt_watch_verdict *v, const dt_progress *at, const dt_watch_details *d,
                       char *text, size_t nbytes) {
    char more[48] = "", last[96] = "none yet";
    dt_phase phase = v->kind == DT_WATCH_WRITER ? DT_PHASE_CHECKPOINT : at->phase;
    if (v->count > 1 && v->kind != DT_WATCH_ALL)
        snprintf(more, sizeof more, " (and so %s %d more)", v->count > 2 ? "are" : "is",
                 v->count - 1);
    if (d->collective)
        snprintf(last, sizeof last, "no. %llu, %s", (unsigned long long)at->collectives,
                 d->collective);
    snprintf(text, nbytes,
             "rank %d (%s) %s for %.1f s%s; phase %s, step %lld, last finished collective: %s%s%s; "
             "the job ends (--stall-timeout %g), and --resume goes on from the newest checkpoint",
             v->rank < 0 ? 0 : v->rank, d->host, what_of(v), v->seconds, more,
             dt_phase_names[phase], (long long)at->step, last, d->process_state[0] ? "; " : "",
             d->process_state, d->timeout);
}
