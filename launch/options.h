/* launch/options.h - what a user can ask for, as plain data.
 *
 * One table (launch/option_table.c) drives parsing, --help, DTRAIN_* variables, the man page, bash
 * completion and what files record. Command line > environment > recipe > default; rank 0's values
 * count.
 * The order of calls: dt_options_parse()      before MPI starts, on every rank dt_comm_bcast() rank
 * 0's bytes, for all dt_options_resolve()    fills in what depends on other options
 *   dt_options_compare(), dt_options_json()   on resume, and for files: resolved options only */
#ifndef DT_LAUNCH_OPTIONS_H
#define DT_LAUNCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "io/file.h"
#include "io/json.h"

typedef enum { /* bits of a mask: which commands know an option */
               DT_CMD_TRAIN = 1,
               DT_CMD_EVAL = 2,
               DT_CMD_DEVICES = 4,
               DT_CMD_BENCH = 8,
               DT_CMD_SWEEP = 16,
               DT_CMD_REPORT = 32,
               DT_CMD_PREDICT = 64,
               DT_CMD_FEATURES = 128,
               DT_CMD_EXPORT = 256,
               DT_CMD_DOCTOR = 1024,
               DT_CMD_SERVE = 2048
} dt_command;

typedef enum { /* what main does with the command */
               DT_ACTION_RUN,
               DT_ACTION_HELP, /* of the command */
               DT_ACTION_VERSION,
               DT_ACTION_MAN,       /* the man page, in roff */
               DT_ACTION_COMPLETION /* for bash */
} dt_action;

/* Values of the enumerated options, in the order of their words. --optimizer, --schedule,
 * --precision and --augment hold a dt_optimizer, dt_schedule, dt_precision and dt_augment. */
enum { DT_DEVICE_AUTO, DT_DEVICE_CPU, DT_DEVICE_CUDA };
enum { DT_RECIPE_PLAIN, DT_RECIPE_ROBUST };
enum { DT_REDUCE_EXACT, DT_REDUCE_FLOAT };
enum { DT_COMM_AUTO, DT_COMM_MPI, DT_COMM_NCCL };
enum { DT_OVERLAP_AUTO, DT_OVERLAP_ON, DT_OVERLAP_OFF };
enum { DT_SCALING_OF_STRONG, DT_SCALING_OF_WEAK, DT_SCALING_OF_BOTH, DT_SCALING_OF_NONE };
enum { DT_BUDGET_OF_EPOCHS, DT_BUDGET_OF_STEPS, DT_BUDGET_OF_BOTH, DT_BUDGET_OF_NONE };
enum { DT_PROGRESS_AUTO, DT_PROGRESS_BAR, DT_PROGRESS_LINES, DT_PROGRESS_NONE };

enum { DT_TEXT_MAX = 1024, DT_SUBJECTS_MAX = 1 << 16 };

/* Plain data without pointers: rank 0's is broadcast as bytes. */
typedef struct {
    dt_command command;
    dt_action action;
    char data[DT_PATH_MAX], init[DT_PATH_MAX];
    char out[DT_PATH_MAX];          /* "" = runs/<date>-<time>, or runs/latest with resume */
    char checkpoint[DT_PATH_MAX];   /* the argument CHECKPOINT: a file or a run directory */
    char subjects[DT_SUBJECTS_MAX]; /* the other arguments, each ended by a 0, the last by two */
    char report[DT_PATH_MAX];       /* where results go; of report "" = beside the first subject */
    char model[DT_TEXT_MAX];
    int64_t samples; /* 0 = all */
    int64_t validation;
    int64_t epochs, batch;
    int64_t micro_batch; /* 0 = the back end's constant */
    uint64_t seed;
    double target_accuracy; /* percent; 0 = off */
    int optimizer, schedule, precision, device, reduce, comm, progress, overlap;
    double beta2;
    double lr, momentum, weight_decay; /* < 0 until dt_options_resolve(): the model's own default */
    double clip_norm;                  /* 0 = off */
    double label_smoothing;
    int64_t warmup;      /* steps */
    int recipe, augment; /* a DT_RECIPE_..., a dt_augment */
    bool nesterov, no_graph;
    int64_t threads;          /* 0 = share of the cores */
    int64_t checkpoint_every; /* steps; 0 = after each epoch only */
    int64_t keep;
    bool resume, last, json, quiet;
    double stall_timeout;                              /* seconds; 0 = none */
    double time_limit;                                 /* seconds; 0 = none */
    char trace[DT_PATH_MAX], tensorboard[DT_PATH_MAX]; /* "" = none */
    /* of sweep */
    char sizes[DT_TEXT_MAX], ranks[DT_TEXT_MAX]; /* lists, "auto" until the sweep knows them */
    int64_t seeds, repeats;
    int scaling, budget;
    bool spread;
    /* of serve */
    char host[DT_TEXT_MAX], digits[DT_PATH_MAX]; /* digits "" = beside the run, else here */
    int64_t port;                                /* 0 = any that is free */
} dt_options;

/* Defaults, then those of --recipe, then the environment, then argv. DT_EUSAGE: the sentence names
 * the option, what was given and what would be right. Unknown DTRAIN_* variables that look like an
 * option are warned about. With argv that asks for help, version, man page or completion, only
 * command and action are set. */
DT_NODISCARD dt_status dt_options_parse(int argc, char *const *argv, dt_options *options);
/* Fill in what was left to the model and optimizer: lr, momentum, weight_decay < 0. */
void dt_options_resolve(dt_options *options);

/* Write one object with every option of options->command, {"data": "data/mnist", "micro_batch": 16,
 * ...}: words as strings, durations in seconds. json->failed tells whether memory ran out. */
void dt_options_json(const dt_options *options, dt_json *json);
/* json_text is what dt_options_json() wrote into a checkpoint or a sweep's file. DT_EUSAGE lists
 * each option of the command that must be the same and differs, with both values: those that change
 * bits, and for a sweep those that change times or cells. An option that json_text lacks counts as
 * its default. */
DT_NODISCARD dt_status dt_options_compare(const char *json_text, const dt_options *options);
/* The value of the option with this long name as a user would type it ("precision": "bf16"); "" if
 * there is none. */
void dt_options_text(const dt_options *options, const char *name, char *text, size_t nbytes);

/* "90", "90s", "10m", "2h", "1d", "1h30m", "1:30:00", "10:00" -> seconds. false: text is none of
 * these. */
bool dt_duration_parse(const char *text, double *seconds);

#endif
