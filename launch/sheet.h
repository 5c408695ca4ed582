/* launch/sheet.h - a small table of texts: shown as CSV, as HTML and on a terminal.
 *
 * Headings carry the units, cells are plain numbers or words, so that one cell serves all three. A
 * failure (memory) is remembered, and told by dt_sheet_csv(). */
#ifndef DT_LAUNCH_SHEET_H
#define DT_LAUNCH_SHEET_H

#include <stdbool.h>
#include <stdio.h>
#include "io/err.h"

enum { DT_SHEET_COLUMNS = 24 };

typedef struct {
    int n_columns;
    const char *heading[DT_SHEET_COLUMNS];
    char **cell;        /* [n], row by row */
    size_t n, capacity; /* a last row that is not full is shown with empty cells */
    bool failed;
} dt_sheet;

/* Add a column; all of them before the first cell. heading must outlive the sheet. */
void dt_sheet_column(dt_sheet *sheet, const char *heading);
/* Add the next cell of the row, or of a new one. */
void dt_sheet_put(dt_sheet *sheet, const char *format, ...) DT_PRINTF(2, 3);
/* The same with a number of this many decimals; empty if it is not finite. */
void dt_sheet_number(dt_sheet *sheet, int decimals, double value);
void dt_sheet_free(dt_sheet *sheet);

/* Write path, as RFC 4180 has it. DT_EIO, or DT_EDEVICE if memory ran out before. */
DT_NODISCARD dt_status dt_sheet_csv(const dt_sheet *sheet, const char *path);
void dt_sheet_html(const dt_sheet *sheet, FILE *to);
void dt_sheet_print(const dt_sheet *sheet, FILE *to);

/* text with &, <, > and quotes as HTML writes them. */
void dt_html_escape(FILE *to, const char *text);

#endif
