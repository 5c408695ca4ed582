/* launch/describe.c - who ran what, where and when. */
#include "launch/describe.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void dt_describe_now(char text[32]) {
    time_t now = time(NULL);
    struct tm utc;
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
}

/* All of a small file of /proc; NULL if that fails. *n bytes, then a 0. */
static char *read_whole(const char *path, size_t *n) {
    enum { PART = 4096 };
    char *text = NULL;
    ssize_t got = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (*n = 0; fd >= 0; *n += (size_t)got) {
        char *grown = realloc(text, *n + PART + 1);
        if (!grown)
            break;
        text = grown;
        got = read(fd, text + *n, PART);
        if (got <= 0)
            break;
    }
    if (fd >= 0)
        close(fd);
    if (got < 0) {
        free(text);
        return NULL;
    }
    text[*n] = 0;
    return text;
}

/* A word as a shell would have to be given it. */
static void print_word(FILE *f, const char *word) {
    if (word[0] && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-+=./:,@%") == strlen(word)) {
        fputs(word, f);
        return;
    }
    fputc('\'', f);
    for (; *word; word++)
        fputs(*word == '\'' ? "'\\''" : (const char[]){*word, 0}, f);
    fputc('\'', f);
}

void dt_describe_command_line(FILE *f, const dt_setup *s) {
    size_t n;
    char *words = read_whole("/proc/self/cmdline", &n);
    (void)s;
    for (size_t at = 0; words && at < n; at += strlen(words + at) + 1) {
        if (at > 0)
            fputc(' ', f);
        print_word(f, words + at);
    }
    free(words);
}

static void print_places(FILE *f, const dt_setup *s, size_t offset) {
    for (int r = 0, n; r < s->size; r += n) {
        const char *name = (const char *)&s->places[r] + offset;
        for (n = 1; r + n < s->size; n++)
            if (strcmp((const char *)&s->places[r + n] + offset, name) != 0)
                break;
        fprintf(f, "%s%s", r ? ", " : "", name);
        if (n > 1)
            fprintf(f, " (%d)", n);
    }
}

void dt_describe_hosts(FILE *f, const dt_setup *s) {
    print_places(f, s, offsetof(dt_place, host));
}

void dt_describe_devices(FILE *f, const dt_setup *s) {
    print_places(f, s, offsetof(dt_place, device));
}

dt_status dt_described(void (*print)(FILE *f, const dt_setup *s), const dt_setup *setup,
                       char **text) {
    size_t n;
    *text = NULL;
    FILE *f = open_memstream(text, &n);
    if (f)
        print(f, setup);
    if (f && fclose(f) == 0)
        return DT_OK;
    free(*text);
    *text = NULL;
    return dt_fail(DT_EDEVICE, "no memory to describe a run");
}
