/* tests/test_watch_judge.c - who is late, from tables of what is known of the ranks; and the words
 * for it. */
#include "t.h"

#include "dist/watch_judge.h"

enum { T_OUT = 60 };

static dt_watch_state busy(double quiet) {
    return (dt_watch_state){.known = true, .at = {.phase = DT_PHASE_TRAINING}, .quiet = quiet};
}

static dt_watch_state waits(double quiet, uint64_t collectives) {
    dt_watch_state s = busy(quiet);
    s.at.waiting = true;
    s.at.collectives = collectives;
    return s;
}

static dt_watch_state silent(dt_watch_state s, double seconds) {
    s.silent = seconds;
    return s;
}

static dt_watch_state in_phase(dt_watch_state s, dt_phase phase) {
    s.at.phase = phase;
    return s;
}

static dt_watch_state writes(dt_watch_state s, double quiet) {
    s.at.writing = true;
    s.writer_quiet = quiet;
    return s;
}

static dt_watch_state shows(dt_watch_state s) {
    s.at.in_output = true;
    return s;
}

#define JUDGE(kind_, rank_, count_, ...)                                                           \
    do {                                                                                           \
        const dt_watch_state s_[] = {__VA_ARGS__};                                                 \
        dt_watch_verdict v_ = dt_watch_judge(s_, (int)(sizeof s_ / sizeof *s_), T_OUT);            \
        if (!T_CHECK(v_.kind == (kind_) && v_.rank == (rank_) && v_.count == (count_)))            \
            fprintf(stderr, "    line %d: kind %d, rank %d, count %d\n", __LINE__, (int)v_.kind,   \
                    v_.rank, v_.count);                                                            \
    } while (0)

static const dt_watch_state unknown;

static void test_nobody_is_late(void) {
    JUDGE(DT_WATCH_FINE, -1, 0, busy(0));
    JUDGE(DT_WATCH_FINE, -1, 0, busy(59.9), busy(1));
    JUDGE(DT_WATCH_FINE, -1, 0, silent(busy(0), 59.9), waits(59, 3));
    JUDGE(DT_WATCH_FINE, -1, 0, waits(900, 3), busy(59)); /* the others of a sweep wait for long */
    JUDGE(DT_WATCH_FINE, -1, 0, unknown, unknown);
    JUDGE(DT_WATCH_FINE, -1, 0, waits(900, 3), unknown); /* it may be at work */
    JUDGE(DT_WATCH_FINE, -1, 0, in_phase(busy(179), DT_PHASE_STARTUP), waits(170, 0));
    JUDGE(DT_WATCH_FINE, -1, 0, in_phase(busy(179), DT_PHASE_DATA), waits(179, 0));
    JUDGE(DT_WATCH_FINE, -1, 0, silent(in_phase(busy(900), DT_PHASE_GONE), 900), waits(10, 4));
    JUDGE(DT_WATCH_FINE, -1, 0, shows(busy(900)), waits(900, 4)); /* its reader paused */
    JUDGE(DT_WATCH_FINE, -1, 0, writes(busy(1), 59), waits(1, 4));
    JUDGE(DT_WATCH_FINE, -1, 0, writes(shows(busy(1)), 900), waits(1, 4));
}

static void test_one_is_late(void) {
    JUDGE(DT_WATCH_SILENT, 0, 1, silent(busy(60), 60), waits(60, 4));
    JUDGE(DT_WATCH_SILENT, 1, 1, waits(60, 4), silent(waits(60, 4), 60)); /* stopped amid a wait */
    JUDGE(DT_WATCH_SILENT, 2, 1, waits(60, 4), waits(60, 4), silent(busy(60), 61), unknown);
    JUDGE(DT_WATCH_SILENT, 0, 1, silent(in_phase(busy(60), DT_PHASE_STARTUP), 60), waits(1, 0));
    JUDGE(DT_WATCH_SILENT, 0, 1, silent(shows(busy(60)), 60), waits(1, 0));
    JUDGE(DT_WATCH_SILENT, 1, 1, in_phase(busy(900), DT_PHASE_GONE),
          silent(in_phase(busy(60), DT_PHASE_END), 60));
    JUDGE(DT_WATCH_STUCK, 0, 1, busy(60), waits(60, 4));
    JUDGE(DT_WATCH_STUCK, 1, 1, waits(60, 4), in_phase(busy(60), DT_PHASE_EVALUATION));
    JUDGE(DT_WATCH_STUCK, 1, 1, waits(60, 4), in_phase(busy(180), DT_PHASE_DATA));
    JUDGE(DT_WATCH_STUCK, 0, 1, busy(60)); /* a process alone */
    JUDGE(DT_WATCH_STUCK, 1, 1, unknown, busy(61));
    JUDGE(DT_WATCH_WRITER, 0, 1, writes(busy(1), 60), waits(1, 4));
    JUDGE(DT_WATCH_WRITER, 0, 1, writes(waits(1, 4), 60), busy(1));
    JUDGE(DT_WATCH_WRITER, 0, 1, writes(busy(60), 60), waits(60, 4)); /* waits for its writer */
    JUDGE(DT_WATCH_WRITER, 0, 1, writes(busy(60), 59), waits(60, 4));
    JUDGE(DT_WATCH_STUCK, 0, 1, writes(busy(60), 1), waits(60, 4));
}

static void test_several_are_late(void) {
    JUDGE(DT_WATCH_SILENT, 1, 2, waits(60, 4), silent(busy(60), 60), silent(waits(60, 4), 60));
    JUDGE(DT_WATCH_SILENT, 2, 1, busy(60), waits(60, 4), silent(busy(60), 60)); /* the worse one */
    JUDGE(DT_WATCH_SILENT, 0, 1, silent(busy(60), 60), busy(60));
    JUDGE(DT_WATCH_STUCK, 1, 2, waits(60, 4), busy(60), busy(70));
    JUDGE(DT_WATCH_STUCK, 1, 1, writes(waits(1, 4), 60), busy(60));
}

static void test_all_wait(void) {
    JUDGE(DT_WATCH_BEHIND, 1, 1, waits(60, 7), waits(60, 6), waits(60, 7));
    JUDGE(DT_WATCH_BEHIND, 0, 2, waits(60, 6), waits(60, 6), waits(60, 7));
    JUDGE(DT_WATCH_BEHIND, 1, 1, in_phase(waits(900, 2), DT_PHASE_GONE), waits(60, 6),
          waits(60, 7));
    JUDGE(DT_WATCH_BEHIND, 1, 1, in_phase(waits(60, 7), DT_PHASE_GONE), /* stopped on its way out */
          in_phase(waits(60, 7), DT_PHASE_END));
    JUDGE(DT_WATCH_ALL, -1, 3, waits(60, 7), waits(61, 7), waits(62, 7));
    JUDGE(DT_WATCH_ALL, -1, 2, waits(60, 7), waits(60, 700)); /* of different groups */
    JUDGE(DT_WATCH_ALL, -1, 1, waits(60, 7));
    JUDGE(DT_WATCH_FINE, -1, 0, waits(60, 7), waits(59, 6));
    JUDGE(DT_WATCH_FINE, -1, 0, waits(900, 7), shows(waits(900, 7)));
    JUDGE(DT_WATCH_FINE, -1, 0, in_phase(waits(60, 7), DT_PHASE_STARTUP), waits(90, 7));
    JUDGE(DT_WATCH_ALL, -1, 2, in_phase(waits(180, 7), DT_PHASE_STARTUP), waits(180, 7));
    JUDGE(DT_WATCH_FINE, -1, 0, in_phase(busy(900), DT_PHASE_GONE),
          in_phase(busy(900), DT_PHASE_GONE));
}

static int says(const dt_watch_verdict *v, const dt_progress *at, const dt_watch_details *d,
                const char *what) {
    char text[512];
    dt_watch_sentence(v, at, d, text, sizeof text);
    if (strstr(text, what))
        return 1;
    fprintf(stderr, "    %s\n", text);
    return 0;
}

static void test_sentence(void) {
    dt_progress at = {.phase = DT_PHASE_TRAINING, .step = 41, .collectives = 123};
    dt_watch_details d = {.host = "h2", .collective = "sum", .process_state = "", .timeout = T_OUT};
    dt_watch_verdict v = {.kind = DT_WATCH_SILENT, .rank = 7, .count = 1, .seconds = 60.04};
    T_CHECK(says(&v, &at, &d, "rank 7 (h2) is stopped or lost: no sign of life for 60.0 s; "));
    T_CHECK(says(&v, &at, &d, "phase training, step 41, last finished collective: no. 123, sum; "));
    T_CHECK(says(&v, &at, &d, "--stall-timeout 60"));
    v.count = 2;
    T_CHECK(says(&v, &at, &d, "(and so is 1 more)"));
    v.count = 4;
    T_CHECK(says(&v, &at, &d, "(and so are 3 more)"));
    d.process_state = "its process 5 is stopped, by a signal or a debugger";
    T_CHECK(says(&v, &at, &d, "sum; its process 5 is stopped"));
    d.collective = NULL;
    T_CHECK(says(&v, &at, &d, "last finished collective: none yet; its"));
    v.kind = DT_WATCH_WRITER;
    T_CHECK(says(&v, &at, &d, "phase checkpoint"));
    v = (dt_watch_verdict){.kind = DT_WATCH_ALL, .rank = -1, .count = 3, .seconds = 61};
    T_CHECK(says(&v, &at, &d, "as all ranks do, and none is behind"));
    v.count = 1;
    T_CHECK(says(&v, &at, &d, "waits in vain for other ranks, or for its device"));
}

int main(void) {
    T_BEGIN(30);
    test_nobody_is_late();
    test_one_is_late();
    test_several_are_late();
    test_all_wait();
    test_sentence();
    return t_finish();
}
