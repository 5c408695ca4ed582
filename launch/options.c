/* launch/options.c - the command line and the environment, read by the table.
 *
 * Every rank reads its own, before MPI starts; later rank 0's bytes are everybody's. This file also
 * writes options to JSON for the files, and compares them with a file's on resume. */
#include "launch/option_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/log.h"
#include "model/net.h"
#include "model/optim.h"

extern char **environ;

enum { NAME_MAX_LENGTH = 64 };

/* Optimal string alignment distance: insertions, deletions, changes and swaps of neighbours. */
static int edit_distance(const char *a, const char *b) {
    int d[NAME_MAX_LENGTH + 1][NAME_MAX_LENGTH + 1];
    int n = (int)strnlen(a, NAME_MAX_LENGTH), m = (int)strnlen(b, NAME_MAX_LENGTH);
    for (int i = 0; i <= n; i++) {
        for (int j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n][m];
}

/* Keeps the nearest of the names shown to it; a name that text begins counts as near. */
typedef struct {
    const char *text, *name;
    int distance;
} nearest;

static void nearest_try(nearest *near, const char *name) {
    size_t n = strlen(near->text);
    int distance =
        n >= 2 && strncmp(name, near->text, n) == 0 ? 1 : edit_distance(near->text, name);
    int limit = n < 4 ? 1 : n < 8 ? 2 : 3;
    if (distance <= limit && (!near->name || distance < near->distance)) {
        near->name = name;
        near->distance = distance;
    }
}

static dt_status unknown_option(const dt_command_row *command, const char *name) {
    const dt_option *elsewhere = dt_option_find(name, strlen(name), DT_ANY_COMMAND);
    if (elsewhere) {
        const dt_command_row *other = dt_command_table;
        while (!(elsewhere->commands & (unsigned)other->command))
            other++;
        return dt_fail(DT_EUSAGE, "%s has no option --%s (%s has)", command->name, name,
                       other->name);
    }
    nearest near = {.text = name};
    for (const dt_option *option = dt_option_table; option->name; option++)
        if (option->commands & (unsigned)command->command)
            nearest_try(&near, option->name);
    if (near.name)
        return dt_fail(DT_EUSAGE, "unknown option --%s; did you mean --%s?", name, near.name);
    return dt_fail(DT_EUSAGE, "unknown option --%s; dtrain %s --help lists all", name,
                   command->name);
}

static dt_status unknown_command(const char *name) {
    nearest near = {.text = name};
    for (const dt_command_row *row = dt_command_table; row->name; row++)
        nearest_try(&near, row->name);
    if (near.name)
        return dt_fail(DT_EUSAGE, "unknown command '%s'; did you mean %s?", name, near.name);
    return dt_fail(DT_EUSAGE, "unknown command '%s'; dtrain --help lists all", name);
}

/* One option word at argv[*i], which moves past a value in a word of its own. */
static dt_status parse_option(const dt_command_row *command, int argc, char *const *argv, int *i,
                              dt_options *options) {
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    char given[NAME_MAX_LENGTH + 3];
    snprintf(given, sizeof given, "--%.*s", (int)n, name);
    const dt_option *option = dt_option_find(name, n, (unsigned)command->command);
    if (!option)
        return unknown_option(command, given + 2);
    if (equals)
        return dt_option_set(option, given, equals + 1, options);
    if (option->type == DT_OPTION_FLAG)
        return dt_option_set(option, given, "yes", options);
    /* "--lr -1" passes its value on to be refused by range; "--lr --json" has forgotten it. */
    if (*i + 1 >= argc || strncmp(argv[*i + 1], "--", 2) == 0)
        return dt_fail(DT_EUSAGE, "%s needs a value: %s %s", given, given,
                       option->metavar ? option->metavar : option->words);
    return dt_option_set(option, given, argv[++*i], options);
}

/* Behind those that are there; the list ends with an empty text. */
static dt_status add_subject(const char *command, const char *text, dt_options *options) {
    char *at = options->subjects, *end = at + sizeof options->subjects;
    while (*at)
        at += strlen(at) + 1;
    if (strlen(text) + 2 > (size_t)(end - at))
        return dt_fail(DT_EUSAGE,
                       "%s: the names of its files are longer than %zu characters; xargs can split "
                       "a longer list",
                       command, sizeof options->subjects - 2);
    strcpy(at, text);
    return DT_OK;
}

/* How many arguments the words of a row ask for, "CHECKPOINT IMAGE..." for two or more. */
static int words_of(const char *argument) {
    int n = argument != NULL;
    for (; argument && *argument; argument++)
        n += *argument == ' ';
    return n;
}

static bool takes_any_number(const dt_command_row *command) {
    return command->argument && strstr(command->argument, "...");
}

/* Argument number n, from 0. */
static dt_status parse_argument(const dt_command_row *command, int n, const char *text,
                                dt_options *options) {
    if (n >= words_of(command->argument) && !takes_any_number(command)) {
        for (const dt_command_row *row = dt_command_table; row->name; row++)
            if (strcmp(row->name, text) == 0)
                return dt_fail(DT_EUSAGE, "the command comes first: dtrain %s ...", text);
        return dt_fail(DT_EUSAGE, "%s: '%s' is one argument too many%s", command->name, text,
                       command->argument ? "" : " (options begin with --)");
    }
    if (!text[0])
        return dt_fail(DT_EUSAGE, "%s: an argument is empty; it takes %s", command->name,
                       command->argument);
    if (n > 0 || strncmp(command->argument, "CHECKPOINT", strlen("CHECKPOINT")) != 0)
        return add_subject(command->name, text, options);
    if (strlen(text) >= sizeof options->checkpoint)
        return dt_fail(DT_EUSAGE, "%s: a path of %zu characters is too long", command->argument,
                       strlen(text));
    strcpy(options->checkpoint, text);
    return DT_OK;
}

static dt_status parse_line(const dt_command_row *command, int from, int argc, char *const *argv,
                            dt_options *options) {
    const dt_option *out = dt_option_find("out", strlen("out"), (unsigned)command->command);
    bool only_arguments = false;
    int n = 0;
    for (int i = from; i < argc; i++) {
        if (!only_arguments && strcmp(argv[i], "--") == 0)
            only_arguments = true;
        else if (!only_arguments && strncmp(argv[i], "--", 2) == 0)
            DT_TRY(parse_option(command, argc, argv, &i, options));
        else if (!only_arguments && strcmp(argv[i], "-o") == 0 && out && command->argument &&
                 i + 1 < argc)
            DT_TRY(dt_option_set(out, "-o", argv[++i], options));
        else if (!only_arguments && argv[i][0] == '-' && argv[i][1])
            return dt_fail(DT_EUSAGE,
                           "unknown option %s; options have two dashes, dtrain %s --help lists all",
                           argv[i], command->name);
        else
            DT_TRY(parse_argument(command, n++, argv[i], options));
    }
    if (n < words_of(command->argument))
        return dt_fail(DT_EUSAGE, "%s needs %s: dtrain %s %s", command->name,
                       words_of(command->argument) > 1 ? "arguments" : "an argument", command->name,
                       command->argument);
    return DT_OK;
}

/* A variable that no option reads: say so if it looks like a slip. Other programs may use the
 * prefix too. */
static void warn_unknown_variable(const char *variable, size_t n) {
    char name[NAME_MAX_LENGTH], right[NAME_MAX_LENGTH + 8];
    if (n >= sizeof name)
        return;
    for (size_t i = 0; i < n; i++)
        name[i] = variable[i] == '_' ? '-' : (char)(variable[i] | 0x20);
    name[n] = '\0';
    nearest near = {.text = name};
    for (const dt_option *option = dt_option_table; option->name; option++)
        nearest_try(&near, option->name);
    if (near.name) {
        dt_option_variable(dt_option_find(near.name, strlen(near.name), DT_ANY_COMMAND), right,
                           sizeof right);
        dt_warn("DTRAIN_%.*s is no option's variable; did you mean %s?", (int)n, variable, right);
    }
}

static dt_status parse_environment(const dt_command_row *command, bool warns, dt_options *options) {
    char variable[NAME_MAX_LENGTH + 8];
    for (char **entry = environ; entry && *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        if (strncmp(*entry, "DTRAIN_", 7) != 0 || !equals)
            continue;
        bool is_known = false;
        for (const dt_option *option = dt_option_table; option->name; option++) {
            dt_option_variable(option, variable, sizeof variable);
            if (strlen(variable) != (size_t)(equals - *entry) ||
                strncmp(variable, *entry, strlen(variable)) != 0)
                continue;
            is_known = true;
            if (option->commands & (unsigned)command->command)
                DT_TRY(dt_option_set(option, variable, equals + 1, options));
        }
        if (!is_known && warns)
            warn_unknown_variable(*entry + 7, (size_t)(equals - *entry) - 7);
    }
    return DT_OK;
}

/* Words that end the program before it does anything; anywhere on the line, so that "dtrain --batch
 * --help" helps. */
static dt_status find_action(int argc, char *const *argv, dt_action *action) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            *action = DT_ACTION_HELP;
        else if (strcmp(argv[i], "--version") == 0)
            *action = DT_ACTION_VERSION;
        else if (strcmp(argv[i], "--man") == 0)
            *action = DT_ACTION_MAN;
        else if (strcmp(argv[i], "--completion=bash") == 0 ||
                 (strcmp(argv[i], "--completion") == 0 && i + 1 < argc &&
                  strcmp(argv[i + 1], "bash") == 0))
            *action = DT_ACTION_COMPLETION;
        else if (strncmp(argv[i], "--completion", 12) == 0)
            return dt_fail(DT_EUSAGE, "--completion is for one shell: --completion bash");
    }
    return DT_OK;
}

static dt_status check_together(const dt_options *options) {
    bool trains = options->command == DT_CMD_TRAIN || options->command == DT_CMD_SWEEP;
    if (trains && options->micro_batch > options->batch)
        return dt_fail(DT_EUSAGE,
                       "--batch %lld is smaller than --micro-batch %lld; a batch is made of whole "
                       "micro-batches",
                       (long long)options->batch, (long long)options->micro_batch);
    if (options->nesterov && options->optimizer != DT_SGD)
        return dt_fail(DT_EUSAGE, "--nesterov is for --optimizer sgd, this is %s", "adamw");
    return DT_OK;
}

/* A field may be of several rows: the command's own row counts. */
static dt_status set_initial(dt_options *options) {
    for (int own = 0; own < 2; own++)
        for (const dt_option *option = dt_option_table; option->name; option++)
            if (!own || (option->commands & (unsigned)options->command))
                DT_TRY(dt_option_set(option, option->name, option->initial, options));
    return DT_OK;
}

/* The defaults of --recipe robust. Which figures it reaches, and how, is in README.md. */
static const struct {
    const char *name, *value;
} robust[] = {
    {"model", "conv 32 3; relu; pool 2; conv 64 3; relu; pool 2; conv 128 3; relu; pool 2; fc 256; "
              "relu; dropout 0.3; fc 10"},
    {"augment", "elastic"},
    {"epochs", "20"},
    {"lr", "0.003"},
};

static dt_status set_recipe(const dt_command_row *command, dt_options *options) {
    for (size_t i = 0; i < sizeof robust / sizeof *robust; i++)
        DT_TRY(dt_option_set(
            dt_option_find(robust[i].name, strlen(robust[i].name), (unsigned)command->command),
            "--recipe robust", robust[i].value, options));
    return DT_OK;
}

/* Defaults, those of a recipe, the environment, the line; from: where its options begin. */
static dt_status parse_all(const dt_command_row *command, int recipe, int from, int argc,
                           char *const *argv, dt_options *options) {
    bool plain = recipe == DT_RECIPE_PLAIN;
    memset(options, 0, sizeof *options); /* padding too: the bytes are broadcast */
    options->command = command->command;
    DT_TRY(set_initial(options));
    if (!plain)
        DT_TRY(set_recipe(command, options));
    DT_TRY(parse_environment(command, plain, options)); /* read twice, warned of once */
    return parse_line(command, from, argc, argv, options);
}

dt_status dt_options_parse(int argc, char *const *argv, dt_options *options) {
    memset(options, 0, sizeof *options);
    options->command = DT_CMD_TRAIN;
    const dt_command_row *command = dt_command_table;
    int from = 1;
    if (argc > 1 && argv[1][0] != '-') {
        while (command->name && strcmp(command->name, argv[1]) != 0)
            command++;
        if (!command->name)
            return unknown_command(argv[1]);
        options->command = command->command;
        from = 2;
    }
    DT_TRY(find_action(argc, argv, &options->action));
    if (options->action != DT_ACTION_RUN)
        return DT_OK;
    DT_TRY(parse_all(command, DT_RECIPE_PLAIN, from, argc, argv, options));
    if (options->recipe != DT_RECIPE_PLAIN)
        DT_TRY(parse_all(command, options->recipe, from, argc, argv, options));
    return check_together(options);
}

/* What --lr, --momentum and --weight-decay are if not given; the first row that fits. */
static const struct {
    const char *model; /* NULL: any */
    int optimizer;
    double lr, momentum, weight_decay;
} model_defaults[] = {
    {"fast", DT_ADAMW, 0.008, 0.7, 0},
    {NULL, DT_ADAMW, 0.004, 0.7, 0},
    {NULL, DT_SGD, 0.05, 0.9, 0.0005},
};

void dt_options_resolve(dt_options *options) {
    size_t i = 0;
    while (model_defaults[i].optimizer != options->optimizer ||
           (model_defaults[i].model && strcmp(model_defaults[i].model, options->model) != 0))
        i++;
    if (options->lr < 0)
        options->lr = model_defaults[i].lr;
    if (options->momentum < 0)
        options->momentum = model_defaults[i].momentum;
    if (options->weight_decay < 0)
        options->weight_decay = model_defaults[i].weight_decay;
}

static void json_key(const dt_option *option, char key[NAME_MAX_LENGTH]) {
    snprintf(key, NAME_MAX_LENGTH, "%s", option->name);
    for (char *c = key; *c; c++)
        *c = *c == '-' ? '_' : *c;
}

void dt_options_json(const dt_options *options, dt_json *json) {
    char key[NAME_MAX_LENGTH], text[DT_PATH_MAX];
    dt_json_open(json, NULL, '{');
    for (const dt_option *option = dt_option_table; option->name; option++) {
        if (!(option->commands & (unsigned)options->command))
            continue;
        const void *at = (const char *)options + option->at;
        json_key(option, key);
        switch (option->type) {
        case DT_OPTION_INT:
            dt_json_int(json, key, *(const int64_t *)at);
            break;
        case DT_OPTION_NUMBER:
        case DT_OPTION_SECONDS:
            dt_json_num(json, key, *(const double *)at);
            break;
        case DT_OPTION_FLAG:
            dt_json_bool(json, key, *(const bool *)at);
            break;
        case DT_OPTION_WORD:
        case DT_OPTION_TEXT:
            dt_option_text(option, options, text, sizeof text);
            dt_json_str(json, key, text);
            break;
        }
    }
    dt_json_close(json, '}');
}

void dt_options_text(const dt_options *options, const char *name, char *text, size_t nbytes) {
    const dt_option *option = dt_option_find(name, strlen(name), (unsigned)options->command);
    if (option)
        dt_option_text(option, options, text, nbytes);
    else
        snprintf(text, nbytes, "%s", "");
}

/* Options as a file recorded them. Members that are not options, or cannot be read, stay at their
 * defaults. */
static void take_member(void *ctx, const char *key, const char *value) {
    dt_options *stored = ctx;
    char other[NAME_MAX_LENGTH];
    for (const dt_option *option = dt_option_table; option->name && value; option++) {
        json_key(option, other);
        if (strcmp(other, key) != 0 || !(option->commands & (unsigned)stored->command))
            continue;
        void *at = (char *)stored + option->at;
        if (option->type == DT_OPTION_NUMBER || option->type == DT_OPTION_SECONDS)
            *(double *)at = strtod(value, NULL);
        else if (option->type == DT_OPTION_INT)
            *(int64_t *)at = strtoll(value, NULL, 10);
        else if (dt_option_set(option, key, value, stored) != DT_OK)
            dt_warn("the file's option %s has the unknown value '%s'", key, value);
    }
}

/* A preset's name stands for its layers, and blanks do not count. */
static bool same_model(const char *a, const char *b) {
    for (const dt_net_preset *preset = dt_net_presets; preset->name; preset++) {
        a = strcmp(a, preset->name) == 0 ? preset->spec : a;
        b = strcmp(b, preset->name) == 0 ? preset->spec : b;
    }
    for (;; a++, b++) {
        a += strspn(a, " \t\n");
        b += strspn(b, " \t\n");
        if (*a != *b || *a == '\0')
            return *a == *b;
    }
}

/* Of a sweep all but where its data and its file are and what it prints: times depend on the rest.
 */
static bool must_match(const dt_option *option, dt_command command) {
    if (!(option->commands & (unsigned)command))
        return false;
    return option->changes_bits ||
           (command == DT_CMD_SWEEP && strcmp(option->name, "data") != 0 &&
            strcmp(option->group, "Run") != 0 && strcmp(option->group, "Output") != 0);
}

dt_status dt_options_compare(const char *json_text, const dt_options *options) {
    static dt_options stored; /* too large for a stack; the caller is one thread */
    char was[DT_PATH_MAX], is[DT_PATH_MAX], list[DT_ERROR_MAX] = "";
    bool is_sweep = options->command == DT_CMD_SWEEP;
    size_t n = 0;
    memset(&stored, 0, sizeof stored);
    stored.command = options->command;
    DT_TRY(set_initial(&stored));
    DT_TRY(dt_json_each(json_text, take_member, &stored));
    dt_options_resolve(&stored);
    for (const dt_option *option = dt_option_table; option->name; option++) {
        if (!must_match(option, options->command))
            continue;
        dt_option_text(option, &stored, was, sizeof was);
        dt_option_text(option, options, is, sizeof is);
        if (strcmp(was, is) == 0 || (strcmp(option->name, "model") == 0 && same_model(was, is)))
            continue;
        if (n < sizeof list)
            n += (size_t)snprintf(list + n, sizeof list - n, "%s--%s %s (now %s)", n ? ", " : "",
                                  option->name, was[0] ? was : "''", is[0] ? is : "''");
    }
    if (n == 0)
        return DT_OK;
    return dt_fail(DT_EUSAGE,
                   "the %s was made with %s; give it the same values, or start a new %s in another "
                   "--out",
                   is_sweep ? "sweep" : "checkpoint", list, is_sweep ? "sweep" : "run");
}
