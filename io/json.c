/* io/json.c - JSON text: a writer that grows, and a reader of flat objects.
 *
 * The writer appends to one buffer and remembers one bit, whether a comma is due: no tree is built.
 * What it writes is valid JSON whatever it is given: bytes that are not UTF-8 (a path may hold any)
 * become U+FFFD, numbers that are not finite become null. A number is written with the fewest
 * digits that give it back. The reader leaves parsing to jansson and hands out every value in the
 * writer's words, so that two texts of one number are equal. */
#include "io/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

/* Room for n more bytes and the final 0. */
static bool grow(dt_json *j, size_t n) {
    if (j->failed)
        return false;
    if (j->text && n < j->capacity - j->n)
        return true;
    size_t capacity = j->capacity ? j->capacity : 256;
    while (capacity - j->n <= n)
        capacity *= 2;
    char *text = realloc(j->text, capacity);
    if (!text) {
        free(j->text);
        *j = (dt_json){.failed = true};
        return false;
    }
    j->text = text;
    j->capacity = capacity;
    return true;
}

static void put(dt_json *j, const char *text, size_t n) {
    if (!grow(j, n))
        return;
    memcpy(j->text + j->n, text, n);
    j->n += n;
    j->text[j->n] = '\0';
}

static void puts_json(dt_json *j, const char *text) {
    put(j, text, strlen(text));
}

/* The length of the UTF-8 sequence at s, or 0 if there is no valid one. Never reads past a final 0.
 */
static size_t utf8_length(const unsigned char *s) {
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (s[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || /* overlong; surrogates */
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))   /* overlong; > U+10FFFF */
        return 0;
    return n;
}

static void put_string(dt_json *j, const char *value) {
    const unsigned char *s = (const unsigned char *)value;
    put(j, "\"", 1);
    while (*s) {
        size_t n = utf8_length(s);
        char escape[8];
        if (n == 0) {
            put(j, "\xef\xbf\xbd", 3);
            n = 1;
        } else if (*s == '"' || *s == '\\') {
            put(j, (const char[]){'\\', (char)*s}, 2);
        } else if (*s == '\n' || *s == '\t') {
            put(j, *s == '\n' ? "\\n" : "\\t", 2);
        } else if (*s < 0x20 || *s == 0x7f) {
            snprintf(escape, sizeof escape, "\\u%04x", *s);
            put(j, escape, 6);
        } else {
            put(j, (const char *)s, n);
        }
        s += n;
    }
    put(j, "\"", 1);
}

/* What comes before a value: a comma if one is due, and its key. */
static void begin(dt_json *j, const char *key) {
    if (j->comma)
        put(j, ",", 1);
    if (key) {
        put_string(j, key);
        put(j, ":", 1);
    }
    j->comma = true;
}

void dt_json_open(dt_json *j, const char *key, char bracket) {
    begin(j, key);
    put(j, &bracket, 1);
    j->comma = false;
}

void dt_json_close(dt_json *j, char bracket) {
    put(j, &bracket, 1);
    j->comma = true;
}

void dt_json_str(dt_json *j, const char *key, const char *value) {
    begin(j, key);
    if (value)
        put_string(j, value);
    else
        puts_json(j, "null");
}

void dt_json_int(dt_json *j, const char *key, int64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    begin(j, key);
    puts_json(j, text);
}

void dt_json_num(dt_json *j, const char *key, double value) {
    char text[32];
    begin(j, key);
    if (!isfinite(value)) {
        puts_json(j, "null");
        return;
    }
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    puts_json(j, text);
}

void dt_json_bool(dt_json *j, const char *key, bool value) {
    begin(j, key);
    puts_json(j, value ? "true" : "false");
}

void dt_json_raw(dt_json *j, const char *key, const char *json) {
    begin(j, key);
    puts_json(j, json);
}

void dt_json_free(dt_json *j) {
    free(j->text);
    *j = (dt_json){0};
}

/* value in the writer's words, in *j; its text, or NULL for null. */
static const char *value_text(dt_json *j, json_t *value) {
    char *dump;
    switch (json_typeof(value)) {
    case JSON_STRING:
        return json_string_value(value);
    case JSON_INTEGER:
        dt_json_int(j, NULL, json_integer_value(value));
        return j->text;
    case JSON_REAL:
        dt_json_num(j, NULL, json_real_value(value));
        return j->text;
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_OBJECT:
    case JSON_ARRAY:
        dump = json_dumps(value, JSON_COMPACT);
        if (dump)
            dt_json_raw(j, NULL, dump);
        else
            j->failed = true;
        free(dump);
        return j->text;
    case JSON_NULL:
        return NULL;
    }
    return NULL;
}

dt_status dt_json_each(const char *text,
                       void (*visit)(void *ctx, const char *key, const char *value), void *ctx) {
    json_error_t error;
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!object)
        return dt_fail(DT_EIO, "not JSON (line %d, column %d): %s", error.line, error.column,
                       error.text);
    if (!json_is_object(object)) {
        json_decref(object);
        return dt_fail(DT_EIO, "JSON, but not an object: %.60s", text);
    }
    dt_status status = DT_OK;
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        dt_json j = {0};
        const char *words = value_text(&j, value);
        if (j.failed)
            status = dt_fail(DT_EDEVICE, "out of memory reading JSON");
        else
            visit(ctx, key, words);
        dt_json_free(&j);
        if (status != DT_OK)
            break;
    }
    json_decref(object);
    return status;
}
