/* The plan of a sweep: which cells, in which rounds, on which ranks, for how long; and the median's
 * interval. */
#include "tests/t.h"

#include "launch/sweep_plan.h"

static dt_sweep_spec make_spec(int ranks) {
    dt_sweep_spec s = {.batch = 256,
                       .micro_batch = 16,
                       .epochs = 3,
                       .seed = 1,
                       .seeds = 3,
                       .repeats = 3,
                       .threads = 1,
                       .job_ranks = ranks,
                       .test_samples = 10000,
                       .strong = true,
                       .weak = true,
                       .by_epochs = true,
                       .by_steps = true};
    dt_list_parts(60000, &s.samples);
    dt_list_doubling(ranks, &s.ranks);
    return s;
}

static void test_lists(void) {
    dt_list list;
    char text[64];
    T_OK(dt_list_parse("--ranks", "1,2,16", 1, 16, &list));
    T_CHECK(list.n == 3 && list.v[0] == 1 && list.v[1] == 2 && list.v[2] == 16);
    dt_list_text(&list, text, sizeof text);
    T_CHECK(strcmp(text, "1,2,16") == 0);
    T_OK(dt_list_parse("--ranks", "7", 1, 16, &list));
    T_CHECK(list.n == 1 && list.v[0] == 7);
    T_FAILS(dt_list_parse("--ranks", "", 1, 16, &list), DT_EUSAGE,
            "--ranks: '' is no whole number");
    T_FAILS(dt_list_parse("--ranks", "1,", 1, 16, &list), DT_EUSAGE, "'' is no whole");
    T_FAILS(dt_list_parse("--ranks", "1,x", 1, 16, &list), DT_EUSAGE, "'x'");
    T_FAILS(dt_list_parse("--ranks", "1,2k", 1, 16, &list), DT_EUSAGE, "'2k'");
    T_FAILS(dt_list_parse("--ranks", "1;2", 1, 16, &list), DT_EUSAGE, "'1;2'");
    T_FAILS(dt_list_parse("--ranks", "2,1", 1, 16, &list), DT_EUSAGE, "1 follows 2");
    T_FAILS(dt_list_parse("--ranks", "2,2", 1, 16, &list), DT_EUSAGE, "each number once");
    T_FAILS(dt_list_parse("--ranks", "1,17", 1, 16, &list), DT_EUSAGE, "17 is out of range");
    T_FAILS(dt_list_parse("--ranks", "0,1", 1, 16, &list), DT_EUSAGE, "from 1 to 16");
    T_FAILS(dt_list_parse("--ranks", "99999999999999999999", 1, 16, &list), DT_EUSAGE, "no whole");
    dt_list_doubling(1, &list);
    T_CHECK(list.n == 1 && list.v[0] == 1);
    dt_list_doubling(6, &list);
    T_CHECK(list.n == 4 && list.v[2] == 4 && list.v[3] == 6);
    dt_list_doubling(8, &list);
    T_CHECK(list.n == 4 && list.v[3] == 8);
    dt_list_parts(60000, &list);
    dt_list_text(&list, text, sizeof text);
    T_CHECK(strcmp(text, "5000,10000,20000,30000,40000,50000,60000") == 0);
    dt_list_parts(3, &list);
    dt_list_text(&list, text, sizeof text);
    T_CHECK(strcmp(text, "1,2,3") == 0);
}

static const dt_cell *find_time(const dt_cell *cells, size_t n, int64_t ranks, int64_t batch) {
    for (size_t i = 0; i < n; i++)
        if (cells[i].kind == DT_CELL_TIME && cells[i].ranks == ranks && cells[i].batch == batch)
            return &cells[i];
    return NULL;
}

static void test_cells(void) {
    dt_sweep_spec s = make_spec(2);
    dt_cell *cells;
    size_t n, n_time = 0, n_steps = 0;
    int64_t n_whole = 0;
    T_OK(dt_sweep_cells(&s, &cells, &n));
    for (size_t i = 0; i < n; i++) {
        bool is_time = cells[i].kind == DT_CELL_TIME;
        n_time += is_time && cells[i].epochs == 0;
        if (is_time && cells[i].epochs > 0) { /* a whole epoch, of each number of ranks */
            T_CHECK(cells[i].epochs == 1 && cells[i].batch == 256 && cells[i].samples == 60000);
            T_CHECK(cells[i].ranks == ++n_whole);
        }
        n_steps += cells[i].budget == DT_BUDGET_STEPS;
        for (size_t j = 0; j < i; j++)
            T_CHECK(!dt_cell_same(&cells[i], &cells[j]));
    }
    T_CHECK(n_time == 3 * 2 * 4 && n_whole == 2);
    T_CHECK(n_steps == 3 * 6 && n == n_time + 2 + 3 * 7 + n_steps);
    T_CHECK(find_time(cells, n, 1, 256)->scaling == (DT_SCALING_STRONG | DT_SCALING_WEAK));
    T_CHECK(find_time(cells, n, 2, 256)->scaling == DT_SCALING_STRONG);
    T_CHECK(find_time(cells, n, 2, 512)->scaling == DT_SCALING_WEAK);
    T_CHECK(find_time(cells, n, 1, 512)->scaling == DT_SCALING_MODEL);
    T_CHECK(find_time(cells, n, 2, 64)->scaling == DT_SCALING_MODEL);
    T_CHECK(cells[0].samples == 60000 && cells[0].repeat == 0 && cells[n_time - 1].repeat == 2);
    free(cells);

    s.batch = 32; /* a quarter of it is no micro-batch */
    dt_list_parts(120, &s.samples);
    s.by_steps = s.strong = false;
    s.repeats = 1;
    T_OK(dt_sweep_cells(&s, &cells, &n));
    T_CHECK(find_time(cells, n, 1, 8) == NULL && find_time(cells, n, 1, 16) != NULL);
    T_CHECK(find_time(cells, n, 1, 32)->scaling == DT_SCALING_WEAK);
    const dt_cell *whole = cells; /* without strong scaling, epochs of what weak scaling times */
    while (whole < cells + n && (whole->kind != DT_CELL_TIME || !whole->epochs || whole->ranks < 2))
        whole++;
    T_CHECK(whole < cells + n && whole->kind == DT_CELL_TIME && whole->batch == 64);
    free(cells);
    s.batch = 1024; /* a quarter of it is larger than the largest set: nothing to time */
    T_OK(dt_sweep_cells(&s, &cells, &n));
    T_CHECK(n == 21 && cells[0].kind == DT_CELL_ACCURACY);
    free(cells);
}

/* Every size gets the updates of the largest; a curve ends with the cell. */
static void test_budgets(void) {
    dt_sweep_spec s = make_spec(2);
    dt_cell cell = {.kind = DT_CELL_ACCURACY, .samples = 5000, .batch = 256, .epochs = 3};
    T_CHECK(dt_sweep_steps(&s, &cell) == 3 * 20);
    T_CHECK(dt_sweep_point(&s, &cell, 0) == 0 && dt_sweep_point(&s, &cell, 1) == 20);
    cell.budget = DT_BUDGET_STEPS;
    T_CHECK(dt_sweep_steps(&s, &cell) == 3 * 235 && dt_sweep_point(&s, &cell, 3) == 3 * 235);
}

/* Run rounds until nothing is left: each cell once, time cells alone on their ranks, the first
 * seed's alone, the others side by side; never more ranks than there are. */
static void check_rounds(int ranks, int seeds, int threads) {
    dt_sweep_spec s = make_spec(ranks);
    dt_cell *cells;
    size_t n, n_done = 0;
    dt_round round;
    int together = 0, rounds = 0;
    s.seeds = seeds;
    s.threads = threads;
    T_OK(dt_sweep_cells(&s, &cells, &n));
    bool *done = calloc(n, sizeof *done);
    for (;; rounds++) {
        dt_sweep_next(&s, cells, done, n, &round);
        if (round.n == 0)
            break;
        T_CHECK(round.ranks >= 1 && round.n * round.ranks <= ranks);
        for (int i = 0; i < round.n; i++) {
            const dt_cell *c = &cells[round.cells[i]];
            T_CHECK(!done[round.cells[i]]);
            done[round.cells[i]] = true;
            n_done++;
            T_CHECK(c->kind == DT_CELL_ACCURACY || (round.n == 1 && round.ranks == c->ranks));
            T_CHECK(c->seed != 1 || round.n == 1);
            T_CHECK((round.ranks - 1) * threads < 16 || c->kind == DT_CELL_TIME);
        }
        together = round.n > together ? round.n : together;
    }
    T_CHECK(n_done == n);
    T_CHECK((together > 1) == (seeds > 1 && ranks > 1));
    free(done);
    free(cells);
}

static void test_order(void) {
    const int hosts[] = {0, 0, 1, 1, 0, 1};
    int order[6], packed[] = {0, 1, 4, 2, 3, 5}, spread[] = {0, 2, 1, 3, 4, 5};
    dt_sweep_order(hosts, 6, false, order);
    T_CHECK(memcmp(order, packed, sizeof packed) == 0);
    dt_sweep_order(hosts, 6, true, order);
    T_CHECK(memcmp(order, spread, sizeof spread) == 0);
}

/* Two workers halve the cost, beyond the micro-batches there is no more to gain; the time left is
 * in proportion. */
static void test_cost(void) {
    dt_sweep_spec s = make_spec(64);
    dt_cell cells[4];
    for (int i = 0; i < 4; i++) {
        cells[i] = dt_cell_unknown();
        cells[i].kind = DT_CELL_TIME;
        cells[i].batch = 256;
        cells[i].ranks = (int64_t[]){1, 2, 16, 64}[i];
    }
    double one = dt_sweep_cost(&s, &cells[0]);
    T_NEAR(dt_sweep_cost(&s, &cells[1]), one / 2, 0, 1e-12);
    T_NEAR(dt_sweep_cost(&s, &cells[2]), one / 16, 0, 1e-12);
    T_NEAR(dt_sweep_cost(&s, &cells[3]), one / 16, 0, 1e-12);
    cells[3].epochs = 1; /* 235 updates instead of some 70 */
    cells[3].samples = 60000;
    T_NEAR(dt_sweep_cost(&s, &cells[3]), one / 16 * 235 / 70, 0, 1e-12);
    cells[3].epochs = 0;
    bool done[] = {true, false, true, true};
    T_NEAR(dt_sweep_seconds_left(&s, cells, done, 4, one, 10), 5, 1e-9, 0);
    T_CHECK(isnan(dt_sweep_seconds_left(&s, cells, done, 4, 0, 0)));
}

static void test_bits(void) {
    dt_cell cells[6];
    for (int i = 0; i < 6; i++) {
        cells[i] = dt_cell_unknown();
        cells[i].kind = i == 5 ? DT_CELL_ACCURACY : DT_CELL_TIME;
        cells[i].batch = i < 3 ? 64 : 128;
        cells[i].ranks = 1 + i % 2;
        snprintf(cells[i].params_sha256, sizeof cells[i].params_sha256, "%d", i < 3 ? 0 : i);
    }
    dt_same_bits bits = dt_sweep_same_bits(cells, 4);
    T_CHECK(bits.groups == 1 && bits.cells == 3 && !bits.one);
    bits = dt_sweep_same_bits(cells, 6);
    T_CHECK(bits.groups == 2 && bits.cells == 5 && bits.one == &cells[3] &&
            bits.other == &cells[4]);
    cells[4].epochs = 1; /* with a short batch at the end of the epoch: another training */
    bits = dt_sweep_same_bits(cells, 6);
    T_CHECK(bits.groups == 1 && bits.cells == 3 && !bits.one);
    cells[4].epochs = 0;
    cells[4].steps = 9; /* another length is too */
    bits = dt_sweep_same_bits(cells, 6);
    T_CHECK(bits.groups == 1 && bits.cells == 3 && !bits.one);
}

/* Known values: of 10 the 2nd smallest and largest, of 20 the 6th, of 100 the 40th. */
static void test_median(void) {
    static const struct {
        int n, k;
    } rows[] = {{1, 1}, {5, 1}, {6, 1}, {9, 2}, {10, 2}, {20, 6}, {30, 10}, {100, 40}};
    double v[100];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int n = rows[i].n;
        for (int j = 0; j < n; j++)
            v[j] = 1 + (j * 7 + 3) % n; /* 1 .. n, shuffled where 7 does not divide n */
        dt_median m = dt_median_interval(v, (size_t)n);
        T_CHECK(m.median == (n + 1) / 2.0);
        if (!T_CHECK(m.low == rows[i].k && m.high == n + 1 - rows[i].k))
            fprintf(stderr, "    %d values: %g to %g\n", n, m.low, m.high);
    }
    for (int j = 0; j < 100; j++)
        v[j] = 1;
    T_CHECK(dt_median_interval(v, 100).high == 1);
}

int main(void) {
    T_BEGIN(60);
    test_lists();
    test_cells();
    test_budgets();
    check_rounds(1, 3, 1);
    check_rounds(2, 3, 1);
    check_rounds(2, 1, 1);
    check_rounds(3, 2, 4);
    check_rounds(64, 3, 1);
    check_rounds(100, 5, 2);
    test_order();
    test_cost();
    test_bits();
    test_median();
    return t_finish();
}
