/* launch/figure.c - figures of a page, drawn by gnuplot.
 *
 * The script is written beside the pictures and holds its data, so that a figure can be changed and
 * drawn again without this program. The SVG goes into index.html as it is, with the names of its
 * parts made unique. Colours are those of Okabe and Ito, which people of all kinds of colour vision
 * can tell apart; grey lines and a missing background do on light and dark pages. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "launch/page_impl.h"

static const char prelude[] =
    "set encoding utf8\n"
    "set terminal svg size 560,400 dynamic noenhanced font 'sans-serif,14' lw 1.3\n"
    "set output '%s.svg'\n"
    "set border 3 lc rgb '#808080'\n"
    "set tics nomirror out textcolor lt -1\n"
    "set grid lc rgb '#808080' lw 0.4 dt 3\n"
    "set key below samplen 2 spacing 1.1 height 1\n"
    "set linetype 1 lc rgb '#0072B2' lw 1.6 pt 7 ps 0.7\n"
    "set linetype 2 lc rgb '#D55E00' lw 1.6 pt 5 ps 0.7\n"
    "set linetype 3 lc rgb '#009E73' lw 1.6 pt 9 ps 0.9\n"
    "set linetype 4 lc rgb '#CC79A7' lw 1.6 pt 13 ps 0.9\n"
    "set linetype 5 lc rgb '#E69F00' lw 1.6 pt 11 ps 0.9\n"
    "set linetype 6 lc rgb '#56B4E9' lw 1.6 pt 6 ps 0.7\n"
    "set linetype 7 lc rgb '#808080' lw 1.6 pt 4 ps 0.7\n"
    "set linetype cycle 7\n";
static const char coda[] =
    "\nset output\n"
    "set terminal pngcairo size 1120,800 noenhanced background rgb 'white' font 'sans,11' "
    "fontscale 2 lw 2.6 pointscale 2\n"
    "set output '%s.png'\n"
    "replot\n"
    "set output\n";

/* --- gnuplot --- */

/* Run gnuplot with one argument in dir, what it says into the file log there. Its exit code, or -1.
 */
static int run_gnuplot(const char *dir, const char *argument, const char *log) {
    char *const argv[] = {"gnuplot", (char *)argument, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return -1;
    int failed = posix_spawn_file_actions_addchdir_np(&actions, dir);
    failed |= posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    failed |=
        posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    failed |= posix_spawn_file_actions_adddup2(&actions, 2, 1);
    if (!failed)
        failed = posix_spawnp(&pid, "gnuplot", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed)
        return -1;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

dt_status dt_gnuplot_find(void) {
    if (run_gnuplot("/", "--version", "/dev/null") == 0)
        return DT_OK;
    return dt_fail(DT_EDEVICE, "gnuplot, which draws the figures, is not here or does not run: "
                               "install gnuplot-nox (launch/setup.sh does)");
}

/* --- the script --- */

FILE *dt_page_figure(dt_page *p, const char *name, const char *title) {
    snprintf(p->figure_name, sizeof p->figure_name, "%s%.*s", p->part, DT_NAME_MAX / 2, name);
    snprintf(p->figure_title, sizeof p->figure_title, "%s", title);
    p->script = (dt_text_stream){0};
    p->script.f = open_memstream(&p->script.text, &p->script.n);
    if (!p->script.f) {
        dt_page_note_failure(p, dt_fail(DT_EDEVICE, "no memory for the figure %s", name));
        return p->nowhere;
    }
    name = p->figure_name;
    fprintf(p->script.f, "# gnuplot %s.gp draws %s.svg and %s.png\n", name, name, name);
    fprintf(p->script.f, prelude, name);
    return p->script.f;
}

void dt_plot_text(FILE *script, const char *text) {
    fputc('\'', script);
    for (; *text; text++)
        fputs(*text == '\'' ? "''" : *text == '\n' ? " " : (const char[]){*text, 0}, script);
    fputc('\'', script);
}

static dt_status write_text(const char *path, const char *text, size_t n) {
    FILE *f = fopen(path, "we");
    if (!f)
        return dt_fail(DT_EIO, "cannot write %s: %s", path, strerror(errno));
    bool failed = fwrite(text, 1, n, f) != n;
    if (fclose(f) != 0 || failed)
        return dt_fail(DT_EIO, "cannot write %s: %s", path, strerror(errno));
    return DT_OK;
}

/* All of a file as text; the caller's to free. */
static dt_status read_text(const char *path, char **out) {
    size_t n = 0, capacity = 0;
    char *text = NULL;
    FILE *f = fopen(path, "re");
    if (!f)
        return dt_fail(DT_EIO, "cannot read %s: %s", path, strerror(errno));
    do {
        capacity += 1 << 16;
        char *grown = realloc(text, capacity + 1);
        if (!grown)
            break;
        text = grown;
        n += fread(text + n, 1, capacity - n, f);
    } while (n == capacity);
    bool failed = ferror(f) || n == capacity;
    fclose(f);
    if (failed) {
        free(text);
        return dt_fail(DT_EIO, "cannot read %s", path);
    }
    text[n] = '\0';
    *out = text;
    return DT_OK;
}

/* --- the picture --- */

/* What gnuplot calls the parts of each of its pictures; on a page with several they must differ. */
static const char *const parts[] = {"gpPt", "gpDot", "gnuplot_canvas", "textbox", "greybox"};

static void inline_svg(dt_page *p, const char *svg) {
    FILE *f = p->body.f;
    const char *at = strstr(svg, "<svg");
    if (!at) {
        dt_page_note_failure(p, dt_fail(DT_EDEVICE, "gnuplot wrote no picture in %s/%s.svg", p->dir,
                                        p->figure_name));
        return;
    }
    fputs("<svg role=\"img\" ", f);
    for (at += strlen("<svg"); *at;) {
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            if (strncmp(at, parts[i], strlen(parts[i])) == 0 && strchr("'\"#", at[-1]))
                fprintf(f, "%s-", p->figure_name);
        if (strncmp(at, "<title>", 7) == 0 && strstr(at, "</title>")) { /* the file's name */
            fputs("<title>", f);
            dt_html_escape(f, p->figure_title);
            at = strstr(at, "</title>");
        }
        fputc(*at++, f);
    }
}

/* What gnuplot said last: the line before it is the script's. */
static dt_status gnuplot_failed(const dt_page *p, const char *log) {
    char *said = NULL;
    dt_status status = read_text(log, &said);
    if (status != DT_OK)
        return status;
    size_t n = strlen(said);
    while (n > 0 && said[n - 1] == '\n')
        said[--n] = '\0';
    const char *line = strrchr(said, '\n');
    status = dt_fail(DT_EDEVICE, "gnuplot did not draw %s/%s.gp: %s", p->dir, p->figure_name,
                     line ? line + 1 : said);
    free(said);
    return status;
}

static dt_status draw(dt_page *p) {
    char path[DT_PATH_MAX], log[DT_PATH_MAX], file[DT_NAME_MAX + 8], *svg = NULL;
    snprintf(file, sizeof file, "%s.log", p->figure_name);
    DT_TRY(dt_path_join(log, p->dir, file));
    snprintf(file, sizeof file, "%s.gp", p->figure_name);
    DT_TRY(dt_path_join(path, p->dir, file));
    DT_TRY(write_text(path, p->script.text, p->script.n));
    char said[DT_NAME_MAX + 8];
    snprintf(said, sizeof said, "%s.log", p->figure_name);
    if (run_gnuplot(p->dir, file, said) != 0)
        return gnuplot_failed(p, log);
    unlink(log);
    snprintf(file, sizeof file, "%s.svg", p->figure_name);
    DT_TRY(dt_path_join(path, p->dir, file));
    DT_TRY(read_text(path, &svg));
    inline_svg(p, svg);
    free(svg);
    return DT_OK;
}

static void write_caption(dt_page *p, const char *format, va_list values) {
    char *text = NULL;
    FILE *f = p->body.f;
    if (vasprintf(&text, format, values) < 0) {
        dt_page_note_failure(p, dt_fail(DT_EDEVICE, "no memory for a caption"));
        return;
    }
    fputs("<figcaption><b>", f);
    dt_html_escape(f, p->figure_title);
    fputs(".</b> ", f);
    dt_html_escape(f, text);
    fprintf(f, " <a href=\"%s.svg\">SVG</a> <a href=\"%s.png\">PNG</a></figcaption></figure>\n",
            p->figure_name, p->figure_name);
    free(text);
}

void dt_page_figure_end(dt_page *p, const char *caption, ...) {
    if (!p->script.f)
        return;
    fprintf(p->script.f, coda, p->figure_name);
    bool failed = ferror(p->script.f) != 0;
    if (fclose(p->script.f) != 0 || failed)
        dt_page_note_failure(p, dt_fail(DT_EDEVICE, "no memory for the figure %s", p->figure_name));
    p->script.f = NULL;
    if (p->status == DT_OK) {
        fputs(p->in_figures ? "<figure>" : "<div class=\"figures\">\n<figure>", p->body.f);
        p->in_figures = true;
        dt_page_note_failure(p, draw(p));
        va_list values;
        va_start(values, caption);
        write_caption(p, caption, values);
        va_end(values);
    }
    free(p->script.text);
    p->script = (dt_text_stream){0};
}
