/* sweep.h5: what is written comes back, for any number of cells; what is damaged is refused, and
 * the version before it is there. */
#include "tests/t.h"

#include <sys/stat.h>

#include "io/h5.h"
#include "io/sweepfile.h"

enum { POINTS = 4 };

/* A cell whose every value is another one. */
static dt_cell make_cell(int i, double *curve) {
    dt_cell cell = dt_cell_unknown();
    for (int c = 0; c < DT_CURVE_COLUMNS * POINTS; c++)
        curve[c] = i + c / 100.0;
    cell.kind = i % 2;
    cell.scaling = i % 2 ? DT_SCALING_STRONG | DT_SCALING_WEAK : 0;
    cell.samples = 1000 * (i + 1);
    cell.batch = 64 << i % 3;
    cell.epochs = 3;
    cell.seed = 9007199254740992 - i; /* beyond what a double holds exactly */
    cell.ranks = 1 + i % 2;
    cell.threads = 1;
    cell.status = i == 2 ? DT_EDIVERGED : DT_OK;
    cell.step_seconds = 0.125 + i;
    cell.test_accuracy = 99.0 + i / 16.0;
    cell.curve = curve;
    snprintf(cell.params_sha256, sizeof cell.params_sha256, "%064d", i);
    snprintf(cell.reason, sizeof cell.reason, "%s", i == 2 ? "diverged at step 3: \xc3\xa9" : "");
    snprintf(cell.slowest_host, sizeof cell.slowest_host, "host%d", i);
    return cell;
}

static dt_sweep *make(int n) {
    double curve[DT_CURVE_COLUMNS * POINTS];
    dt_sweep *sweep;
    T_OK(dt_sweep_create(POINTS, &sweep));
    T_OK(dt_sweep_set(&sweep->config, "{\"batch\":256}"));
    T_OK(dt_sweep_set(&sweep->model, "fc 10"));
    T_OK(dt_sweep_set(&sweep->model, "fc 11")); /* replaces */
    sweep->test_samples = 10000;
    sweep->flop_per_image = 2.5e7;
    snprintf(sweep->data_sha256[3], DT_SHA256_HEX, "abc");
    for (int i = 0; i < n; i++) {
        dt_cell cell = make_cell(i, curve);
        T_OK(dt_sweep_add(sweep, &cell));
    }
    return sweep;
}

/* Compared as bytes: NaN is NaN. curve is a pointer, and compared by what it points to. */
static bool same_cell(dt_cell a, dt_cell b) {
    bool same = memcmp(a.curve, b.curve, DT_CURVE_COLUMNS * POINTS * sizeof *a.curve) == 0 &&
                strcmp(a.params_sha256, b.params_sha256) == 0 && strcmp(a.reason, b.reason) == 0 &&
                strcmp(a.slowest_host, b.slowest_host) == 0;
    return same && memcmp(&a, &b, offsetof(dt_cell, params_sha256)) == 0;
}

static void test_round_trip(int n) {
    dt_sweep *sweep = make(n), *back = NULL;
    T_OK(dt_sweep_write("sweep.h5", sweep));
    if (!T_OK(dt_sweep_read("sweep.h5", &back)))
        return;
    T_CHECK(back->n == (size_t)n && back->points == POINTS && back->exit_status == -1);
    for (int i = 0; i < n; i++)
        T_CHECK(same_cell(sweep->cells[i], back->cells[i]));
    T_CHECK(strcmp(back->config, "{\"batch\":256}") == 0 && strcmp(back->model, "fc 11") == 0);
    T_CHECK(back->hosts && back->hosts[0] == 0);
    T_CHECK(back->test_samples == 10000 && back->flop_per_image == 2.5e7);
    T_CHECK(strcmp(back->data_sha256[3], "abc") == 0 && back->data_sha256[0][0] == 0);
    dt_sweep_free(&back);
    T_CHECK(back == NULL);
    dt_sweep_free(&sweep);
}

/* Every cut is seen, every changed byte that is tried too, and the version before stays whole. */
static void test_damage(void) {
    dt_sweep *two = make(2), *three = make(3), *back;
    struct stat st;
    unlink("sweep.h5");
    unlink("sweep.h5.before");
    T_OK(dt_sweep_write("sweep.h5", two));
    T_CHECK(access("sweep.h5.before", F_OK) != 0);
    T_OK(dt_sweep_write("sweep.h5", three));
    T_CHECK(stat("sweep.h5", &st) == 0);
    for (off_t at = 0; at < st.st_size; at += 997) {
        T_OK(dt_sweep_write("sweep.h5", three));
        T_CHECK(truncate("sweep.h5", at) == 0);
        T_FAILS(dt_sweep_read("sweep.h5", &back), DT_EIO, "sweep.h5");
        T_CHECK(back == NULL);
        unlink("sweep.h5");
    }
    T_OK(dt_sweep_write("sweep.h5", two));
    T_OK(dt_sweep_write("sweep.h5", three));
    for (off_t at = 600; at < st.st_size; at += 1499) {
        FILE *f = fopen("sweep.h5", "r+b");
        T_CHECK(f && fseek(f, at, SEEK_SET) == 0);
        int byte = fgetc(f);
        T_CHECK(fseek(f, at, SEEK_SET) == 0 && fputc(byte ^ 0x10, f) != EOF && fclose(f) == 0);
        T_FAILS(dt_sweep_read("sweep.h5", &back), DT_EIO, "damaged");
        f = fopen("sweep.h5", "r+b");
        T_CHECK(f && fseek(f, at, SEEK_SET) == 0 && fputc(byte, f) != EOF && fclose(f) == 0);
    }
    T_OK(dt_sweep_read("sweep.h5.before", &back));
    T_CHECK(back && back->n == 2 && same_cell(back->cells[1], two->cells[1]));
    dt_sweep_free(&back);
    dt_sweep_free(&two);
    dt_sweep_free(&three);
}

/* A name is found whatever came out; accuracy cells do not ask who computed them. */
static void test_names(void) {
    dt_sweep *sweep = make(4);
    dt_cell name = sweep->cells[2];
    name.ranks = 7;
    name.test_accuracy = 1;
    T_CHECK(dt_sweep_find(sweep, &name) == &sweep->cells[2]);
    name.seed++;
    T_CHECK(dt_sweep_find(sweep, &name) == NULL);
    name = sweep->cells[3];
    T_CHECK(dt_sweep_find(sweep, &name) == &sweep->cells[3]);
    name.ranks = 7;
    T_CHECK(dt_sweep_find(sweep, &name) == NULL);
    dt_sweep_free(&sweep);
}

/* A cell that is done again takes the place of the one that failed, as the last one; only what
 * diverged stays as it is. */
static void test_again(void) {
    dt_sweep *sweep = make(4);
    dt_cell again = sweep->cells[1], other = sweep->cells[2];
    double curve[64] = {1.5};
    again.curve = curve;
    again.status = DT_EIO;
    T_CHECK(!dt_cell_done(&again));
    again.status = DT_EDIVERGED;
    T_CHECK(dt_cell_done(&again));
    again.status = DT_OK;
    T_CHECK(dt_cell_done(&again));
    again.seconds = 77;
    T_OK(dt_sweep_put(sweep, &again));
    T_CHECK(sweep->n == 4 && sweep->cells[3].seconds == 77 && sweep->cells[3].curve[0] == 1.5);
    T_CHECK(dt_cell_same(&sweep->cells[1], &other) && dt_sweep_find(sweep, &again)->seconds == 77);
    again.seed += 1000;
    T_OK(dt_sweep_put(sweep, &again));
    T_CHECK(sweep->n == 5 && dt_cell_same(&sweep->cells[4], &again));
    dt_sweep_free(&sweep);
}

static void test_others(void) {
    char created[DT_H5_CREATED];
    dt_h5 *file;
    dt_sweep *back;
    T_FAILS(dt_sweep_read("none.h5", &back), DT_EIO, "No such file");
    T_OK(dt_h5_create("run", "dtrain-run", 1, created, &file));
    T_OK(dt_h5_finish(&file, "run.h5"));
    T_FAILS(dt_sweep_read("run.h5", &back), DT_EIO, "dtrain-run");
    T_OK(dt_h5_create("newer", "dtrain-sweep", DT_SWEEP_VERSION + 1, created, &file));
    T_OK(dt_h5_finish(&file, "newer.h5"));
    T_FAILS(dt_sweep_read("newer.h5", &back), DT_EIO, "use a newer dtrain");
    T_OK(dt_h5_create("empty", "dtrain-sweep", 1, created, &file));
    T_OK(dt_h5_finish(&file, "empty.h5"));
    T_FAILS(dt_sweep_read("empty.h5", &back), DT_EIO, "config");
    T_CHECK(back == NULL);
}

int main(void) {
    T_BEGIN(60);
    test_round_trip(0);
    test_round_trip(1);
    test_round_trip(5);
    test_round_trip(5000); /* texts beyond what HDF5 keeps in one place */
    test_damage();
    test_names();
    test_again();
    test_others();
    return t_finish();
}
