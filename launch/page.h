/* launch/page.h - what a report is written with: sections, sentences, tables and figures.
 *
 * A page is a directory: index.html, which needs nothing else, and beside it every figure as SVG,
 * PNG and the gnuplot script that draws both, and every table as CSV. What matters is printed on
 * stdout as well.
 *
 * Like a file of io/h5.h, a page remembers its first failure: the functions below may be called on
 * without looking, and dt_page_close() tells it. */
#ifndef DT_LAUNCH_PAGE_H
#define DT_LAUNCH_PAGE_H

#include "io/image.h"
#include "launch/sheet.h"

typedef struct dt_page dt_page;

/* Is there a gnuplot? DT_EDEVICE tells how to get one. */
DT_NODISCARD dt_status dt_gnuplot_find(void);

/* dir is made if it is not there. quiet: nothing is printed. DT_EDEVICE: no gnuplot. */
DT_NODISCARD dt_status dt_page_open(const char *dir, const char *title, bool quiet, dt_page **out);
/* Write index.html, unless something failed, and free the page in any case. */
DT_NODISCARD dt_status dt_page_close(dt_page **page);

/* What follows is one of several parts alike: names of files and sections begin with id, headings
 * with title. */
void dt_page_part(dt_page *page, const char *id, const char *title);
/* A heading with a place in the list of contents; id of letters, digits and '-'. */
void dt_page_section(dt_page *page, const char *id, const char *title);
/* A paragraph, printed too. */
void dt_page_say(dt_page *page, const char *format, ...) DT_PRINTF(2, 3);
/* A smaller one, on the page only. */
void dt_page_note(dt_page *page, const char *format, ...) DT_PRINTF(2, 3);
/* DIR/name.csv and a table on the page; printed too if print. Frees the sheet's cells. */
void dt_page_sheet(dt_page *page, const char *name, const char *title, dt_sheet *sheet, bool print);

/* Figures that follow each other stand side by side where there is room. begin returns where to
 * write the script: data blocks, settings, and one plot command at the end, for gnuplot; terminal,
 * colours, axes and grid are set before. end draws it. The stream is never NULL. */
FILE *dt_page_figure(dt_page *page, const char *name, const char *title);
void dt_page_figure_end(dt_page *page, const char *caption, ...) DT_PRINTF(2, 3);
/* text as a string of gnuplot, quoted. */
void dt_plot_text(FILE *script, const char *text);

/* A small picture within the body, where dt_page_html() writes: the page carries it, no file. alt
 * says what it shows. */
void dt_page_picture(dt_page *page, const dt_image *image, const char *alt);

/* The body of index.html, for what has no function above. Never NULL. */
FILE *dt_page_html(dt_page *page);

#endif
