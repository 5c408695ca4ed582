/* launch/option_values.c - one option's value: from text to its field, and back.
 *
 * Numbers are taken whole or not at all: "12x", "" and "1e99" for a count are refused with the
 * range in the sentence. */
#include "launch/option_table.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void *field(const dt_option *option, dt_options *options) {
    return (char *)options + option->at;
}

static const void *const_field(const dt_option *option, const dt_options *options) {
    return (const char *)options + option->at;
}

static int word_index(const char *words, const char *text) {
    size_t n = strlen(text);
    for (int i = 0; words; i++) {
        size_t length = strcspn(words, "|");
        if (length == n && n > 0 && strncmp(words, text, n) == 0)
            return i;
        words = words[length] ? words + length + 1 : NULL;
    }
    return -1;
}

static void word_text(const char *words, int index, char *text, size_t nbytes) {
    for (; index > 0 && *words; index--)
        words += strcspn(words, "|") + (words[strcspn(words, "|")] != '\0');
    snprintf(text, nbytes, "%.*s", (int)strcspn(words, "|"), words);
}

static bool int_parse(const char *text, double *value) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    *value = (double)v;
    return end != text && *end == '\0' && errno == 0 && text[0] != ' ';
}

static bool number_parse(const char *text, double *value) {
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*value) && text[0] != ' ';
}

static double unit_seconds(char unit) {
    return unit == 's' ? 1 : unit == 'm' ? 60 : unit == 'h' ? 3600 : unit == 'd' ? 86400 : 0;
}

bool dt_duration_parse(const char *text, double *seconds) {
    double total = 0;
    bool colons = strchr(text, ':') != NULL;
    for (int parts = 0; *text || parts == 0; parts++) {
        char *end;
        double v = strtod(text, &end);
        if (parts > 3 || !strchr("0123456789.", text[0]) || end == text || !(v >= 0 && v < 1e12))
            return false;
        if (colons) { /* h:m:s or m:s */
            total = total * 60 + v;
            if (*end == ':' && parts < 2 && end[1])
                end++;
            else if (*end)
                return false;
        } else if (*end == '\0' && parts == 0) {
            total = v;
        } else {
            double unit = unit_seconds(*end);
            if (unit == 0)
                return false;
            total += v * unit;
            end++;
        }
        text = end;
    }
    *seconds = total;
    return true;
}

static bool flag_parse(const char *text, bool *value) {
    static const char *const yes[] = {"yes", "1", "true", "on"}, *const no[] = {"no", "0", "false",
                                                                                "off"};
    for (int i = 0; i < 4; i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *value = strcasecmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static dt_status set_number(const dt_option *option, const char *given, const char *text,
                            void *at) {
    double value;
    bool is_int = option->type == DT_OPTION_INT, is_time = option->type == DT_OPTION_SECONDS;
    bool ok = is_int    ? int_parse(text, &value)
              : is_time ? dt_duration_parse(text, &value)
                        : number_parse(text, &value);
    char or_word[32] = "";
    if (option->word && strcmp(text, option->word) == 0) {
        value = option->word_value;
    } else if (!ok || value < option->min || value > option->max) {
        if (option->word)
            snprintf(or_word, sizeof or_word, ", or %s", option->word);
        if (is_time)
            return dt_fail(DT_EUSAGE,
                           "%s: '%s' is no duration; give seconds, 90s, 10m, 2h or 1:30:00%s",
                           given, text, or_word);
        return dt_fail(DT_EUSAGE, "%s: '%s' is %s; give a %snumber from %.16g to %.16g%s", given,
                       text,
                       ok       ? "out of range"
                       : is_int ? "no whole number"
                                : "no number",
                       is_int ? "whole " : "", option->min, option->max, or_word);
    }
    if (is_int)
        *(int64_t *)at = (int64_t)value;
    else
        *(double *)at = value;
    return DT_OK;
}

dt_status dt_option_set(const dt_option *option, const char *given, const char *text,
                        dt_options *options) {
    void *at = field(option, options);
    size_t n = strlen(text);
    int word;
    switch (option->type) {
    case DT_OPTION_WORD:
        word = word_index(option->words, text);
        if (word < 0)
            return dt_fail(DT_EUSAGE, "%s: '%s' is none of %s", given, text, option->words);
        *(int *)at = word;
        return DT_OK;
    case DT_OPTION_FLAG:
        if (!flag_parse(text, at))
            return dt_fail(DT_EUSAGE, "%s: '%s' is neither yes nor no", given, text);
        return DT_OK;
    case DT_OPTION_TEXT:
        if (n >= option->size)
            return dt_fail(DT_EUSAGE, "%s: %zu characters given, %zu are possible", given, n,
                           option->size - 1);
        memset(at, 0, option->size);
        memcpy(at, text, n);
        return DT_OK;
    case DT_OPTION_INT:
    case DT_OPTION_NUMBER:
    case DT_OPTION_SECONDS:
        break;
    }
    return set_number(option, given, text, at);
}

void dt_option_text(const dt_option *option, const dt_options *options, char *text, size_t nbytes) {
    const void *at = const_field(option, options);
    double value = 0;
    switch (option->type) {
    case DT_OPTION_WORD:
        word_text(option->words, *(const int *)at, text, nbytes);
        return;
    case DT_OPTION_FLAG:
        snprintf(text, nbytes, "%s", *(const bool *)at ? "yes" : "no");
        return;
    case DT_OPTION_TEXT:
        snprintf(text, nbytes, "%s", (const char *)at);
        return;
    case DT_OPTION_INT:
        value = (double)*(const int64_t *)at;
        break;
    case DT_OPTION_NUMBER:
    case DT_OPTION_SECONDS:
        value = *(const double *)at;
        break;
    }
    if (option->word && value == option->word_value) {
        snprintf(text, nbytes, "%s", option->word);
        return;
    }
    for (int digits = 6; digits <= 17; digits++) { /* the shortest that reads back the same */
        snprintf(text, nbytes, "%.*g", option->type == DT_OPTION_INT ? 17 : digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
}
