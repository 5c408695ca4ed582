/* launch/options.h - one table of options drives parsing, --help, DTRAIN_* variables, the banner, the man page, bash
 * completion and what files record. Command line > environment > default; rank 0's values count. */
#ifndef DT_LAUNCH_OPTIONS_H
#define DT_LAUNCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "io/file.h"
#include "io/json.h"

typedef enum { /* bits of a mask: which commands know an option */
    DT_CMD_TRAIN = 1, DT_CMD_EVAL = 2, DT_CMD_DEVICES = 4, DT_CMD_BENCH = 8
} dt_command;

enum { DT_TEXT_MAX = 1024 };

/* Plain data without pointers: rank 0's is broadcast as bytes. Enumerated options hold the index of their word. */
typedef struct {
    dt_command command;
    char data[DT_PATH_MAX], out[DT_PATH_MAX], init[DT_PATH_MAX], checkpoint[DT_PATH_MAX];
    char model[DT_TEXT_MAX];
    int64_t samples;    /* 0 = all */
    int64_t validation;
    int64_t epochs, batch, micro_batch; /* micro_batch 0 = the back end's constant */
    uint64_t seed;
    double target_accuracy; /* percent; 0 = off */
    int optimizer, schedule, precision, device, reduce, comm, progress, overlap;
    double lr, momentum, weight_decay, clip_norm, label_smoothing; /* lr, momentum, weight_decay: < 0 = the model's own default */
    int64_t warmup;
    bool nesterov;
    int64_t threads;    /* 0 = share of the cores */
    int64_t checkpoint_every, keep;
    bool resume, last, json, quiet;
    double time_limit;  /* seconds; 0 = none */
    double stall_timeout;
} dt_options;
