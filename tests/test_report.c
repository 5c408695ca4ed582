/* timeout: 120 - what a report says of made-up sweeps whose answer is known, and what it does not
 * claim. */
#include "launch/report.h"
#include "launch/sweep_plan.h"
#include "tests/t.h"

static dt_sweep *sweep;
static char *page_text; /* of the last index.html */

static void begin(int64_t micro_batch) {
    dt_sweep_free(&sweep);
    T_OK(dt_sweep_create(3, &sweep));
    sweep->micro_batch = micro_batch;
    sweep->test_samples = 1000;
}

static void add_accuracy(int64_t samples, int64_t seed, double accuracy, bool alone) {
    double curve[3 * DT_CURVE_COLUMNS];
    dt_cell c = dt_cell_unknown();
    for (int i = 0; i < 3 * DT_CURVE_COLUMNS; i++)
        curve[i] = 1 + i % 3;
    c.kind = DT_CELL_ACCURACY;
    c.samples = samples;
    c.batch = 32;
    c.epochs = 2;
    c.seed = seed;
    c.ranks = c.threads = 1;
    c.alone = alone;
    c.seconds = 1e-3 * (double)samples;
    c.images_per_second = 1000;
    c.test_accuracy = accuracy;
    c.test_correct = (int64_t)(10 * accuracy);
    c.curve = curve;
    T_OK(dt_sweep_add(sweep, &c));
}

static void add_time(int64_t ranks, int64_t batch, int64_t repeat, double seconds, char digest) {
    dt_cell c = dt_cell_unknown();
    c.kind = DT_CELL_TIME;
    c.scaling = DT_SCALING_STRONG;
    c.samples = 60000;
    c.batch = batch;
    c.repeat = repeat;
    c.ranks = ranks;
    c.threads = 1;
    c.alone = 1;
    c.steps = 30;
    c.step_seconds = seconds;
    c.step_low = 0.99 * seconds;
    c.step_high = 1.01 * seconds;
    c.input_seconds = c.update_seconds = 0;
    c.compute_seconds = 0.9 * seconds;
    c.compute_max_seconds = 0.92 * seconds;
    c.reduce_seconds = 0.01 * seconds;
    c.wait_seconds = 0;
    c.startup_seconds = c.evaluation_seconds = 0.1;
    if (ranks > 1) {
        c.latency_seconds = 1e-5;
        c.all_reduce_seconds = 2e-5;
        c.all_reduce_bytes = 100000;
        c.slowest_rank = 1;
        snprintf(c.slowest_host, sizeof c.slowest_host, "snail");
    }
    memset(c.params_sha256, digest, sizeof c.params_sha256 - 1);
    T_OK(dt_sweep_add(sweep, &c));
}

/* The page of some parts; its text is then in page_text. */
static void draw(void (*part)(dt_page *page, const dt_sweep *sweep)) {
    dt_page *page;
    free(page_text);
    page_text = calloc(1, 1 << 22);
    if (system("rm -rf page") != 0)
        exit(1);
    T_OK(dt_page_open("page", "test", true, &page));
    part(page, sweep);
    T_OK(dt_page_close(&page));
    FILE *f = fopen("page/index.html", "r");
    T_CHECK(f && page_text && fread(page_text, 1, (1 << 22) - 1, f) > 0);
    if (f)
        fclose(f);
}

static bool says(const char *words) {
    return strstr(page_text, words) != NULL;
}

static void model_part(dt_page *page, const dt_sweep *s) {
    dt_rows *rows = dt_rows_of(s);
    dt_report_model(page, s, rows);
    free(rows);
}

/* Without a cell that ran alone there are no times to show, and the rest is shown all the same. */
static void test_none_alone(void) {
    begin(8);
    for (int seed = 1; seed <= 2; seed++)
        for (int i = 1; i <= 2; i++)
            add_accuracy(1000 * i, seed, 80 + 8 * i + 0.1 * seed, false);
    draw(dt_report_data);
    T_CHECK(says("No cell ran alone") && access("page/size-time.svg", F_OK) != 0);
    T_CHECK(access("page/size-accuracy.svg", F_OK) == 0);
    T_CHECK(says("More data helps up to the largest size: 2,000 samples are 8.00 points better"));
    /* at 96 to 96.2 % of 1,000 images: of one, and, by sqrt(2) more, of two */
    T_CHECK(says(", and the difference of two runs to 2.2"));
}

/* Significantly worse is not better, and not the same. */
static void test_worse(void) {
    begin(8);
    for (int seed = 1; seed <= 3; seed++) {
        add_accuracy(1000, seed, 90 + 0.1 * seed, false);
        add_accuracy(2000, seed, 94 + 0.1 * seed, false);
        add_accuracy(3000, seed, 92 + 0.1 * seed, false);
    }
    draw(dt_report_data);
    T_CHECK(says("More data does not help here: 3,000 samples are 2.00 points worse than 2,000"));
    T_CHECK(!says("More data helps"));
}

/* The accuracies of a default sweep. Seeds of 5,000 samples differ by 0.34 points and those of
 * 30,000 by 0.01: what is said of the large sets must not depend on whether the small one was
 * tried. */
static void test_enough(void) {
    static const int64_t samples[] = {5000, 10000, 20000, 30000, 40000, 50000, 60000};
    static const double accuracy[7][3] = {
        {96.91, 97.59, 97.30}, {98.48, 98.49, 98.32}, {99.06, 99.09, 98.85}, {99.19, 99.20, 99.18},
        {99.34, 99.19, 99.26}, {99.30, 99.43, 99.31}, {99.40, 99.36, 99.31}};
    for (int first = 0; first <= 1; first++) {
        begin(8);
        for (int i = first; i < 7; i++)
            for (int seed = 0; seed < 3; seed++)
                add_accuracy(samples[i], seed, accuracy[i][seed], seed == 0);
        draw(dt_report_data);
        T_CHECK(says("From 40,000 samples on, more data is no longer distinguishable"));
    }
}

/* Every row and every repeat is shown. */
static void test_many(void) {
    begin(8);
    for (int64_t ranks = 1; ranks <= 60; ranks++)
        for (int64_t batch = 8; batch <= 24; batch += 8)
            add_time(ranks, batch * 64, 0, 1e-3 * (double)batch / (double)ranks, 'a');
    for (int64_t repeat = 1; repeat < 100; repeat++)
        add_time(1, 512, repeat, 1, 'a');
    dt_rows *rows = dt_rows_of(sweep);
    T_CHECK(rows && rows->n == 180 && rows->left_out == 0);
    if (rows) {
        T_CHECK(rows->r[0].n == 100 && rows->r[0].step.value == 1);
        T_CHECK(rows->r[0].step.low < 0.01 && dt_rows_most_ranks(rows) == 60);
    }
    free(rows);
}

/* One rank tells nothing of an all-reduce, so nothing of more ranks. */
static void test_one_rank(void) {
    begin(8);
    for (int64_t batch = 32; batch <= 256; batch *= 2)
        add_time(1, batch, 0, 1e-3 + 1e-4 * (double)batch, 'a');
    draw(model_part);
    T_CHECK(says("Nothing is predicted for more ranks"));
    T_CHECK(says("t_fix = 1.000 ms and t_mb = 0.800 ms"));
    T_CHECK(!says("knee") && access("page/predictions.csv", F_OK) != 0);
    T_CHECK(access("page/model.svg", F_OK) != 0);
}

/* A file that does not tell the size of its micro-batches, and a knee that was not looked for. */
static void test_knee(void) {
    begin(0);
    for (int64_t batch = 1 << 20; batch <= 1 << 24; batch *= 4)
        for (int64_t ranks = 1; ranks <= 2; ranks++)
            add_time(ranks, batch, 0, 1e-5 + 1e-6 * (double)batch / (double)ranks, 'a');
    draw(model_part);
    T_CHECK(says("No knee at batch 1048576: the efficiency is at least 50 % at 4096 ranks"));
    T_CHECK(!says("nan"));
    T_CHECK(access("page/predictions.csv", F_OK) == 0);
}

static void test_bits(void) {
    begin(8);
    for (int64_t ranks = 1; ranks <= 2; ranks++)
        for (int64_t repeat = 0; repeat < 2; repeat++)
            add_time(ranks, 32, repeat, 1e-3, 'a');
    draw(dt_report_sweep_origin);
    T_CHECK(says("Same bits: 4 time cells of 1 kind (batch"));
    T_CHECK(access("page/bits.csv", F_OK) == 0 && says("aaaaaaaa"));
    add_time(2, 32, 2, 1e-3, 'b');
    draw(dt_report_sweep_origin);
    T_CHECK(says("Not the same bits: batch 32 ended with other parameters on 2 ranks than on 1"));
    T_CHECK(!says("Same bits"));
}

/* Repeats on the same ranks say nothing of other numbers of ranks, unless they differ. */
static void test_bits_untried(void) {
    begin(8);
    for (int64_t repeat = 0; repeat < 3; repeat++)
        add_time(1, 32, repeat, 1e-3, 'a');
    draw(dt_report_sweep_origin);
    T_CHECK(says("was not tried") && !says("Same bits"));
    add_time(1, 32, 3, 1e-3, 'b');
    draw(dt_report_sweep_origin);
    T_CHECK(
        says("Not the same bits: batch 32 ended with other parameters on 1 ranks than in another "
             "time cell of as many"));
}

/* The whole of a file of the page, for free(). */
static char *read_page(const char *name) {
    char path[64], *text = calloc(1, 1 << 20);
    snprintf(path, sizeof path, "page/%s", name);
    FILE *f = fopen(path, "r");
    T_CHECK(f && text && fread(text, 1, (1 << 20) - 1, f) > 0);
    if (f)
        fclose(f);
    return text;
}

/* Batches for the model alone: there is no speed-up to show, and the rest is shown all the same. */
static void test_model_only(void) {
    begin(8);
    for (int64_t ranks = 1; ranks <= 2; ranks++)
        for (int64_t batch = 64; batch <= 128; batch *= 2)
            add_time(ranks, batch, 0, 1e-3 + 1e-4 * (double)(batch / ranks), 'a');
    for (size_t i = 0; i < sweep->n; i++)
        sweep->cells[i].scaling = DT_SCALING_MODEL;
    draw(dt_report_scaling);
    T_CHECK(says("There is no speed-up to show"));
    T_CHECK(access("page/speed-up.gp", F_OK) != 0 && access("page/throughput.gp", F_OK) != 0);
    T_CHECK(access("page/breakdown.svg", F_OK) == 0 && says("t_fix = "));
}

/* Ideal is in proportion to the fewest ranks measured, whatever they are. */
static void test_ideal(void) {
    begin(8);
    for (int64_t ranks = 2; ranks <= 4; ranks += 2)
        for (int64_t batch = 64; batch <= 128; batch *= 2)
            add_time(ranks, batch, 0, 1e-2 / (double)ranks * (double)batch, 'a');
    draw(dt_report_scaling);
    char *script = read_page("speed-up.gp");
    T_CHECK(script && strstr(script, "plot x/2 with lines") && !strstr(script, "x/1 "));
    free(script);
    for (size_t i = 0; i < sweep->n; i++) /* the fewest ranks of weak scaling are others */
        if (sweep->cells[i].ranks == 4)
            sweep->cells[i].scaling = DT_SCALING_WEAK;
    draw(dt_report_scaling);
    script = read_page("speed-up.gp");
    T_CHECK(script && strstr(script, "plot x/2 with lines") && strstr(script, "x/4 with lines"));
    free(script);
}

/* A whole epoch confirms the median; it is none of the cells that the median is of. */
static void test_whole_epoch(void) {
    begin(8);
    for (int64_t ranks = 1; ranks <= 2; ranks++) {
        add_time(ranks, 256, 0, 0.1 / (double)ranks, 'a');
        add_time(ranks, 256, 0, 0.3 / (double)ranks, 'b');
        dt_cell *c = &sweep->cells[sweep->n - 1];
        c->epochs = 1;
        c->steps = 235;
        c->seconds = 24.91 / (double)ranks;
    }
    draw(dt_report_scaling);
    T_CHECK(says("A whole epoch on 1 rank took 24.91 s; its 235 steps by the median say 23.50 s: "
                 "+6.0 %."));
    T_CHECK(says("A whole epoch on 2 ranks took 12.46 s"));
    T_CHECK(says("Strong scaling: 2 ranks are 2.00 times as fast as 1"));
    draw(dt_report_sweep_origin);
    T_CHECK(says("Same bits: 4 time cells of 2 kinds"));
}

/* What of the model's curves is thick, and which predictions are called extrapolated: nothing of a
 * batch that was not timed. */
static void test_extrapolated(void) {
    begin(8);
    for (int64_t ranks = 1; ranks <= 4; ranks *= 2)
        for (int64_t batch = 64; batch <= 256; batch *= 2)
            add_time(ranks, batch, 0, 1e-3 + 1e-4 * (double)(batch / ranks), 'a');
    draw(dt_report_scaling);
    char *script = read_page("model.gp"), *csv = read_page("predictions.csv");
    int curve = -1, thick[2][8] = {{0}}, lines[2] = {0};
    for (char *line = strtok(script, "\n"); line; line = strtok(NULL, "\n")) {
        int ranks, dashed;
        if (sscanf(line, "$p%d <<", &curve) == 1 || strncmp(line, "EOD", 3) == 0)
            curve = *line == '$' ? curve : -1;
        else if (curve >= 0 && sscanf(line, "%d %*f %*f %*f %d", &ranks, &dashed) == 2) {
            lines[curve]++;
            thick[curve][ranks < 8 ? ranks : 0] += !dashed;
        }
    }
    T_CHECK(lines[0] > 100 && lines[1] == lines[0]);
    T_CHECK(thick[0][1] && thick[0][2] && thick[0][4] && !thick[0][0] && !thick[0][6]);
    for (int i = 0; i < 8; i++)
        T_CHECK(thick[1][i] == 0);
    T_CHECK(strstr(csv, "limited by,extrapolated\r\n4,32,")); /* less than a worker ever had */
    T_CHECK(strstr(csv, ",yes\r\n4,256,") && strstr(csv, ",no\r\n32,256,"));
    T_CHECK(strstr(csv, ",yes\r\n256,2048,"));
    free(script);
    free(csv);
}

/* More data and more updates are two causes: what is said of the one must not pass for the other.
 */
static void test_two_budgets(void) {
    begin(8);
    for (int seed = 1; seed <= 3; seed++)
        for (int i = 0; i < 4; i++) {
            add_accuracy(1000 << i, seed, 80 + 4 * i + 0.1 * seed, seed == 1);
            if (i == 3)
                break;
            add_accuracy(1000 << i, seed, 92 + 0.1 * ((seed + i) % 3), seed == 1);
            sweep->cells[sweep->n - 1].budget = DT_BUDGET_STEPS;
        }
    draw(dt_report_data);
    T_CHECK(says("With the same epochs: More data helps up to the largest size: 8,000 samples"));
    T_CHECK(says("With the same updates: From 1,000 samples on, more data is no longer"));
    T_CHECK(says("With the same epochs: Power law") && says("With the same updates: Power law"));
    T_CHECK(access("page/power-law.svg", F_OK) == 0 &&
            access("page/power-law-steps.svg", F_OK) == 0);
}

/* Who computed longest, by name; nothing measured is no failure of gnuplot. */
static void test_slowest(void) {
    begin(8);
    for (int64_t ranks = 1; ranks <= 2; ranks++)
        add_time(ranks, 32, 0, 1e-3 / (double)ranks, 'a');
    for (size_t i = 0; i < sweep->n; i++)
        sweep->cells[i].startup_seconds = sweep->cells[i].evaluation_seconds =
            sweep->cells[i].wait_seconds = NAN;
    draw(dt_report_scaling);
    T_CHECK(says("computes 2.2 % longer than they do on average; most often, in 1 of 1 time cells, "
                 "that is rank 1 on snail."));
}

/* Epochs in which a rank held up the others, of a run that tells. */
static void runs_part(dt_page *page, const dt_sweep *unused) {
    static const char *const columns[] = {"slowest_rank", "slowest_seconds"};
    static const double slow[2][3] = {{NAN, 1, NAN}, {NAN, 0.5, NAN}};
    const char *name = "tortoise";
    dt_run *run;
    (void)unused;
    T_OK(dt_run_create(2, 2, &run));
    for (int64_t epoch = 1; epoch <= 3; epoch++) {
        double values[DT_TABLE_COLUMNS], phases[DT_RANK_COLUMNS * 2] = {0};
        const int64_t confusion[4] = {5, 1, 0, 4};
        for (int c = 0; c < DT_TABLE_COLUMNS; c++)
            values[c] = 2;
        T_OK(dt_table_add(&run->epochs, epoch, values));
        T_OK(dt_run_add_confusion(run, confusion));
        T_OK(dt_run_add_ranks(run, epoch, phases));
    }
    for (int i = 0; i < 2; i++) { /* as a column of the file, or as one more */
        int c = 0;
        while (c < run->epochs.n_columns && strcmp(run->epochs.column[c].name, columns[i]) != 0)
            c++;
        if (c == run->epochs.n_columns) {
            run->epochs.column[c] = (dt_column){.name = columns[i], .v = malloc(sizeof slow[i])};
            run->epochs.n_columns++;
        }
        memcpy(run->epochs.column[c].v, slow[i], sizeof slow[i]);
    }
    T_OK(dt_run_set_text(run, "hosts", "hare, snail (3), hare"));
    dt_report_runs(page, (const dt_run *const *)&run, &name, 1);
    dt_run_free(&run);
}

/* Bars over the seeds are the least and the largest of them: of losses, and of accuracies by the
 * time of the one that ran alone. */
static void test_bars(void) {
    begin(8);
    for (int seed = 1; seed <= 3; seed++)
        for (int i = 1; i <= 2; i++) {
            add_accuracy(1000 * i, seed, 80 + 4 * i + 0.1 * seed, seed == 1);
            double *curve = sweep->cells[sweep->n - 1].curve;
            for (int p = 0; p < 3; p++) {
                curve[3 * DT_CURVE_TRAIN_LOSS + p] *= 0.7 + 0.1 * seed;
                curve[3 * DT_CURVE_TEST_ACCURACY + p] *= 0.7 + 0.1 * seed;
            }
        }
    draw(dt_report_data);
    static const char *const names[] = {"epoch-loss.gp", "time-accuracy.gp", "epoch-accuracy.gp"};
    for (int i = 0; i < 3; i++) {
        char *script = read_page(names[i]);
        T_CHECK(script && strstr(script, "\n3 2.7 2.4 3\n") && strstr(script, "yerrorlines"));
        free(script);
    }
    for (size_t i = 0; i < sweep->n; i++) /* of a file without curves nothing is drawn of them */
        for (int p = 0; p < 3 * DT_CURVE_COLUMNS; p++)
            sweep->cells[i].curve[p] = NAN;
    draw(dt_report_data);
    T_CHECK(access("page/epoch-loss.gp", F_OK) != 0 && access("page/time-accuracy.gp", F_OK) != 0);
    T_CHECK(access("page/size-accuracy.svg", F_OK) == 0);
}

/* A run that was killed in its first epoch, and began with --init: row 0 is all that there is. */
static void untrained_part(dt_page *page, const dt_sweep *unused) {
    const char *name = "egg";
    dt_run *run;
    double values[DT_TABLE_COLUMNS];
    (void)unused;
    T_OK(dt_run_create(2, 1, &run));
    for (int c = 0; c < DT_TABLE_COLUMNS; c++)
        values[c] = c == DT_EPOCH_TEST_LOSS || c == DT_EPOCH_TEST_ACCURACY ? 2 : NAN;
    T_OK(dt_table_add(&run->epochs, 0, values));
    dt_report_runs(page, (const dt_run *const *)&run, &name, 1);
    dt_run_free(&run);
}

static void test_untrained(void) {
    begin(8);
    draw(untrained_part);
    T_CHECK(access("page/loss.svg", F_OK) == 0);
    T_CHECK(says("no epoch of training yet") && access("page/accuracy.gp", F_OK) != 0);
}

/* Two runs whose last accuracies over 10,000 images are these. */
static double accuracies[3];
static void pair_part(dt_page *page, const dt_sweep *unused) {
    static const char *const names[] = {"ant", "bee", "cat"};
    dt_run *runs[3];
    (void)unused;
    for (int r = 0; r < 3; r++) {
        double values[DT_TABLE_COLUMNS];
        T_OK(dt_run_create(2, 1, &runs[r]));
        for (int c = 0; c < DT_TABLE_COLUMNS; c++)
            values[c] = c == DT_EPOCH_TEST_ACCURACY ? accuracies[r] : 2;
        T_OK(dt_table_add(&runs[r]->epochs, 1, values));
        T_OK(dt_run_set_int(runs[r], "test_samples", 10000));
    }
    dt_report_runs(page, (const dt_run *const *)runs, names, 3);
    for (int r = 0; r < 3; r++)
        dt_run_free(&runs[r]);
}

/* z sqrt(2 p q / n) is 0.28 points at 99.4 %. */
static void test_noise_of_runs(void) {
    const double v[3] = {99.2, 99.4, 99.05};
    begin(8);
    memcpy(accuracies, v, sizeof v);
    draw(pair_part);
    T_CHECK(says("bee is 0.20 points better than ant: that is within the noise"));
    T_CHECK(says("bee is 0.35 points better than cat: that is more than noise"));
    T_CHECK(!says("ant is"));
}

static void test_straggler(void) {
    char line[256] = "", csv[1024] = "";
    begin(8);
    draw(runs_part);
    FILE *f = fopen("page/stragglers.csv", "r");
    while (f && fgets(line, sizeof line, f))
        strncat(csv, line, sizeof csv - strlen(csv) - 1);
    if (f)
        fclose(f);
    T_CHECK(
        strcmp(csv,
               "run,epoch,slowest rank,its host,cost s,cost %\r\ntortoise,2,1,snail,0.50,25\r\n") ==
        0);
    T_CHECK(says("held up the others"));
}

int main(void) {
    T_BEGIN(120);
    if (dt_gnuplot_find() != DT_OK) {
        printf("skipped: needs gnuplot\n");
        return 77;
    }
    test_none_alone();
    test_worse();
    test_enough();
    test_many();
    test_one_rank();
    test_knee();
    test_bits();
    test_bits_untried();
    test_model_only();
    test_ideal();
    test_whole_epoch();
    test_extrapolated();
    test_two_budgets();
    test_bars();
    test_untrained();
    test_noise_of_runs();
    test_slowest();
    test_straggler();
    dt_sweep_free(&sweep);
    free(page_text);
    return t_finish();
}
