/* run.h5: tables are written and restored to the bit, cut where a run is resumed, and never half.
 * test_runfile DIR only writes DIR/run-v1.h5, the file that tests/golden has from version 1. */
#include "io/runfile.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "io/h5.h"
#include "tests/t.h"

enum { N_RANKS = 3, CLASSES = 4 };

static char dir[] = "dt-runfile-XXXXXX";

static const char *in_dir(const char *name) {
    static char path[2][DT_PATH_MAX];
    static int turn;
    turn = (turn + 1) % 2;
    snprintf(path[turn], DT_PATH_MAX, "%s/%s", dir, name);
    return path[turn];
}

/* A value that tells table, row, column and rank apart; some are NaN, as without a validation set.
 */
static double value(int table, int64_t key, int column, int rank) {
    return table == 0 && column == DT_EPOCH_VALIDATION_LOSS
               ? NAN
               : table * 1e6 + (double)key * 1e3 + column * 10 + rank / 8.0;
}

static void add_row(dt_run *run, dt_table *t, int table, int64_t key) {
    double values[DT_TABLE_COLUMNS * N_RANKS];
    size_t width = table == 2 ? N_RANKS : 1;
    for (int c = 0; c < t->n_columns; c++)
        for (size_t r = 0; r < width; r++)
            values[(size_t)c * width + r] = value(table, key, c, (int)r);
    T_OK(table == 2 ? dt_run_add_ranks(run, key, values) : dt_table_add(t, key, values));
}

static void add_epoch(dt_run *run, int64_t epoch) {
    int64_t confusion[CLASSES][CLASSES];
    for (int i = 0; i < CLASSES * CLASSES; i++)
        confusion[i / CLASSES][i % CLASSES] = epoch * 100 + i;
    add_row(run, &run->epochs, 0, epoch);
    T_OK(dt_run_add_confusion(run, confusion[0]));
    if (epoch == 0)
        return;
    add_row(run, &run->ranks, 2, epoch);
    for (int64_t step = (epoch - 1) * 10 + 1; step <= epoch * 10; step++)
        add_row(run, &run->steps, 1, step);
}

/* Epoch 0, the untrained network, and 1 .. last with 10 steps each. */
static dt_run *make(int64_t last) {
    dt_run *run;
    T_OK(dt_run_create(N_RANKS, CLASSES, &run));
    for (int64_t epoch = 0; epoch <= last; epoch++)
        add_epoch(run, epoch);
    T_OK(dt_run_set_text(run, "command_line", "dtrain --out a/b --model 'conv 8 3; fc 4'"));
    T_OK(dt_run_set_int(run, "ranks", 1));
    T_OK(dt_run_set_int(run, "ranks", N_RANKS)); /* replaces */
    T_OK(dt_run_set_text(run, "seed", "a text first"));
    T_OK(dt_run_set_int(run, "seed", INT64_MAX)); /* beyond a double's 53 bits */
    T_OK(dt_run_set_number(run, "learning_rate", 0.1));
    return run;
}

static bool same_table(const dt_table *a, const dt_table *b) {
    bool same = a->n == b->n && a->width == b->width && a->n_columns == b->n_columns;
    same = same && (a->n == 0 || memcmp(a->key, b->key, a->n * sizeof *a->key) == 0);
    for (int c = 0; same && a->n > 0 && c < a->n_columns; c++)
        same = memcmp(a->column[c].v, b->column[c].v, a->n * a->width * sizeof(double)) == 0;
    return same;
}

static bool same_confusion(const dt_run *a, const dt_run *b) {
    return a->n_confusion == b->n_confusion &&
           memcmp(a->confusion, b->confusion,
                  a->n_confusion * CLASSES * CLASSES * sizeof(int64_t)) == 0;
}

static void test_round_trip(void) {
    dt_run *run = make(4), *back;
    T_OK(dt_run_write(in_dir("run.h5"), run));
    T_CHECK(access(in_dir("run.h5.tmp"), F_OK) != 0);
    T_OK(dt_run_create(N_RANKS, CLASSES, &back));
    T_OK(dt_run_restore(in_dir("run.h5"), INT64_MAX, INT64_MAX, back));
    T_CHECK(same_table(&run->epochs, &back->epochs));
    T_CHECK(same_table(&run->steps, &back->steps) && back->steps.n == 40);
    T_CHECK(same_table(&run->ranks, &back->ranks) && back->ranks.n == 4);
    T_CHECK(same_confusion(run, back) && back->n_confusion == 5);
    T_CHECK(isnan(back->epochs.column[DT_EPOCH_VALIDATION_LOSS].v[2]));
    T_CHECK(back->ranks.column[DT_RANK_WAIT_SECONDS].v[3 * N_RANKS + 2] ==
            value(2, 4, DT_RANK_WAIT_SECONDS, 2));
    dt_run_free(&back);
    T_CHECK(back == NULL);
    dt_run_free(&run);
}

/* For a report the file alone tells how large its tables are; attributes come with it. */
static void test_read(void) {
    dt_run *run = make(4), *back;
    T_OK(dt_run_set_int(run, "classes", CLASSES));
    T_OK(dt_run_set_int(run, "seed", 7));
    T_OK(dt_run_set_text(run, "data", "mnist"));
    T_OK(dt_run_write(in_dir("run.h5"), run));
    T_OK(dt_run_read(in_dir("run.h5"), &back));
    T_CHECK(back->n_ranks == N_RANKS && back->classes == CLASSES);
    T_CHECK(same_table(&run->epochs, &back->epochs) && same_table(&run->steps, &back->steps));
    T_CHECK(same_table(&run->ranks, &back->ranks) && same_confusion(run, back));
    T_CHECK(strcmp(dt_run_text(back, "data"), "mnist") == 0 && dt_run_number(back, "seed") == 7);
    T_CHECK(dt_run_text(back, "seed")[0] == '\0' && isnan(dt_run_number(back, "data")));
    T_CHECK(dt_run_text(back, "hosts")[0] == '\0' && isnan(dt_run_number(back, "nothing")));
    T_CHECK(back->version[0] && back->created[0]);
    dt_run_free(&back);
    T_OK(dt_run_set_int(run, "classes", 0));
    T_OK(dt_run_write(in_dir("run.h5"), run));
    T_FAILS(dt_run_read(in_dir("run.h5"), &back), DT_EIO, "0 classes cannot be");
    T_CHECK(back == NULL);
    T_FAILS(dt_run_read(in_dir("none.h5"), &back), DT_EIO, "No such file");
    dt_run_free(&run);
}

/* A run that went to epoch 4, resumed in epoch 3 at step 25, has what it had then, and ends like
 * one never stopped. */
static void test_resume(void) {
    dt_run *run = make(4), *back, *upto = make(2);
    T_OK(dt_run_write(in_dir("run.h5"), run));
    T_OK(dt_run_create(N_RANKS, CLASSES, &back));
    T_OK(dt_run_restore(in_dir("run.h5"), 2, 25, back));
    T_CHECK(same_table(&upto->epochs, &back->epochs) && back->epochs.n == 3);
    T_CHECK(same_table(&upto->ranks, &back->ranks) && same_confusion(upto, back));
    T_CHECK(back->steps.n == 25 && back->steps.key[24] == 25);
    dt_table_cut(&back->steps, 20);
    add_epoch(back, 3);
    add_epoch(back, 4);
    T_CHECK(same_table(&run->epochs, &back->epochs) && same_table(&run->steps, &back->steps));
    T_CHECK(same_table(&run->ranks, &back->ranks) && same_confusion(run, back));
    dt_run_free(&back);

    T_OK(dt_run_create(N_RANKS + 1, CLASSES,
                       &back)); /* another number of ranks: their table begins anew */
    T_OK(dt_run_restore(in_dir("run.h5"), 2, 25, back));
    T_CHECK(back->ranks.n == 0 && back->epochs.n == 3);
    dt_run_free(&back);
    dt_run_free(&upto);
    dt_run_free(&run);
}

/* Restoring what cannot be: an error, and the tables are empty as before. */
static void test_refusals(void) {
    dt_run *run = make(2), *back;
    char created[DT_H5_CREATED];
    dt_h5 *file;
    struct stat st;
    T_OK(dt_run_write(in_dir("run.h5"), run));
    T_OK(dt_run_create(N_RANKS, CLASSES + 1, &back));
    T_FAILS(dt_run_restore(in_dir("run.h5"), 9, 9, back), DT_EIO, "not 3 matrices of 5 classes");
    T_CHECK(back->epochs.n == 0 && back->epochs.key == NULL && back->n_confusion == 0);
    T_FAILS(dt_run_restore(in_dir("none.h5"), 9, 9, back), DT_EIO, "No such file");
    T_OK(dt_h5_create("newer", "dtrain-run", DT_RUN_VERSION + 1, created, &file));
    T_OK(dt_h5_finish(&file, in_dir("newer.h5")));
    T_FAILS(dt_run_restore(in_dir("newer.h5"), 9, 9, back), DT_EIO, "use a newer dtrain");
    T_OK(dt_h5_create("empty", "dtrain-run", 1, created, &file));
    T_OK(dt_h5_finish(&file, in_dir("empty.h5")));
    T_FAILS(dt_run_restore(in_dir("empty.h5"), 9, 9, back), DT_EIO, "/epochs/epoch is missing");
    T_CHECK(stat(in_dir("run.h5"), &st) == 0);
    for (off_t at = 0; at < st.st_size; at += 1999) {
        T_OK(dt_run_write(in_dir("run.h5"), run));
        T_CHECK(truncate(in_dir("run.h5"), at) == 0);
        T_FAILS(dt_run_restore(in_dir("run.h5"), 9, 9, back), DT_EIO, "cut off");
    }
    dt_run_free(&back);

    T_OK(dt_run_write(in_dir("run.h5"), run));
    T_CHECK(symlink("/dev/full", in_dir("run.h5.tmp")) == 0);
    T_FAILS(dt_run_write(in_dir("run.h5"), run), DT_EIO, "No space left on device");
    T_OK(dt_run_create(N_RANKS, CLASSES, &back));
    T_OK(dt_run_restore(in_dir("run.h5"), 9, 99, back)); /* the old one is whole */
    T_CHECK(back->epochs.n == 3);
    dt_run_free(&back);
    dt_run_free(&run);
}

/* Rows whose keys do not ascend were not written by us. */
static void test_order(void) {
    dt_run *run, *back;
    double row[DT_STEP_COLUMNS] = {1, 2, 3};
    T_OK(dt_run_create(1, CLASSES, &run));
    T_OK(dt_table_add(&run->steps, 2, row));
    T_OK(dt_table_add(&run->steps, 2, row));
    T_OK(dt_run_write(in_dir("order.h5"), run));
    T_OK(dt_run_create(1, CLASSES, &back));
    T_FAILS(dt_run_restore(in_dir("order.h5"), 9, 9, back), DT_EIO,
            "/steps/step does not ascend at row 1");
    dt_run_free(&back);
    dt_run_free(&run);
}

static void test_no_rows(void) {
    dt_run *run, *back;
    T_OK(dt_run_create(1, CLASSES, &run));
    T_OK(dt_run_write(in_dir("none.h5"), run));
    T_OK(dt_run_create(1, CLASSES, &back));
    T_OK(dt_run_restore(in_dir("none.h5"), 9, 9, back));
    T_CHECK(back->epochs.n == 0 && back->steps.n == 0 && back->ranks.n == 0 &&
            back->n_confusion == 0);
    dt_run_free(&back);
    dt_run_free(&run);
}

static void test_many_ranks(void) {
    enum { MANY = DT_RANKS_FULL + 2 };
    static double values[DT_RANK_COLUMNS][MANY];
    dt_run *run, *back;
    for (int c = 0; c < DT_RANK_COLUMNS; c++)
        for (int r = 0; r < MANY; r++)
            values[c][r] = c + (r * 7 % MANY); /* 0 .. MANY-1, shuffled */
    T_OK(dt_run_create(MANY, CLASSES, &run));
    T_OK(dt_run_add_ranks(run, 1, values[0]));
    const double *v = run->ranks.column[DT_RANK_WAIT_SECONDS].v;
    T_CHECK(run->ranks.width == 4 && v[0] == 2 && v[1] == 2 + (MANY - 1) / 2.0 &&
            v[2] == 2 + MANY - 1);
    T_CHECK((int)v[3] * 7 % MANY == MANY - 1);
    T_OK(dt_run_write(in_dir("many.h5"), run));
    T_OK(dt_run_create(MANY, CLASSES, &back));
    T_OK(dt_run_restore(in_dir("many.h5"), 9, 9, back));
    T_CHECK(same_table(&run->ranks, &back->ranks));
    dt_run_free(&back);
    T_OK(dt_run_create(4, CLASSES, &back)); /* four ranks are not four statistics */
    T_OK(dt_run_restore(in_dir("many.h5"), 9, 9, back));
    T_CHECK(back->ranks.n == 0);
    dt_run_free(&back);
    dt_run_free(&run);
}

/* An epoch without a matrix gets zeros; one whose row was cut goes with it. */
static void test_confusion(void) {
    int64_t m[CLASSES * CLASSES] = {0};
    dt_run *run;
    T_OK(dt_run_create(N_RANKS, CLASSES, &run));
    add_row(run, &run->epochs, 0, 0);
    m[5] = 50;
    T_OK(dt_run_add_confusion(run, m));
    add_row(run, &run->epochs, 0, 1);
    T_OK(dt_run_write(in_dir("run.h5"), run));
    T_CHECK(run->n_confusion == 2 && run->confusion[5] == 50 &&
            run->confusion[CLASSES * CLASSES + 5] == 0);
    dt_table_cut(&run->epochs, 0);
    m[5] = 51;
    T_OK(dt_run_add_confusion(run, m)); /* before its row: both orders do */
    add_row(run, &run->epochs, 0, 1);
    T_CHECK(run->n_confusion == 2 && run->confusion[5] == 50 &&
            run->confusion[CLASSES * CLASSES + 5] == 51);
    dt_run_free(&run);
}

static void test_attributes(void) {
    char name[32];
    dt_run *run;
    dt_h5 *file;
    static char long_text[200000]; /* HDF5 has a limit of 64 KB for what it keeps in place */
    char *text, *texts[2];
    int64_t integer, shape[3];
    double number;
    memset(long_text, 'h', sizeof long_text - 1);
    T_OK(dt_run_create(1, 2, &run));
    T_FAILS(dt_run_set_text(run, "format", "x"), DT_EIO, "format");
    T_OK(dt_run_set_text(run, "hosts", "one"));
    T_OK(dt_run_set_text(run, "hosts", "one two"));
    T_OK(dt_run_set_int(run, "n", INT64_MIN));
    T_OK(dt_run_set_number(run, "x", 0.1));
    T_OK(dt_run_set_text(run, "shape", "a text first"));
    T_OK(dt_run_set_ints(run, "shape", 3, (const int64_t[]){1, 28, -28}));
    T_OK(dt_run_set_texts(run, "names", 2, (const char *const[]){"\xc3\xa4", long_text}));
    T_OK(dt_run_write(in_dir("run.h5"), run));
    T_OK(dt_h5_open(in_dir("run.h5"), "dtrain-run", 1, &file));
    if (file) {
        T_OK(dt_h5_get_text(file, "/", "hosts", &text));
        T_CHECK(text && strcmp(text, "one two") == 0);
        free(text);
        T_OK(dt_h5_get(file, "/", "n", DT_H5_I64, 1, &integer));
        T_OK(dt_h5_get(file, "/", "x", DT_H5_F64, 1, &number));
        T_CHECK(integer == INT64_MIN && number == 0.1);
        T_OK(dt_h5_get(file, "/", "shape", DT_H5_I64, 3, shape));
        T_CHECK(shape[0] == 1 && shape[1] == 28 && shape[2] == -28);
        T_OK(dt_h5_get_texts(file, "/", "names", 2, texts));
        T_CHECK(texts[0] && strcmp(texts[0], "\xc3\xa4") == 0);
        T_CHECK(texts[1] && strcmp(texts[1], long_text) == 0);
        free(texts[0]);
        free(texts[1]);
        T_FAILS(dt_h5_get(file, "/", "x", DT_H5_I64, 1, &integer), DT_EIO, "another type");
        T_FAILS(dt_h5_get(file, "/", "x", DT_H5_F64, 2, &number), DT_EIO, "2 elements");
        T_FAILS(dt_h5_get_text(file, "/", "x", &text), DT_EIO, "no UTF-8 text");
        T_FAILS(dt_h5_copy_text(file, "/", "hosts", name, 7), DT_EIO, "at most 6");
        T_FAILS(dt_h5_get(file, "/nothing", "x", DT_H5_F64, 1, &number), DT_EIO,
                "/nothing is missing");
    }
    dt_h5_close(&file);
    for (int i = run->n_attributes; i < DT_RUN_ATTRIBUTES; i++) {
        snprintf(name, sizeof name, "a%d", i);
        T_OK(dt_run_set_int(run, name, i));
    }
    T_FAILS(dt_run_set_int(run, "one_more", 1), DT_EIO, "one_more");
    dt_run_free(&run);
}

static bool log_holds(const char *want) {
    char text[128] = "";
    FILE *f = fopen(in_dir("log.jsonl"), "r");
    bool same = f && fread(text, 1, sizeof text - 1, f) == strlen(want) && strcmp(text, want) == 0;
    if (!same)
        fprintf(stderr, "    %s", text);
    if (f)
        fclose(f);
    return same;
}

static void test_log(void) {
    struct rlimit was, small;
    T_OK(dt_log_append(in_dir("log.jsonl"), "{\"epoch\": 1}"));
    T_OK(dt_log_append(in_dir("log.jsonl"), "{\"epoch\": 2}"));
    T_CHECK(log_holds("{\"epoch\": 1}\n{\"epoch\": 2}\n"));
    T_FAILS(dt_log_append("/dev/full", "{}"), DT_EIO, "No space left");
    T_FAILS(dt_log_append(in_dir("none/log.jsonl"), "{}"), DT_EIO, "No such file");
    /* A full disk takes a part of a line: nothing of it stays. */
    T_CHECK(getrlimit(RLIMIT_FSIZE, &was) == 0);
    small = was;
    small.rlim_cur = 30;
    signal(SIGXFSZ, SIG_IGN);
    T_CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    T_FAILS(dt_log_append(in_dir("log.jsonl"), "{\"epoch\": 3}"), DT_EIO, "File too large");
    T_CHECK(setrlimit(RLIMIT_FSIZE, &was) == 0);
    T_CHECK(log_holds("{\"epoch\": 1}\n{\"epoch\": 2}\n"));
    /* A power cut leaves a part: it spoils no other line. */
    T_CHECK(truncate(in_dir("log.jsonl"), 20) == 0);
    T_OK(dt_log_append(in_dir("log.jsonl"), "{\"epoch\": 2}"));
    T_CHECK(log_holds("{\"epoch\": 1}\n{\"epoch\n{\"epoch\": 2}\n"));
}

static void test_golden(void) {
    char path[DT_PATH_MAX];
    const char *src = getenv("SRC");
    dt_run *want = make(3), *got;
    T_OK(dt_path_join(path, src ? src : ".", "tests/golden/run-v1.h5"));
    T_OK(dt_run_create(N_RANKS, CLASSES, &got));
    T_OK(dt_run_restore(path, INT64_MAX, INT64_MAX, got));
    for (int c = DT_EPOCH_SLOWEST_RANK; c <= DT_EPOCH_SLOWEST_SECONDS; c++) /* it has none yet */
        for (size_t i = 0; i < want->epochs.n; i++)
            want->epochs.column[c].v[i] = NAN;
    T_CHECK(same_table(&want->epochs, &got->epochs) && same_table(&want->steps, &got->steps));
    T_CHECK(same_table(&want->ranks, &got->ranks) && same_confusion(want, got));
    dt_run_free(&got);
    dt_run_free(&want);
}

int main(int argc, char **argv) {
    static const char *const made[] = {"run.h5",   "none.h5", "newer.h5", "empty.h5",
                                       "order.h5", "many.h5", "log.jsonl"};
    T_BEGIN(60);
    if (argc > 1) {
        char path[DT_PATH_MAX];
        dt_run *run = make(3);
        T_OK(dt_path_join(path, argv[1], "run-v1.h5"));
        T_OK(dt_run_write(path, run));
        dt_run_free(&run);
        return t_finish();
    }
    if (!mkdtemp(dir))
        abort();
    test_round_trip();
    test_read();
    test_resume();
    test_refusals();
    test_order();
    test_no_rows();
    test_many_ranks();
    test_confusion();
    test_attributes();
    test_log();
    test_golden();
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        T_CHECK(unlink(in_dir(made[i])) == 0);
    T_CHECK(rmdir(dir) == 0); /* nothing else was left */
    return t_finish();
}
