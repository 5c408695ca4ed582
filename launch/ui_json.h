/* launch/ui_json.h - the events of --json: one object each, of the same numbers as the text. */
#ifndef DT_LAUNCH_UI_JSON_H
#define DT_LAUNCH_UI_JSON_H

#include "io/json.h"
#include "launch/ui.h"

void dt_ui_json_start(dt_json *json, const dt_banner *banner);
void dt_ui_json_step(dt_json *json, const dt_step_line *line);
void dt_ui_json_epoch(dt_json *json, const dt_epoch_line *line);
void dt_ui_json_end(dt_json *json, const dt_summary *summary);

#endif
