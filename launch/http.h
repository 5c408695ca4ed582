/* launch/http.h - a small HTTP server for one user's browser, on libmicrohttpd.
 *
 * One thread, the caller's: dt_http_run() does what is due and comes back. Requests that
 * dt_request_check() refuses are answered here. A client has a few seconds for each request, fewer
 * when many are connected, so that those who send a byte now and then keep nobody out. An answer
 * may take as long as something of it is taken. */
#ifndef DT_LAUNCH_HTTP_H
#define DT_LAUNCH_HTTP_H

#include "launch/request.h"

typedef struct dt_http dt_http;

typedef struct {
    int status; /* HTTP's */
    const char *type;
    const void *bytes;
    size_t nbytes;
    bool is_owned;    /* bytes are freed with free(); else they outlive the server */
    bool is_download; /* a browser saves it */
    double server_ms; /* how long the answer took to make, for Server-Timing; 0: not told */
} dt_reply;

/* The answer to a request that passed the checks; body has as many bytes as the request says. */
typedef void (*dt_http_answer)(void *ctx, const dt_request *request, const uint8_t *body,
                               dt_reply *reply);

/* Listen on address (IPv4 or IPv6 in numbers) and port, 0 for any that is free. rules->token is
 * filled in. rules and ctx must outlive the server. DT_EUSAGE: no such address. DT_EIO: it cannot
 * be listened on, the port is taken. */
DT_NODISCARD dt_status dt_http_open(const char *address, int port, dt_request_rules *rules,
                                    dt_http_answer answer, void *ctx, dt_http **out);
/* Serve for up to this time; back at once when there was something to do. DT_EDEVICE. */
DT_NODISCARD dt_status dt_http_run(dt_http *http, int milliseconds);
/* "http://127.0.0.1:8080/<token>/" */
void dt_http_url(const dt_http *http, char *text, size_t nbytes);
void dt_http_close(dt_http **http);

/* "libmicrohttpd 0.9.75" */
void dt_http_library(char *text, size_t nbytes);

#endif
