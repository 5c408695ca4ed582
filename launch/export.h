/* launch/export.h - `dtrain export`: a network for other programs. */
#ifndef DT_LAUNCH_EXPORT_H
#define DT_LAUNCH_EXPORT_H

#include "dist/comm.h"
#include "launch/infer.h"
#include "launch/options.h"

/* Write options->report, whose ending says what: .safetensors or .onnx. One process. DT_EUSAGE:
 * another ending, several ranks. DT_EIO: the checkpoint cannot be read, the file not be written. */
DT_NODISCARD dt_status dt_export(const dt_options *options, dt_comm *comm);

/* A file in memory; free *bytes with free(). DT_EDEVICE: no memory. */
DT_NODISCARD dt_status dt_safetensors(const dt_infer *infer, void **bytes, size_t *nbytes);
DT_NODISCARD dt_status dt_onnx(const dt_infer *infer, void **bytes, size_t *nbytes);

#endif
