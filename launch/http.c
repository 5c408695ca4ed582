/* launch/http.c - a small HTTP server for one user's browser, on libmicrohttpd.
 *
 * The library parses HTTP and calls back; all of it happens within dt_http_run(), so nothing here
 * needs a lock. It is given a listening socket, as its own words for a port that is taken say
 * little. Its time-out starts anew with every byte, and it does not always see that a client has
 * gone in the middle of a line: so connections are counted here, and those that have not sent a
 * whole request in time are shut down, as are those that take nothing of their answer. */
#include "launch/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include "io/clock.h"

enum {
    PEERS_MAX = 500,    /* connections; below the usual limit of 1,024 open files */
    HEAD_BYTES = 16384, /* memory of a connection: request line and headers must fit */
    BACKLOG = 128
};
static const double PATIENCE = 20, PATIENCE_IN_A_CROWD = 2; /* seconds for a request */

typedef struct peer {
    struct peer *next, *before;
    int fd;
    double since;     /* it connected, a request began or ended, or a part of an answer was taken */
    bool is_busy;     /* an answer is on its way */
    uint64_t n_taken; /* bytes, while busy */
} peer;

typedef struct { /* a request on its way */
    char *target;
    bool is_checked;
    dt_request what;
    uint8_t *body;
    size_t nbytes, expected;
} exchange;

struct dt_http {
    struct MHD_Daemon *daemon;
    dt_request_rules *rules;
    dt_http_answer answer;
    void *ctx;
    peer *peers;
    int n_peers;
    int fd;          /* listening */
    char place[256]; /* "127.0.0.1:8080" */
};

/* -- Answers --------------------------------------------------------------------------------- */

static const char *const headers[][2] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Permissions-Policy", "camera=(), microphone=(), geolocation=()"},
    {"Cache-Control", "no-store"},
};

static enum MHD_Result send_reply(struct MHD_Connection *connection, const dt_reply *reply) {
    char timing[48];
    struct MHD_Response *response = MHD_create_response_from_buffer(
        reply->nbytes, (void *)(uintptr_t)reply->bytes,
        reply->is_owned ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!response) {
        if (reply->is_owned)
            free((void *)(uintptr_t)reply->bytes);
        return MHD_NO;
    }
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        MHD_add_response_header(response, headers[i][0], headers[i][1]);
    MHD_add_response_header(response, "Content-Type", reply->type);
    if (reply->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", "GET, HEAD, POST");
    if (reply->is_download)
        MHD_add_response_header(response, "Content-Disposition", "attachment");
    if (reply->server_ms > 0) {
        snprintf(timing, sizeof timing, "total;dur=%.3f", reply->server_ms);
        MHD_add_response_header(response, "Server-Timing", timing);
    }
    enum MHD_Result result = MHD_queue_response(connection, (unsigned)reply->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, int status, const char *why) {
    return send_reply(connection, &(dt_reply){.status = status,
                                              .type = "text/plain; charset=utf-8",
                                              .bytes = why,
                                              .nbytes = strlen(why)});
}

/* -- Requests -------------------------------------------------------------------------------- */

static peer *peer_of(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* A request of a connection begins or ends, or its answer does. */
static void note_time(struct MHD_Connection *connection, bool is_busy) {
    peer *p = peer_of(connection);
    if (!p)
        return;
    p->since = dt_now();
    p->is_busy = is_busy;
}

/* The request line has come: the one place where the target is to be had as it was sent. */
static void *begin(void *ctx, const char *target, struct MHD_Connection *connection) {
    (void)ctx;
    note_time(connection, false);
    exchange *e = calloc(1, sizeof *e);
    if (e && (e->target = strdup(target)) == NULL) {
        free(e);
        e = NULL;
    }
    return e;
}

static const char *header(struct MHD_Connection *connection, const char *name) {
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* The headers have come. */
static enum MHD_Result check(const dt_http *http, struct MHD_Connection *connection,
                             const char *method, exchange *e) {
    const char *why = "";
    const dt_request_head head = {.method = method,
                                  .target = e->target,
                                  .host = header(connection, "Host"),
                                  .origin = header(connection, "Origin"),
                                  .site = header(connection, "Sec-Fetch-Site"),
                                  .mode = header(connection, "Sec-Fetch-Mode"),
                                  .length = header(connection, "Content-Length")};
    int status = dt_request_check(&head, http->rules, &e->what, &why);
    e->is_checked = true;
    if (status != MHD_HTTP_OK)
        return refuse(connection, status, why);
    e->expected = e->what.has_body ? (size_t)e->what.width * (size_t)e->what.height : 0;
    if (e->expected > 0 && (e->body = malloc(e->expected)) == NULL)
        return refuse(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory for the drawing");
    return MHD_YES;
}

/* A body without a length that does not end is cut off with its connection. */
static enum MHD_Result take(exchange *e, const char *bytes, size_t *nbytes) {
    if (*nbytes > e->expected - e->nbytes)
        return MHD_NO;
    memcpy(e->body + e->nbytes, bytes, *nbytes);
    e->nbytes += *nbytes;
    *nbytes = 0;
    return MHD_YES;
}

static enum MHD_Result handle(void *ctx, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *bytes,
                              size_t *nbytes, void **state) {
    dt_http *http = ctx;
    exchange *e = *state;
    (void)url, (void)version;
    if (!e)
        return MHD_NO;
    if (!e->is_checked)
        return check(http, connection, method, e);
    if (*nbytes > 0)
        return take(e, bytes, nbytes);
    if (e->nbytes != e->expected)
        return refuse(connection, MHD_HTTP_BAD_REQUEST,
                      "the body is not as long as width and height say");
    dt_reply reply = {.status = MHD_HTTP_OK};
    http->answer(http->ctx, &e->what, e->body, &reply);
    note_time(connection, true); /* who got here knows the token */
    return send_reply(connection, &reply);
}

static void end(void *ctx, struct MHD_Connection *connection, void **state,
                enum MHD_RequestTerminationCode why) {
    (void)ctx, (void)why;
    exchange *e = *state;
    note_time(connection, false);
    if (e) {
        free(e->target);
        free(e->body);
        free(e);
    }
    *state = NULL;
}

/* -- Connections ----------------------------------------------------------------------------- */

static void come_or_go(void *ctx, struct MHD_Connection *connection, void **socket_context,
                       enum MHD_ConnectionNotificationCode what) {
    dt_http *http = ctx;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        peer *p = info ? calloc(1, sizeof *p) : NULL;
        *socket_context = p;
        if (!p)
            return;
        *p = (peer){.next = http->peers, .fd = info->connect_fd, .since = dt_now()};
        if (p->next)
            p->next->before = p;
        http->peers = p;
        http->n_peers++;
    } else if (*socket_context) {
        peer *p = *socket_context;
        if (p->next)
            p->next->before = p->before;
        if (p->before)
            p->before->next = p->next;
        else
            http->peers = p->next;
        http->n_peers--;
        free(p);
        *socket_context = NULL;
    }
}

/* The other side has said that more of the answer is there. */
static bool takes_more(peer *p) {
    struct tcp_info info = {0};
    socklen_t nbytes = sizeof info;
    if (getsockopt(p->fd, IPPROTO_TCP, TCP_INFO, &info, &nbytes) != 0 ||
        info.tcpi_bytes_acked == p->n_taken)
        return false;
    p->n_taken = info.tcpi_bytes_acked;
    return true;
}

/* The library sees the end of what was shut down, and closes it. */
static void send_away_the_slow(const dt_http *http) {
    double now = dt_now();
    double patience = http->n_peers > PEERS_MAX / 2 ? PATIENCE_IN_A_CROWD : PATIENCE;
    for (peer *p = http->peers; p; p = p->next) {
        if (p->is_busy && takes_more(p))
            p->since = now;
        if (now - p->since > patience)
            shutdown(p->fd, SHUT_RDWR);
    }
}

/* -- The server ------------------------------------------------------------------------------ */

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} socket_address;

static dt_status parse_address(const char *text, int port, socket_address *out, socklen_t *size) {
    *out = (socket_address){0};
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons((uint16_t)port);
        *size = sizeof out->v4;
        return DT_OK;
    }
    if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)port);
        *size = sizeof out->v6;
        return DT_OK;
    }
    return dt_fail(DT_EUSAGE,
                   "--host: '%s' is no address; give one of this machine's in numbers, such as "
                   "127.0.0.1, ::1, or 0.0.0.0 for all",
                   text);
}

static dt_status cannot_listen(const char *address, int port, int why) {
    if (why == EADDRINUSE)
        return dt_fail(DT_EIO,
                       "port %d of %s is taken by another program: choose another --port, or 0 for "
                       "any that is free",
                       port, address);
    return dt_fail(DT_EIO, "cannot listen on port %d of %s: %s", port, address, strerror(why));
}

static dt_status listen_on(dt_http *http, const char *address, int port) {
    socket_address at;
    socklen_t size;
    int on = 1;
    DT_TRY(parse_address(address, port, &at, &size));
    http->fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (http->fd < 0)
        return cannot_listen(address, port, errno);
    if (setsockopt(http->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(http->fd, &at.any, size) != 0 || listen(http->fd, BACKLOG) != 0 ||
        getsockname(http->fd, &at.any, &size) != 0)
        return cannot_listen(address, port, errno);
    bool is_v6 = at.any.sa_family == AF_INET6;
    bool is_any = strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
    snprintf(http->place, sizeof http->place, is_v6 && !is_any ? "[%s]:%d" : "%s:%d",
             is_any ? http->rules->hostname : address,
             ntohs(is_v6 ? at.v6.sin6_port : at.v4.sin_port));
    return DT_OK;
}

static dt_status make_token(char token[DT_TOKEN_CHARS + 1]) {
    unsigned char random[DT_TOKEN_CHARS / 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return dt_fail(DT_EDEVICE, "the system gives no random numbers: %s", strerror(errno));
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(token + 2 * i, 3, "%02x", random[i]);
    return DT_OK;
}

static dt_status start(dt_http *http) {
    http->daemon =
        MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, handle, http, MHD_OPTION_LISTEN_SOCKET,
                         http->fd, MHD_OPTION_URI_LOG_CALLBACK, begin, NULL,
                         MHD_OPTION_NOTIFY_COMPLETED, end, NULL, MHD_OPTION_NOTIFY_CONNECTION,
                         come_or_go, http, MHD_OPTION_CONNECTION_LIMIT, (unsigned)PEERS_MAX,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES, MHD_OPTION_END);
    if (!http->daemon)
        return dt_fail(DT_EDEVICE, "libmicrohttpd %s cannot start on %s", MHD_get_version(),
                       http->place);
    return DT_OK;
}

dt_status dt_http_open(const char *address, int port, dt_request_rules *rules,
                       dt_http_answer answer, void *ctx, dt_http **out) {
    dt_http *http = calloc(1, sizeof *http);
    *out = http;
    if (!http)
        return dt_fail(DT_EDEVICE, "no memory for a server");
    *http = (dt_http){.rules = rules, .answer = answer, .ctx = ctx, .fd = -1};
    dt_status status = make_token(rules->token);
    if (status == DT_OK)
        status = listen_on(http, address, port);
    if (status == DT_OK)
        status = start(http);
    if (status != DT_OK)
        dt_http_close(out);
    return status;
}

dt_status dt_http_run(dt_http *http, int milliseconds) {
    if (MHD_run_wait(http->daemon, milliseconds) != MHD_YES)
        return dt_fail(DT_EDEVICE, "libmicrohttpd %s failed", MHD_get_version());
    send_away_the_slow(http);
    return DT_OK;
}

void dt_http_url(const dt_http *http, char *text, size_t nbytes) {
    snprintf(text, nbytes, "http://%s/%s/", http->place, http->rules->token);
}

void dt_http_close(dt_http **http) {
    dt_http *h = *http;
    if (!h)
        return;
    if (h->daemon)
        MHD_stop_daemon(h->daemon); /* closes fd */
    else if (h->fd >= 0)
        close(h->fd);
    free(h);
    *http = NULL;
}

void dt_http_library(char *text, size_t nbytes) {
    snprintf(text, nbytes, "libmicrohttpd %s", MHD_get_version());
}
