/* launch/ui_json.c - the events of --json.
 *
 * {"event":"start"}, then "step" now and then, "epoch" after each, and "end". Accuracies are
 * percent, times seconds; what is not known is null. */
#include "launch/ui_json.h"

#include <math.h>
#include <stdlib.h>
#include "dtrain_version.h"

static void layers(dt_json *j, const dt_net *net) {
    dt_json_open(j, "layers", '[');
    for (int i = 0; i < net->n_layers; i++) {
        const dt_layer *layer = &net->layers[i];
        dt_json_open(j, NULL, '{');
        dt_json_str(j, "name", layer->name);
        dt_json_open(j, "output", '[');
        dt_json_int(j, NULL, layer->out.c);
        dt_json_int(j, NULL, layer->out.h);
        dt_json_int(j, NULL, layer->out.w);
        dt_json_close(j, ']');
        dt_json_int(j, "parameters", (int64_t)(layer->n_w + layer->n_b));
        dt_json_close(j, '}');
    }
    dt_json_close(j, ']');
}

static void places(dt_json *j, const dt_banner *b) {
    dt_json_open(j, "places", '[');
    for (int r = 0; r < b->n_ranks; r++) {
        dt_json_open(j, NULL, '{');
        dt_json_str(j, "host", b->places[r].host);
        dt_json_str(j, "device", b->places[r].device);
        dt_json_int(j, "threads", b->places[r].threads);
        if (b->places[r].uuid[0]) {
            dt_json_str(j, "pci", b->places[r].pci);
            dt_json_str(j, "uuid", b->places[r].uuid);
            dt_json_int(j, "gpu_memory_bytes", b->places[r].gpu_memory_bytes);
        }
        dt_json_close(j, '}');
    }
    dt_json_close(j, ']');
}

void dt_ui_json_start(dt_json *j, const dt_banner *b) {
    dt_json options = {0};
    dt_json_open(j, NULL, '{');
    dt_json_str(j, "event", "start");
    dt_json_str(j, "version", DTRAIN_VERSION_FULL);
    dt_json_str(j, "fingerprint", b->fingerprint);
    dt_json_str(j, "comm", b->comm_library);
    if (b->sums[0])
        dt_json_str(j, "sums", b->sums);
    dt_json_str(j, "out", b->out_dir);
    dt_json_int(j, "ranks", b->n_ranks);
    dt_json_int(j, "hosts", b->n_hosts);
    places(j, b);
    dt_json_int(j, "batch", b->batch);
    dt_json_int(j, "micro_batch", b->micro);
    dt_json_int(j, "micro_batches", b->max_micros);
    dt_json_int(j, "workers", b->total_workers);
    dt_json_int(j, "train_samples", b->n_train);
    dt_json_int(j, "validation_samples", b->n_validation);
    dt_json_int(j, "test_samples", b->n_test);
    dt_json_int(j, "steps_per_epoch", b->steps_per_epoch);
    if (b->resumed_step >= 0)
        dt_json_int(j, "resumed_step", b->resumed_step);
    else
        dt_json_str(j, "resumed_step", NULL);
    dt_json_int(j, "parameters", (int64_t)b->net->n_params);
    layers(j, b->net);
    dt_options_json(b->options, &options);
    if (!options.failed)
        dt_json_raw(j, "options", options.text);
    dt_json_free(&options);
    dt_json_close(j, '}');
}

void dt_ui_json_step(dt_json *j, const dt_step_line *line) {
    dt_json_open(j, NULL, '{');
    dt_json_str(j, "event", "step");
    dt_json_int(j, "epoch", line->epoch);
    dt_json_int(j, "step", line->step);
    dt_json_int(j, "steps", line->steps);
    dt_json_num(j, "loss", line->loss);
    dt_json_num(j, "accuracy", line->accuracy);
    dt_json_num(j, "learning_rate", line->learning_rate);
    dt_json_num(j, "gradient_norm", line->gradient_norm);
    dt_json_num(j, "images_per_second", line->images_per_second);
    dt_json_num(j, "eta_seconds", line->eta_seconds);
    dt_json_close(j, '}');
}

void dt_ui_json_epoch(dt_json *j, const dt_epoch_line *line) {
    dt_json_open(j, NULL, '{');
    dt_json_str(j, "event", "epoch");
    dt_json_int(j, "epoch", line->epoch);
    dt_json_int(j, "epochs", line->epochs);
    dt_json_num(j, "train_loss", line->train_loss);
    dt_json_num(j, "train_accuracy", line->train_accuracy);
    dt_json_num(j, "validation_loss", line->validation_loss);
    dt_json_num(j, "validation_accuracy", line->validation_accuracy);
    dt_json_num(j, "test_loss", line->test_loss);
    dt_json_num(j, "test_accuracy", line->test_accuracy);
    dt_json_num(j, "learning_rate", line->learning_rate);
    dt_json_num(j, "seconds", line->seconds);
    dt_json_num(j, "images_per_second", line->images_per_second);
    dt_json_num(j, "compute_seconds", line->compute_seconds);
    dt_json_num(j, "reduce_seconds", line->reduce_seconds);
    dt_json_num(j, "wait_seconds", line->wait_seconds);
    dt_json_num(j, "slowest_rank", line->slowest_host ? (double)line->slowest_rank : (double)NAN);
    dt_json_str(j, "slowest_host", line->slowest_host);
    dt_json_num(j, "slowest_seconds", line->slowest_host ? line->slowest_seconds : (double)NAN);
    dt_json_bool(j, "best", line->is_best);
    dt_json_close(j, '}');
}

void dt_ui_json_end(dt_json *j, const dt_summary *summary) {
    dt_json_open(j, NULL, '{');
    dt_json_str(j, "event", "end");
    dt_json_int(j, "exit_code", summary->status);
    dt_json_str(j, "reason", summary->reason);
    dt_json_num(j, "test_accuracy", summary->test_accuracy);
    dt_json_num(j, "best_accuracy", summary->best_value);
    dt_json_str(j, "best_kind", summary->best_kind);
    if (summary->best_epoch >= 0)
        dt_json_int(j, "best_epoch", summary->best_epoch);
    else
        dt_json_str(j, "best_epoch", NULL);
    dt_json_num(j, "seconds", summary->seconds);
    dt_json_str(j, "out", summary->out_dir);
    dt_json_str(j, "params_sha256", summary->params_sha256);
    dt_json_close(j, '}');
}
