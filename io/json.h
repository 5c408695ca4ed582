/* io/json.h - JSON text: a writer that grows, and a reader of flat objects (jansson underneath). */
#ifndef DT_IO_JSON_H
#define DT_IO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "io/err.h"

typedef struct {
    char *text; /* NUL-terminated after every call; free with dt_json_free() */
    size_t n, capacity;
    bool failed; /* out of memory: text is then NULL; checked once, at the end */
    bool comma;
} dt_json;

/* dt_json j = {0}; dt_json_open(&j, NULL, '{'); dt_json_int(&j, "epoch", 3); dt_json_close(&j,
 * '}'). key is NULL inside arrays. Numbers round-trip; a NaN or infinity becomes null. */
void dt_json_open(dt_json *j, const char *key, char bracket);
void dt_json_close(dt_json *j, char bracket);
void dt_json_str(dt_json *j, const char *key, const char *value);
void dt_json_int(dt_json *j, const char *key, int64_t value);
void dt_json_num(dt_json *j, const char *key, double value);
void dt_json_bool(dt_json *j, const char *key, bool value);
void dt_json_raw(dt_json *j, const char *key, const char *json);
void dt_json_free(dt_json *j);

/* Call visit(ctx, key, value-as-text) for each member of the object in text, in its order: strings
 * unquoted, numbers and booleans in the words of the writer above, null as NULL, nested values as
 * compact JSON. value is valid during the visit only. DT_EIO if text is no JSON object, has a key
 * twice or an integer beyond int64_t. */
DT_NODISCARD dt_status dt_json_each(const char *text,
                                    void (*visit)(void *ctx, const char *key, const char *value),
                                    void *ctx);
#endif
