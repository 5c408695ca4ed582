/* launch/predict.h - `dtrain predict`: the digit in a picture. */
#ifndef DT_LAUNCH_PREDICT_H
#define DT_LAUNCH_PREDICT_H

#include "dist/comm.h"
#include "launch/infer.h"
#include "launch/options.h"

/* Answers for every picture of options->subjects, on stdout. One process. DT_EUSAGE: several ranks.
 * DT_EDATA: a picture could not be read; all others are answered. DT_EIO: the checkpoint. */
DT_NODISCARD dt_status dt_predict(const dt_options *options, dt_comm *comm);

/* The picture in a file, made into one that the network takes. image: [height * width] of it.
 * DT_EDATA: unreadable. DT_EUSAGE: the network takes pictures of another size than 28 x 28. */
DT_NODISCARD dt_status dt_predict_load(const dt_infer *infer, const char *path, uint8_t *image,
                                       dt_digit *found);

/* DT_EUSAGE: this job has several processes, and command is for one. */
DT_NODISCARD dt_status dt_alone(const char *command, dt_comm *comm);

#endif
