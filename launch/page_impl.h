/* launch/page_impl.h - the inside of a page, for launch/page.c and launch/figure.c. */
#ifndef DT_LAUNCH_PAGE_IMPL_H
#define DT_LAUNCH_PAGE_IMPL_H

#include "io/file.h"
#include "launch/page.h"

enum { DT_NAME_MAX = 64, DT_TITLE_MAX = 256 };

typedef struct { /* a stream into memory */
    FILE *f;
    char *text;
    size_t n;
} dt_text_stream;

struct dt_page {
    char dir[DT_PATH_MAX], title[DT_TITLE_MAX];
    char part[DT_NAME_MAX / 2], part_title[DT_TITLE_MAX]; /* of dt_page_part(), or "" */
    bool quiet, in_figures;
    dt_text_stream body, contents;
    dt_text_stream script; /* of the figure that is being written; f is NULL between figures */
    char figure_name[DT_NAME_MAX], figure_title[DT_TITLE_MAX];
    FILE *nowhere; /* stands in where there is no memory for a stream */
    dt_status status;
    char error[DT_ERROR_MAX];
};

/* Remember a failure, if it is the first; dt_error() has its sentence. */
void dt_page_note_failure(dt_page *page, dt_status status);

#endif
