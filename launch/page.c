/* launch/page.c - sections, sentences and tables of a report, and index.html around them.
 *
 * The body grows in memory and is put into launch/report.html, which is part of the program, at the
 * end: so index.html is whole or not there. Figures are in launch/figure.c. */
#include "launch/page_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "io/file.h"
#include "launch/term.h"
#include "report_html.h"

void dt_page_note_failure(dt_page *p, dt_status status) {
    if (status == DT_OK || p->status != DT_OK)
        return;
    p->status = status;
    dt_error_copy(p->error);
}

static void page_free(dt_page **page) {
    dt_page *p = *page;
    if (p->body.f)
        fclose(p->body.f);
    if (p->contents.f)
        fclose(p->contents.f);
    if (p->script.f)
        fclose(p->script.f);
    if (p->nowhere)
        fclose(p->nowhere);
    free(p->body.text);
    free(p->contents.text);
    free(p->script.text);
    free(p);
    *page = NULL;
}

dt_status dt_page_open(const char *dir, const char *title, bool quiet, dt_page **out) {
    *out = NULL;
    DT_TRY(dt_gnuplot_find());
    DT_TRY(dt_mkdirs(dir));
    dt_page *p = calloc(1, sizeof *p);
    if (!p)
        return dt_fail(DT_EDEVICE, "no memory for a report");
    snprintf(p->dir, sizeof p->dir, "%s", dir);
    snprintf(p->title, sizeof p->title, "%s", title);
    p->quiet = quiet;
    p->nowhere = fopen("/dev/null", "we");
    p->body.f = open_memstream(&p->body.text, &p->body.n);
    p->contents.f = open_memstream(&p->contents.text, &p->contents.n);
    if (!p->nowhere || !p->body.f || !p->contents.f) {
        page_free(&p);
        return dt_fail(DT_EDEVICE, "no memory for a report");
    }
    *out = p;
    return DT_OK;
}

/* --- what it says --- */

FILE *dt_page_html(dt_page *p) {
    if (p->in_figures)
        fputs("</div>\n", p->body.f);
    p->in_figures = false;
    return p->body.f;
}

void dt_page_part(dt_page *p, const char *id, const char *title) {
    snprintf(p->part, sizeof p->part, "%s-", id);
    snprintf(p->part_title, sizeof p->part_title, "%s: ", title);
}

void dt_page_section(dt_page *p, const char *id, const char *title) {
    FILE *f = dt_page_html(p), *contents = p->contents.f;
    fprintf(f, "<h2 id=\"%s%s\">", p->part, id);
    dt_html_escape(f, p->part_title);
    dt_html_escape(f, title);
    fputs("</h2>\n", f);
    fprintf(contents, "<li><a href=\"#%s%s\">", p->part, id);
    dt_html_escape(contents, p->part_title);
    dt_html_escape(contents, title);
    fputs("</a></li>\n", contents);
    if (!p->quiet)
        printf("\n%s%s%s%s\n", dt_term_of(STDOUT_FILENO).bold, p->part_title, title,
               dt_term_of(STDOUT_FILENO).plain);
}

/* Words wrapped at the terminal's width, indented by two. */
static void print_wrapped(const char *text) {
    size_t width = (size_t)dt_term_width(STDOUT_FILENO), at = 2;
    printf("  ");
    for (const char *word = text; *word;) {
        size_t n = strcspn(word, " ");
        if (word != text && at + 1 + n > width) {
            printf("\n  ");
            at = 2;
        } else if (word != text) {
            putchar(' ');
            at++;
        }
        printf("%.*s", (int)n, word);
        at += n;
        word += n + strspn(word + n, " ");
    }
    putchar('\n');
}

static void paragraph(dt_page *p, const char *tag, bool print, const char *format, va_list values) {
    char *text = NULL;
    if (vasprintf(&text, format, values) < 0) {
        dt_page_note_failure(p, dt_fail(DT_EDEVICE, "no memory for a sentence of the report"));
        return;
    }
    FILE *f = dt_page_html(p);
    fprintf(f, "<%s>", tag);
    dt_html_escape(f, text);
    fputs("</p>\n", f);
    if (print && !p->quiet)
        print_wrapped(text);
    free(text);
}

void dt_page_say(dt_page *p, const char *format, ...) {
    va_list values;
    va_start(values, format);
    paragraph(p, "p", true, format, values);
    va_end(values);
}

void dt_page_note(dt_page *p, const char *format, ...) {
    va_list values;
    va_start(values, format);
    paragraph(p, "p class=\"note\"", false, format, values);
    va_end(values);
}

void dt_page_sheet(dt_page *p, const char *name, const char *title, dt_sheet *sheet, bool print) {
    char path[DT_PATH_MAX], file[2 * DT_NAME_MAX];
    snprintf(file, sizeof file, "%s%s.csv", p->part, name);
    dt_status status = dt_path_join(path, p->dir, file);
    if (status == DT_OK)
        status = dt_sheet_csv(sheet, path);
    dt_page_note_failure(p, status);
    FILE *f = dt_page_html(p);
    fputs("<h3>", f);
    dt_html_escape(f, title);
    fprintf(f, " <a href=\"%s\">CSV</a></h3>\n", file);
    dt_sheet_html(sheet, f);
    if (print && !p->quiet)
        dt_sheet_print(sheet, stdout);
    dt_sheet_free(sheet);
}

static void write_base64(FILE *to, const uint8_t *bytes, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)bytes[i] << 16 | (i + 1 < n ? (unsigned)bytes[i + 1] << 8 : 0) |
                     (i + 2 < n ? (unsigned)bytes[i + 2] : 0);
        fputc(digits[v >> 18], to);
        fputc(digits[v >> 12 & 63], to);
        fputc(i + 1 < n ? digits[v >> 6 & 63] : '=', to);
        fputc(i + 2 < n ? digits[v & 63] : '=', to);
    }
}

void dt_page_picture(dt_page *p, const dt_image *image, const char *alt) {
    void *png = NULL;
    size_t n;
    dt_status status = dt_image_png(image, &png, &n);
    if (status != DT_OK) {
        dt_page_note_failure(p, status);
        return;
    }
    FILE *f = dt_page_html(p);
    fprintf(f, "<img width=\"%d\" height=\"%d\" alt=\"", image->width, image->height);
    dt_html_escape(f, alt);
    fputs("\" src=\"data:image/png;base64,", f);
    write_base64(f, png, n);
    fputs("\">", f);
    free(png);
}

/* --- index.html --- */

/* The template with its three places filled. */
static void fill_template(const dt_page *p, FILE *to) {
    const char *at = report_html;
    for (const char *mark; (mark = strchr(at, '@')) != NULL;) {
        fwrite(at, 1, (size_t)(mark - at), to);
        if (strncmp(mark, "@TITLE@", 7) == 0) {
            dt_html_escape(to, p->title);
            at = mark + 7;
        } else if (strncmp(mark, "@CONTENTS@", 10) == 0) {
            fwrite(p->contents.text, 1, p->contents.n, to);
            at = mark + 10;
        } else if (strncmp(mark, "@BODY@", 6) == 0) {
            fwrite(p->body.text, 1, p->body.n, to);
            at = mark + 6;
        } else { /* of a rule of CSS */
            fputc('@', to);
            at = mark + 1;
        }
    }
    fputs(at, to);
}

static dt_status write_index(const dt_page *p) {
    char path[DT_PATH_MAX], tmp[DT_PATH_MAX];
    DT_TRY(dt_path_join(path, p->dir, "index.html"));
    DT_TRY(dt_path_join(tmp, p->dir, "index.html.tmp"));
    FILE *f = fopen(tmp, "we");
    if (!f)
        return dt_fail(DT_EIO, "cannot write %s: %s", tmp, strerror(errno));
    fill_template(p, f);
    bool failed = fflush(f) != 0;
    int error = errno, fd = failed ? -1 : fcntl(fileno(f), F_DUPFD_CLOEXEC, 0);
    fclose(f);
    if (fd >= 0)
        return dt_file_commit(fd, tmp, path);
    unlink(tmp);
    return dt_fail(DT_EIO, "cannot write %s: %s", tmp, strerror(failed ? error : errno));
}

dt_status dt_page_close(dt_page **page) {
    if (!*page)
        return DT_OK;
    dt_page *p = *page;
    (void)dt_page_html(p);
    if (fflush(p->body.f) != 0 || fflush(p->contents.f) != 0)
        dt_page_note_failure(p, dt_fail(DT_EDEVICE, "no memory for a report"));
    if (p->status == DT_OK)
        dt_page_note_failure(p, write_index(p));
    dt_status status = p->status;
    if (status != DT_OK)
        dt_error_set(p->error);
    page_free(page);
    return status;
}
