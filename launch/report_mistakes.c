/* launch/report_mistakes.c - the most confident mistakes of a run, as pictures. */
#include "launch/report.h"

static void digit(dt_page *page, const dt_mistakes *m, size_t i) {
    const dt_mistake *one = &m->worst[i];
    size_t size = (size_t)m->height * (size_t)m->width;
    dt_image image = {
        .width = m->width, .height = m->height, .channels = 1, .pixels = m->image + i * size};
    char alt[96];
    snprintf(alt, sizeof alt, "test image %lld: a %lld, taken for a %lld", (long long)one->sample,
             (long long)one->label, (long long)one->predicted);
    FILE *f = dt_page_html(page);
    fputs("<div>", f);
    dt_page_picture(page, &image, alt);
    fprintf(f, "<b>%lld</b>, taken for <b>%lld</b><br>%.2f %%<br>no. %lld</div>\n",
            (long long)one->label, (long long)one->predicted, 100 * one->probability,
            (long long)one->sample);
}

void dt_report_mistakes(dt_page *page, const dt_run *run, const char *name, int number) {
    const dt_mistakes *m = &run->mistakes;
    char file[32], title[300];
    dt_sheet s = {0};
    if (m->n == 0 || !m->image)
        return;
    snprintf(title, sizeof title, "Most confident mistakes: %s", name);
    FILE *f = dt_page_html(page);
    fputs("<h3>", f);
    dt_html_escape(f, title);
    fputs("</h3>\n<div class=\"digits\">\n", f);
    for (size_t i = 0; i < m->n; i++)
        digit(page, m, i);
    fputs("</div>\n", f);
    dt_page_note(page, "Test images that are taken for another class with the highest "
                       "probabilities, after the last epoch.");
    dt_sheet_column(&s, "test image");
    dt_sheet_column(&s, "class");
    dt_sheet_column(&s, "taken for");
    dt_sheet_column(&s, "probability %");
    for (size_t i = 0; i < m->n; i++) {
        dt_sheet_put(&s, "%lld", (long long)m->worst[i].sample);
        dt_sheet_put(&s, "%lld", (long long)m->worst[i].label);
        dt_sheet_put(&s, "%lld", (long long)m->worst[i].predicted);
        dt_sheet_number(&s, 3, 100 * m->worst[i].probability);
    }
    snprintf(file, sizeof file, "mistakes-%d", number);
    dt_page_sheet(page, file, "The same in figures", &s, false);
}
