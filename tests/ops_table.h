/* tests/ops_table.h - networks, input shapes and micro-batches that every back end is tried on:
 * each operation alone, with each option, at sizes that fit vectors and blocks and at ones that do
 * not. */
#ifndef DT_TESTS_OPS_TABLE_H
#define DT_TESTS_OPS_TABLE_H

#include "model/net.h"

typedef struct {
    const char *spec;
    dt_shape in;
    int micro_batch;
} op_case;

static const op_case ops_table[] = {
    /* fully connected */
    {"fc 10", {1, 28, 28}, 16},
    {"fc 2", {1, 1, 1}, 1},
    {"fc 7", {1, 15, 3}, 5},
    {"fc 64; relu; fc 32; relu; fc 16", {1, 4, 8}, 8},
    {"fc 17; relu; fc 33; fc 31; relu; fc 11", {1, 9, 7}, 3},
    /* convolution: kernels, strides, padding, channel counts around the block size */
    {"conv 16 3; fc 10", {1, 14, 14}, 4},
    {"conv 1 1; fc 3", {1, 6, 6}, 2},
    {"conv 7 1; conv 5 1; conv 3 1 stride 2; fc 3", {1, 6, 5}, 2},
    {"conv 2 2; conv 3 2; fc 4", {1, 7, 9}, 3},
    {"conv 6 5 pad 0; conv 9 3 pad 2; fc 10", {1, 12, 12}, 4},
    {"conv 8 5 stride 2 pad 1; relu; conv 24 3 stride 3; fc 10", {1, 23, 19}, 2},
    {"conv 15 3; relu; conv 17 3; relu; fc 10", {1, 9, 9}, 4},
    {"conv 16 3; relu; conv 32 3; relu; conv 48 3; fc 10", {1, 8, 8}, 4},
    {"conv 32 3; conv 64 3; relu; fc 10", {1, 7, 7}, 8},
    {"conv 4 7 pad 6; fc 4", {1, 5, 5}, 1},
    {"conv 20 28 pad 0; relu; fc 10", {1, 28, 28}, 4},
    /* pooling: kinds, overlap, padding, what rounding down leaves over */
    {"pool 2; fc 5", {1, 9, 7}, 4},
    {"pool 2 avg; fc 5", {1, 9, 7}, 4},
    {"conv 8 3; pool 3 stride 1 pad 1; fc 5", {1, 8, 8}, 2},
    {"conv 8 3; pool 3 avg stride 2 pad 1; fc 5", {1, 9, 8}, 2},
    {"conv 16 3; relu; pool 2; fc 10", {1, 14, 14}, 4},
    {"conv 16 3; pool 2; relu; fc 10", {1, 14, 14}, 4},
    {"conv 17 3; relu; pool 2 avg; conv 5 3; pool 2; fc 10", {1, 13, 11}, 3},
    {"conv 4 3; pool 7; fc 4", {1, 7, 7}, 2},
    {"pool 3 stride 2; conv 12 3; relu; pool 3 stride 2; fc 6", {1, 15, 15}, 2},
    /* convolutions behind a first one with its pooling: 3 x 3 and 5 x 5, blocks filled and not */
    {"conv 8 5; relu; pool 2; conv 16 5; relu; fc 10", {1, 14, 14}, 3},
    {"conv 20 3 pad 0; pool 2; conv 9 3 pad 0; fc 10", {1, 14, 12}, 2},
    {"conv 40 3; pool 2; relu; conv 16 3; pool 2; conv 24 3; fc 10", {1, 12, 12}, 4},
    {"conv 24 5; pool 2; conv 16 3 pad 2; relu; pool 2; fc 48; relu; fc 33; fc 10", {1, 16, 16}, 7},
    {"conv 8 3; pool 2; relu; conv 16 5 pad 3; conv 32 5; relu; fc 16; fc 10", {1, 4, 4}, 11},
    {"conv 24 3; relu; pool 2; conv 48 5; relu; conv 16 3; fc 80; fc 10", {1, 6, 30}, 6},
    /* relu and dropout in unusual places */
    {"relu; fc 4", {1, 5, 5}, 2},
    {"conv 8 3; relu; relu; fc 4; relu; fc 3", {1, 6, 6}, 4},
    {"dropout 0.3; conv 8 3; dropout 0.5; relu; pool 2; dropout 0.1; fc 10", {1, 10, 10}, 4},
    {"conv 20 3; relu; dropout 0.25; pool 2; fc 24; dropout 0.5; relu; fc 10", {1, 12, 12}, 8},
    {"fc 20; conv 8 1; relu; pool 1; fc 4", {1, 4, 4}, 4},
    {"pool 2; pool 2; relu; pool 2; fc 3", {1, 16, 16}, 2},
    /* the presets, with the cpu's own micro-batch and others */
    {"cnn", {1, 28, 28}, 16},
    {"cnn", {1, 32, 32}, 3},
    {"fast", {1, 28, 28}, 5},
    {"lenet5", {1, 28, 28}, 8},
    {"mlp", {1, 28, 28}, 16},
};

#endif
