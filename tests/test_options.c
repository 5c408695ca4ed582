/* Options: what is taken, what is refused with which words, where values come from, and what resume
 * compares. */
#include "tests/t.h"
#include "launch/option_table.h"
#include "model/backend.h"

static dt_options o;

/* Parse "dtrain" and the words of line, split at blanks ('_' stands for a blank inside a word). */
static dt_status parse(const char *line) {
    static char text[8192];
    char *argv[64] = {(char *)"dtrain"};
    int argc = 1;
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
        for (char *c = word; *c; c++)
            *c = *c == '_' ? ' ' : *c;
        argv[argc++] = word;
    }
    return dt_options_parse(argc, argv, &o);
}

static void test_defaults(void) {
    T_OK(parse(""));
    T_CHECK(o.command == DT_CMD_TRAIN && o.action == DT_ACTION_RUN);
    T_CHECK(strcmp(o.data, "data/mnist") == 0 && strcmp(o.model, "cnn") == 0 && o.out[0] == 0);
    T_CHECK(o.samples == 0 && o.epochs == 3 && o.batch == 256 && o.micro_batch == 0 && o.seed == 1);
    T_CHECK(o.optimizer == DT_ADAMW && o.schedule == DT_ONECYCLE && o.precision == DT_F32);
    T_CHECK(o.lr == -1 && o.momentum == -1 && o.weight_decay == -1 && o.time_limit == 0);
    T_CHECK(o.threads == 0 && o.checkpoint_every == 0 && !o.resume && !o.nesterov);
    dt_options_resolve(&o);
    T_CHECK(o.lr == 0.004 && o.momentum == 0.7 && o.beta2 == 0.9 && o.weight_decay == 0);
    T_OK(parse("--model fast --lr 0.5 --schedule cosine"));
    dt_options_resolve(&o);
    T_CHECK(o.lr == 0.5 && o.momentum == 0.7);
    T_OK(parse("--optimizer sgd --model fc_10"));
    dt_options_resolve(&o);
    T_CHECK(o.lr == 0.05 && o.weight_decay == 0.0005);
}

static void test_values(void) {
    T_OK(parse("train --batch 64 --micro-batch=8 --lr 1e9 --precision bf16 --resume --out a=b "
               "--seed 9007199254740992"));
    T_CHECK(o.batch == 64 && o.micro_batch == 8 && o.lr == 1e9 && o.precision == DT_BF16 &&
            o.resume);
    T_CHECK(strcmp(o.out, "a=b") == 0 && o.seed == 9007199254740992u);
    T_OK(parse("--batch 64 --batch 128"));
    T_CHECK(o.batch == 128);
    T_OK(parse("--samples all --lr auto --clip-norm off --time-limit none --threads auto"));
    T_CHECK(o.samples == 0 && o.lr == -1 && o.clip_norm == 0 && o.time_limit == 0 &&
            o.threads == 0);
    T_OK(parse("--model conv_8_3;_relu;_fc_10 --resume=no --nesterov=no"));
    T_CHECK(strcmp(o.model, "conv 8 3; relu; fc 10") == 0 && !o.resume);
    T_OK(parse("eval runs/x --last --data d"));
    T_CHECK(o.command == DT_CMD_EVAL && strcmp(o.checkpoint, "runs/x") == 0 && o.last);
    T_OK(parse("eval -- --odd"));
    T_CHECK(strcmp(o.checkpoint, "--odd") == 0);
    T_OK(parse("--batch --help"));
    T_CHECK(o.action == DT_ACTION_HELP && o.command == DT_CMD_TRAIN);
    T_OK(parse("eval --help"));
    T_CHECK(o.action == DT_ACTION_HELP && o.command == DT_CMD_EVAL);
    T_OK(parse("--version"));
    T_CHECK(o.action == DT_ACTION_VERSION);
    for (const dt_option *option = dt_option_table; option->name;
         option++) /* each default is typed as shown */
        T_OK(dt_option_set(option, option->name, option->initial, &o));
}

/* Command line > environment > recipe > default, wherever the recipe stands. */
static void test_recipe(void) {
    T_OK(parse(""));
    T_CHECK(o.recipe == DT_RECIPE_PLAIN && o.augment == DT_AUGMENT_NONE);
    T_OK(parse("--recipe robust"));
    T_CHECK(o.recipe == DT_RECIPE_ROBUST && o.augment == DT_AUGMENT_ELASTIC && o.epochs == 20);
    T_CHECK(o.batch == 256 && o.lr == 0.003 && strstr(o.model, "dropout"));
    T_OK(parse("--epochs 3 --model fast --lr auto --recipe robust --augment affine"));
    T_CHECK(o.epochs == 3 && o.lr == -1 && o.augment == DT_AUGMENT_AFFINE);
    T_CHECK(strcmp(o.model, "fast") == 0);
    T_OK(parse("--recipe robust --recipe plain"));
    T_CHECK(o.epochs == 3 && o.augment == DT_AUGMENT_NONE && strcmp(o.model, "cnn") == 0);
    setenv("DTRAIN_EPOCHS", "4", 1);
    setenv("DTRAIN_RECIPE", "robust", 1);
    T_OK(parse("sweep --seeds 2 --augment none"));
    T_CHECK(o.command == DT_CMD_SWEEP && o.epochs == 4 && o.seeds == 2);
    T_CHECK(o.augment == DT_AUGMENT_NONE && strstr(o.model, "dropout"));
    T_OK(parse("eval runs/x"));
    T_CHECK(strcmp(o.checkpoint, "runs/x") == 0);
    unsetenv("DTRAIN_EPOCHS");
    unsetenv("DTRAIN_RECIPE");
    T_FAILS(parse("--recipe sturdy"), DT_EUSAGE, "'sturdy' is none of plain|robust");
}

static void test_refused(void) {
    T_FAILS(parse("--btach 3"), DT_EUSAGE, "unknown option --btach; did you mean --batch?");
    T_FAILS(parse("--lable-smoothing 0"), DT_EUSAGE, "did you mean --label-smoothing?");
    T_FAILS(parse("--micro 3"), DT_EUSAGE, "did you mean --micro-batch?");
    T_FAILS(parse("--zebra"), DT_EUSAGE, "--help lists all");
    T_FAILS(parse("-batch 3"), DT_EUSAGE, "two dashes");
    T_FAILS(parse("--batch"), DT_EUSAGE, "--batch needs a value: --batch B");
    T_FAILS(parse("--batch --seed 1"), DT_EUSAGE, "--batch needs a value");
    T_FAILS(parse("--optimizer"), DT_EUSAGE, "sgd|adamw");
    T_FAILS(parse("--batch 12x"), DT_EUSAGE,
            "--batch: '12x' is no whole number; give a whole number from 1 to 1048576");
    T_FAILS(parse("--batch 1.5"), DT_EUSAGE, "no whole number");
    T_FAILS(parse("--batch="), DT_EUSAGE, "no whole number");
    T_FAILS(parse("--batch 0"), DT_EUSAGE, "--batch: '0' is out of range");
    T_FAILS(parse("--batch -7"), DT_EUSAGE, "out of range");
    T_FAILS(parse("--batch 99999999999999999999"), DT_EUSAGE, "from 1 to 1048576");
    T_FAILS(parse("--batch 1048577"), DT_EUSAGE, "out of range");
    T_FAILS(parse("--momentum 1"), DT_EUSAGE, "from 0 to 0.9999");
    T_FAILS(parse("--lr nan"), DT_EUSAGE, "--lr: 'nan'");
    T_FAILS(parse("--lr -1"), DT_EUSAGE, "out of range"); /* -1 means auto inside only */
    T_FAILS(parse("--lr 0.1.2"), DT_EUSAGE, "or auto");
    T_FAILS(parse("--optimizer adam"), DT_EUSAGE, "--optimizer: 'adam' is none of sgd|adamw");
    T_FAILS(parse("--optimizer sgd|adamw"), DT_EUSAGE, "is none of");
    T_FAILS(parse("--resume=maybe"), DT_EUSAGE, "neither yes nor no");
    T_FAILS(parse("--batch 8 --micro-batch 16"), DT_EUSAGE,
            "--batch 8 is smaller than --micro-batch 16");
    T_FAILS(parse("--nesterov"), DT_EUSAGE, "sgd");
    T_FAILS(parse("trian"), DT_EUSAGE, "did you mean train?");
    T_FAILS(parse("--batch 8 eval x"), DT_EUSAGE, "the command comes first");
    T_FAILS(parse("train x"), DT_EUSAGE, "one argument too many");
    T_FAILS(parse("eval x y"), DT_EUSAGE, "one argument too many");
    T_FAILS(parse("eval"), DT_EUSAGE, "dtrain eval CHECKPOINT");
    T_FAILS(parse("eval x --epochs 3"), DT_EUSAGE, "eval has no option --epochs (train has)");
    char *argv[] = {(char *)"dtrain", (char *)"--out", calloc(1, DT_PATH_MAX + 1)};
    memset(argv[2], 'a', DT_PATH_MAX);
    T_FAILS(dt_options_parse(3, argv, &o), DT_EUSAGE, "4096 characters given, 4095 are possible");
    free(argv[2]);
}

static void test_durations(void) {
    static const struct {
        const char *text;
        double seconds; /* < 0: refused */
    } rows[] = {{"90", 90},      {"90s", 90},       {"10m", 600},   {"2h", 7200}, {"1d", 86400},
                {"1h30m", 5400}, {"1:30:00", 5400}, {"10:00", 600}, {"0.5", 0.5}, {"1.5h", 5400},
                {"", -1},        {"m", -1},         {"10x", -1},    {"-5", -1},   {"1:2:3:4", -1},
                {"1:", -1},      {":30", -1},       {"5 m", -1},    {"1h30", -1}, {"inf", -1},
                {"1e5", 1e5},    {"+5", -1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double seconds = -1;
        bool ok = dt_duration_parse(rows[i].text, &seconds);
        if (!T_CHECK(ok == (rows[i].seconds >= 0) && (!ok || seconds == rows[i].seconds)))
            fprintf(stderr, "    '%s' gave %g\n", rows[i].text, seconds);
    }
    T_OK(parse("--time-limit 1:30:00"));
    T_CHECK(o.time_limit == 5400);
    T_FAILS(parse("--time-limit soon"), DT_EUSAGE, "--time-limit: 'soon' is no duration");
}

static void test_environment(void) {
    setenv("DTRAIN_BATCH", "32", 1);
    setenv("DTRAIN_MICRO_BATCH", "4", 1);
    setenv("DTRAIN_RESUME", "1", 1);
    T_OK(parse("--batch 64"));
    T_CHECK(o.batch == 64 && o.micro_batch == 4 && o.resume);
    T_OK(parse("--resume=no"));
    T_CHECK(o.batch == 32 && !o.resume);
    setenv("DTRAIN_BATCH", "12x", 1);
    T_FAILS(parse(""), DT_EUSAGE, "DTRAIN_BATCH: '12x'");
    T_OK(parse("devices")); /* no option of it */
    unsetenv("DTRAIN_BATCH");
    unsetenv("DTRAIN_MICRO_BATCH");
    unsetenv("DTRAIN_RESUME");
}

static void test_resume(void) {
    dt_json json = {0};
    T_OK(parse("--batch 64 --out elsewhere --epochs 5 --model cnn --threads 2 --seed 7"));
    dt_options_resolve(&o);
    dt_options_json(&o, &json);
    T_CHECK(!json.failed && strstr(json.text, "\"batch\":64") &&
            strstr(json.text, "\"optimizer\":\"adamw\""));
    T_CHECK(strstr(json.text, "\"lr\":0.004") && strstr(json.text, "\"resume\":false"));
    T_CHECK(!strstr(json.text, "\"last\""));
    T_OK(dt_options_compare(json.text, &o));

    /* free: places, output, limits */
    T_OK(parse(
        "--batch 64 --epochs 5 --seed 7 --threads 1 --resume --time-limit 5 --lr 0.004 --keep 9"));
    dt_options_resolve(&o);
    T_OK(dt_options_compare(json.text, &o));
    /* a preset may be spelt out */
    for (const dt_net_preset *preset = dt_net_presets; preset->name; preset++) {
        if (strcmp(preset->name, "cnn") == 0) {
            snprintf(o.model, sizeof o.model, "  %s ", preset->spec);
            T_OK(dt_options_compare(json.text, &o));
        }
    }
    T_OK(parse("--batch 32 --epochs 5 --optimizer sgd --model mlp"));
    dt_options_resolve(&o);
    T_FAILS(dt_options_compare(json.text, &o), DT_EUSAGE, "--batch 64 (now 32)");
    T_CHECK(strstr(dt_error(), "--seed 7 (now 1)") &&
            strstr(dt_error(), "--optimizer adamw (now sgd)"));
    T_CHECK(strstr(dt_error(), "--lr 0.004 (now 0.05)") &&
            strstr(dt_error(), "--model cnn (now mlp)"));
    T_CHECK(!strstr(dt_error(), "--epochs") && !strstr(dt_error(), "--out else"));

    /* these are the options that change bits ... */
    static const char bits[] =
        " samples validation model init seed epochs batch micro-batch "
        "optimizer lr momentum beta2 nesterov weight-decay "
        "clip-norm schedule warmup label-smoothing precision reduce augment ";
    for (const dt_option *option = dt_option_table; option->name; option++) {
        char word[40];
        if (!(option->commands & DT_CMD_TRAIN))
            continue;
        snprintf(word, sizeof word, " %s ", option->name);
        T_CHECK(option->changes_bits == (strstr(bits, word) != NULL));
    }
    /* ... and each of them is compared */
    for (const dt_option *option = dt_option_table; option->name; option++) {
        if (!(option->commands & DT_CMD_TRAIN))
            continue;
        const char *other = option->type == DT_OPTION_WORD   ? strchr(option->words, '|') + 1
                            : option->type == DT_OPTION_FLAG ? "yes"
                            : option->type == DT_OPTION_TEXT ? "other"
                                                             : "0.75";
        char word[16];
        other = option->type == DT_OPTION_INT ? "77" : other;
        snprintf(word, sizeof word, "%.*s", (int)strcspn(other, "|"), other);
        if (strcmp(option->name, "optimizer") == 0 || strcmp(option->name, "schedule") == 0)
            snprintf(word, sizeof word, "%s", option->name[0] == 'o' ? "sgd" : "constant");
        T_OK(parse("--batch 64 --epochs 5 --seed 7"));
        dt_options_resolve(&o);
        T_OK(dt_option_set(option, option->name, word, &o));
        if (!T_CHECK((dt_options_compare(json.text, &o) != DT_OK) == option->changes_bits))
            fprintf(stderr, "    --%s %s\n", option->name, word);
    }
    dt_json_free(&json);
    T_FAILS(dt_options_compare("[1]", &o), DT_EIO, "");
    T_OK(parse(""));
    dt_options_resolve(&o);
    T_OK(dt_options_compare("{\"of_the_future\":{\"a\":1}}", &o)); /* lacking means default */
}

static void test_text(void) {
    char text[64];
    T_OK(parse("--precision bf16 --lr 0.1 --samples 6000"));
    dt_options_text(&o, "precision", text, sizeof text);
    T_CHECK(strcmp(text, "bf16") == 0);
    dt_options_text(&o, "lr", text, sizeof text);
    T_CHECK(strcmp(text, "0.1") == 0);
    dt_options_text(&o, "samples", text, sizeof text);
    T_CHECK(strcmp(text, "6000") == 0);
    dt_options_text(&o, "threads", text, sizeof text);
    T_CHECK(strcmp(text, "auto") == 0);
    dt_options_text(&o, "nothing", text, sizeof text);
    T_CHECK(text[0] == '\0');
}

/* A sweep has lists where a run has a number, and goes on only with the same times and cells. */
static void test_sweep(void) {
    dt_json json = {0};
    T_OK(parse("sweep --samples 100,200 --ranks 1,2 --seeds 2 --out a --threads 1"));
    T_CHECK(o.command == DT_CMD_SWEEP && strcmp(o.sizes, "100,200") == 0 && o.samples == 0);
    T_CHECK(o.seeds == 2 && o.repeats == 3 && o.scaling == DT_SCALING_OF_BOTH);
    dt_options_resolve(&o);
    dt_options_json(&o, &json);
    T_CHECK(!json.failed && strstr(json.text, "\"samples\":\"100,200\""));
    T_OK(dt_options_compare(json.text, &o));
    T_OK(parse(
        "sweep --samples 100,200 --ranks 1,2 --seeds 2 --out b --threads 1 --quiet --data d"));
    dt_options_resolve(&o);
    T_OK(dt_options_compare(json.text, &o));
    T_OK(parse("sweep --samples 100,300 --ranks 1,2 --seeds 3 --threads 2 --lr 0.5"));
    dt_options_resolve(&o);
    T_FAILS(dt_options_compare(json.text, &o), DT_EUSAGE, "--samples 100,200 (now 100,300)");
    T_CHECK(strstr(dt_error(), "--seeds 2 (now 3)") && strstr(dt_error(), "--threads 1 (now 2)"));
    T_CHECK(strstr(dt_error(), "--lr 0.008 (now 0.5)") && !strstr(dt_error(), "--out a"));
    dt_json_free(&json);
    T_FAILS(parse("sweep --resume"), DT_EUSAGE, "sweep has no option --resume (train has)");
    T_FAILS(parse("--seeds 3"), DT_EUSAGE, "train has no option --seeds (sweep has)");
    setenv("DTRAIN_SAMPLES", "5,6", 1);
    T_OK(parse("sweep --model cnn"));
    T_CHECK(strcmp(o.model, "cnn") == 0);
    T_OK(parse("sweep"));
    T_CHECK(strcmp(o.model, "fast") == 0); /* not train's */
    T_CHECK(strcmp(o.sizes, "5,6") == 0 && o.samples == 0);
    unsetenv("DTRAIN_SAMPLES");
}

int main(void) {
    T_BEGIN(60);
    test_sweep();
    test_defaults();
    test_values();
    test_recipe();
    test_refused();
    test_durations();
    test_environment();
    test_resume();
    test_text();
    return t_finish();
}
