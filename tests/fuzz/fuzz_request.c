/* Requests to `dtrain serve` as anybody may send them: lines of the input are method, target, host,
 * origin, Sec-Fetch-Site, Content-Length and Sec-Fetch-Mode; a line of one '-' is a header that is
 * not there. '@' in the target stands for the token, so that the fuzzer gets past it. What is let
 * through names something that exists, from a host and an origin that may ask, and a drawing within
 * its bounds; what is refused has a sentence. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "launch/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { LINES = 7, LINE_BYTES = 1024 };
static const char token[] = "0123456789abcdef0123456789abcdef";

/* The next line of the input, its '@' replaced. */
static char *take_line(const uint8_t **at, const uint8_t *end) {
    static char lines[LINES][LINE_BYTES];
    static int turn;
    char *line = lines[turn = (turn + 1) % LINES];
    size_t n = 0;
    for (; *at < end && **at != '\n'; (*at)++) {
        if (**at == '@' && n + DT_TOKEN_CHARS < LINE_BYTES) {
            memcpy(line + n, token, DT_TOKEN_CHARS);
            n += DT_TOKEN_CHARS;
        } else if (n + 1 < LINE_BYTES) {
            line[n++] = (char)**at;
        }
    }
    *at += *at < end;
    line[n] = '\0';
    return strcmp(line, "-") == 0 ? NULL : line;
}

static int is_side(int side) {
    return side >= DT_PAD_SIDE_MIN && side <= DT_PAD_SIDE_MAX;
}

/* One of the machine's own names as a whole, with or without a port. */
static int is_here(const char *host) {
    static const char *const names[] = {"localhost", "127.0.0.1", "::1"};
    char name[LINE_BYTES];
    snprintf(name, sizeof name, "%s", host);
    size_t n = strlen(name);
    while (n > 0 && name[n - 1] >= '0' && name[n - 1] <= '9')
        n--;
    int is_v6 = name[0] == '[';
    if (n > 0 && name[n - 1] == ':' && (is_v6 ? name[n - 2] == ']' : !memchr(name, ':', n - 1)))
        name[n - 1] = '\0';
    n = strlen(name);
    if (is_v6 && (n < 2 || name[n - 1] != ']'))
        return 0;
    if (is_v6)
        name[n - 1] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name + is_v6, names[i]) == 0)
            return 1;
    return 0;
}

/* Another page may lead a person to the page, and to nothing else. */
static int is_site(const dt_request_head *head) {
    const char *path = head->target + 1 + DT_TOKEN_CHARS;
    if (!head->site || !strcmp(head->site, "same-origin") || !strcmp(head->site, "none"))
        return 1;
    return head->mode && !strcmp(head->mode, "navigate") && !strcmp(head->method, "GET") &&
           path[0] == '/' && (path[1] == '\0' || path[1] == '?');
}

static void check_accepted(const dt_request_head *head, const dt_request_rules *rules,
                           const dt_request *request) {
    int n_assets = 0;
    while (dt_assets[n_assets].name)
        n_assets++;
    int good = head->host && strncmp(head->target + 1, token, DT_TOKEN_CHARS) == 0;
    good &= request->route == DT_ROUTE_ASSET ? request->asset >= 0 && request->asset < n_assets
                                             : request->route <= DT_ROUTE_RUN;
    good &= !request->has_body || (is_side(request->width) && is_side(request->height));
    good &= request->route == DT_ROUTE_ADD ? request->label >= 0 && request->label <= 9
                                           : request->label < 0;
    good &= !head->origin || strcmp(head->origin + strlen("http://"), head->host) == 0;
    good &= is_site(head);
    if (good && rules->is_local)
        good = is_here(head->host);
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    const uint8_t *at = bytes, *end = bytes + n;
    for (int local = 0; local < 2; local++) {
        dt_request_rules rules = {
            .address = local ? "127.0.0.1" : "0.0.0.0", .is_local = local, .hostname = "host"};
        dt_request request;
        const char *why = NULL;
        memcpy(rules.token, token, sizeof token);
        at = bytes;
        dt_request_head head = {.method = take_line(&at, end), .target = take_line(&at, end)};
        head.host = take_line(&at, end);
        head.origin = take_line(&at, end);
        head.site = take_line(&at, end);
        head.length = take_line(&at, end);
        head.mode = take_line(&at, end);
        if (!head.method || !head.target)
            return 0;
        int status = dt_request_check(&head, &rules, &request, &why);
        if (status == 200)
            check_accepted(&head, &rules, &request);
        else if (status < 400 || status > 499 || !why || !why[0])
            abort();
    }
    return 0;
}
