/* launch/sheet.c - a small table of texts, and its three looks. */
#include "launch/sheet.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void dt_sheet_column(dt_sheet *s, const char *heading) {
    if (s->n_columns < DT_SHEET_COLUMNS)
        s->heading[s->n_columns++] = heading;
    else
        s->failed = true;
}

void dt_sheet_put(dt_sheet *s, const char *format, ...) {
    if (s->n == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 64;
        char **grown = realloc(s->cell, capacity * sizeof *grown);
        if (!grown) {
            s->failed = true;
            return;
        }
        s->cell = grown;
        s->capacity = capacity;
    }
    va_list arguments;
    va_start(arguments, format);
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0)
        s->failed = true;
    else
        s->cell[s->n++] = text;
    va_end(arguments);
}

void dt_sheet_number(dt_sheet *s, int decimals, double value) {
    if (isfinite(value))
        dt_sheet_put(s, "%.*f", decimals, value);
    else
        dt_sheet_put(s, "%s", "");
}

void dt_sheet_free(dt_sheet *s) {
    for (size_t i = 0; i < s->n; i++)
        free(s->cell[i]);
    free(s->cell);
    *s = (dt_sheet){0};
}

static size_t rows_of(const dt_sheet *s) {
    size_t columns = (size_t)s->n_columns;
    return columns ? (s->n + columns - 1) / columns : 0;
}

static const char *cell_at(const dt_sheet *s, size_t row, int column) {
    size_t i = row * (size_t)s->n_columns + (size_t)column;
    return i < s->n ? s->cell[i] : "";
}

static bool is_number(const char *text) {
    char *end;
    (void)strtod(text, &end);
    return end != text && *end == '\0';
}

/* A column of numbers is set to the right; empty cells do not count. */
static bool is_numeric(const dt_sheet *s, int column) {
    size_t numbers = 0;
    for (size_t row = 0; row < rows_of(s); row++) {
        const char *text = cell_at(s, row, column);
        if (text[0] && !is_number(text))
            return false;
        numbers += text[0] != '\0';
    }
    return numbers > 0;
}

/* --- CSV --- */

static void csv_field(FILE *to, const char *text) {
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, to);
        return;
    }
    fputc('"', to);
    for (; *text; text++)
        fputs(*text == '"' ? "\"\"" : (const char[]){*text, 0}, to);
    fputc('"', to);
}

dt_status dt_sheet_csv(const dt_sheet *s, const char *path) {
    if (s->failed)
        return dt_fail(DT_EDEVICE, "no memory for the table %s", path);
    FILE *f = fopen(path, "we");
    if (!f)
        return dt_fail(DT_EIO, "cannot write %s: %s", path, strerror(errno));
    for (int c = 0; c < s->n_columns; c++) {
        csv_field(f, s->heading[c]);
        fputs(c + 1 < s->n_columns ? "," : "\r\n", f);
    }
    for (size_t row = 0; row < rows_of(s); row++)
        for (int c = 0; c < s->n_columns; c++) {
            csv_field(f, cell_at(s, row, c));
            fputs(c + 1 < s->n_columns ? "," : "\r\n", f);
        }
    bool failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed)
        return dt_fail(DT_EIO, "cannot write %s: %s", path, strerror(errno));
    return DT_OK;
}

/* --- HTML --- */

void dt_html_escape(FILE *to, const char *text) {
    for (; *text; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", to);
            break;
        case '<':
            fputs("&lt;", to);
            break;
        case '>':
            fputs("&gt;", to);
            break;
        case '"':
            fputs("&quot;", to);
            break;
        default:
            fputc(*text, to);
        }
    }
}

static void html_cell(FILE *to, const char *tag, bool numeric, const char *text) {
    fprintf(to, "<%s%s>", tag, numeric ? " class=\"n\"" : "");
    dt_html_escape(to, text);
    fprintf(to, "</%.2s>", tag);
}

void dt_sheet_html(const dt_sheet *s, FILE *to) {
    bool numeric[DT_SHEET_COLUMNS];
    fputs("<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr>", to);
    for (int c = 0; c < s->n_columns; c++) {
        numeric[c] = is_numeric(s, c);
        html_cell(to, "th scope=\"col\"", numeric[c], s->heading[c]);
    }
    fputs("</tr></thead>\n<tbody>\n", to);
    for (size_t row = 0; row < rows_of(s); row++) {
        fputs("<tr>", to);
        for (int c = 0; c < s->n_columns; c++)
            html_cell(to, "td", numeric[c], cell_at(s, row, c));
        fputs("</tr>\n", to);
    }
    fputs("</tbody></table></div>\n", to);
}

/* --- terminal --- */

/* Characters of UTF-8 text. */
static int width_of(const char *text) {
    int n = 0;
    for (; *text; text++)
        n += (*text & 0xc0) != 0x80;
    return n;
}

static void print_row(const dt_sheet *s, FILE *to, size_t row, const int *width,
                      const bool *numeric) {
    for (int c = 0; c < s->n_columns; c++) {
        const char *text = row == (size_t)-1 ? s->heading[c] : cell_at(s, row, c);
        int space = width[c] - width_of(text);
        bool last = c + 1 == s->n_columns;
        fprintf(to, "  %*s%s%*s", numeric[c] ? space : 0, "", text, numeric[c] || last ? 0 : space,
                "");
    }
    fputc('\n', to);
}

void dt_sheet_print(const dt_sheet *s, FILE *to) {
    int width[DT_SHEET_COLUMNS];
    bool numeric[DT_SHEET_COLUMNS];
    for (int c = 0; c < s->n_columns; c++) {
        numeric[c] = is_numeric(s, c);
        width[c] = width_of(s->heading[c]);
        for (size_t row = 0; row < rows_of(s); row++) {
            int w = width_of(cell_at(s, row, c));
            width[c] = w > width[c] ? w : width[c];
        }
    }
    print_row(s, to, (size_t)-1, width, numeric);
    for (size_t row = 0; row < rows_of(s); row++)
        print_row(s, to, row, width, numeric);
}
