/* launch/export.c - `dtrain export`: the file's name says which format, and it is written whole or
 * not at all. Here also safetensors: a length, a JSON text that names every tensor, the tensors
 * (github.com/huggingface/safetensors, section Format). */
#include "launch/export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "dtrain_version.h"
#include "io/json.h"
#include "launch/predict.h"
#include "launch/term.h"

/* "conv1/weight" -> "conv1.weight", PyTorch's name. */
static void torch_name(const dt_tensor *t, char name[sizeof t->name]) {
    memcpy(name, t->name, sizeof t->name);
    for (char *c = name; *c; c++)
        *c = *c == '/' ? '.' : *c;
}

/* All values of metadata are texts. */
static void write_metadata(dt_json *j, const dt_checkpoint *c) {
    char text[96];
    dt_json_open(j, "__metadata__", '{');
    dt_json_str(j, "format", "pt");
    dt_json_str(j, "producer", "dtrain " DTRAIN_VERSION);
    dt_json_str(j, "model", c->model);
    snprintf(text, sizeof text, "%d x %d x %d", c->input_shape[0], c->input_shape[1],
             c->input_shape[2]);
    dt_json_str(j, "input_shape", text);
    snprintf(text, sizeof text, "%.17g", c->mean);
    dt_json_str(j, "mean", text);
    snprintf(text, sizeof text, "%.17g", c->std);
    dt_json_str(j, "std", text);
    dt_json_str(j, "input", "(pixel / 255 - mean) / std");
    snprintf(text, sizeof text, "%lld", (long long)c->epoch);
    dt_json_str(j, "epoch", text);
    snprintf(text, sizeof text, "%lld", (long long)c->step);
    dt_json_str(j, "step", text);
    dt_json_str(j, "params_sha256", c->params_sha256);
    dt_json_close(j, '}');
}

static void write_tensor(dt_json *j, const dt_tensor *t) {
    char name[sizeof t->name];
    torch_name(t, name);
    dt_json_open(j, name, '{');
    dt_json_str(j, "dtype", "F32");
    dt_json_open(j, "shape", '[');
    for (int d = 0; d < t->n_dims; d++)
        dt_json_int(j, NULL, t->dims[d]);
    dt_json_close(j, ']');
    dt_json_open(j, "data_offsets", '[');
    dt_json_int(j, NULL, (int64_t)(t->at * sizeof(float)));
    dt_json_int(j, NULL, (int64_t)((t->at + t->n) * sizeof(float)));
    dt_json_close(j, ']');
    dt_json_close(j, '}');
}

dt_status dt_safetensors(const dt_infer *infer, void **bytes, size_t *nbytes) {
    enum { LENGTH = 8 }; /* bytes of the header's length, and what the header is padded to */
    const dt_checkpoint *c = infer->checkpoint;
    dt_json j = {0};
    *bytes = NULL;
    *nbytes = 0;
    dt_json_open(&j, NULL, '{');
    write_metadata(&j, c);
    for (int i = 0; i < c->n_tensors; i++)
        write_tensor(&j, &c->tensors[i]);
    dt_json_close(&j, '}');
    uint64_t header = (j.n + LENGTH - 1) / LENGTH * LENGTH;
    size_t data = c->n_params * sizeof(float);
    char *room = j.failed ? NULL : malloc(LENGTH + header + data);
    if (room) {
        memcpy(room, &header, LENGTH); /* little-endian, as this program's machines are */
        memset(room + LENGTH, ' ', header);
        memcpy(room + LENGTH, j.text, j.n);
        memcpy(room + LENGTH + header, c->params, data);
        *bytes = room;
        *nbytes = LENGTH + header + data;
    }
    dt_json_free(&j);
    return room ? DT_OK : dt_fail(DT_EDEVICE, "no memory for %zu parameters", c->n_params);
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

static dt_status make_dir_of(const char *path) {
    char dir[DT_PATH_MAX];
    snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (!slash || slash == dir)
        return DT_OK;
    *slash = '\0';
    return dt_mkdirs(dir);
}

static dt_status export_to(const dt_options *options, const dt_infer *infer, bool onnx) {
    void *bytes;
    size_t nbytes;
    const char *path = options->report;
    char number[DT_NUMBER_MAX];
    DT_TRY(onnx ? dt_onnx(infer, &bytes, &nbytes) : dt_safetensors(infer, &bytes, &nbytes));
    dt_status status = make_dir_of(path);
    if (status == DT_OK)
        status = dt_file_write(path, bytes, nbytes);
    free(bytes);
    DT_TRY(status);
    if (!options->quiet)
        printf("%s: %s parameters of %s, %.1f MB%s\n", path,
               dt_text_thousands((int64_t)infer->net->n_params, number), infer->path,
               (double)nbytes / 1e6,
               onnx ? "; in: pixels 0..1, out: logits" : ", named as PyTorch's modules are");
    return dt_stdout_flush();
}

dt_status dt_export(const dt_options *options, dt_comm *comm) {
    dt_infer infer;
    bool onnx = ends_with(options->report, ".onnx");
    DT_TRY(dt_alone("export", comm));
    if (!options->report[0])
        return dt_fail(DT_EUSAGE, "export needs -o FILE: model.safetensors or model.onnx, say");
    if (!onnx && !ends_with(options->report, ".safetensors"))
        return dt_fail(DT_EUSAGE, "%s: the file's name must end in .safetensors or .onnx",
                       options->report);
    DT_TRY(dt_infer_open(options->checkpoint, options->last, &infer));
    dt_status status = export_to(options, &infer, onnx);
    dt_infer_close(&infer);
    return status;
}
