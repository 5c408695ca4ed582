/* launch/request.h - what a browser may ask of `dtrain serve`, and who may ask: pure functions.
 *
 * A page of another site must neither read nor change anything here, though the same browser can
 * reach this program. Three checks, each enough for most attacks: Host names this machine (a name
 * that was made to point here does not), Origin is this page's (a form or script of another page
 * says another), and the path begins with a token that nobody can guess. A link of another page may
 * lead to the page itself, whose user wants to see it: that other page sees nothing of it. What
 * follows the token is one of a few names, compared as a whole: no part of a request is ever used
 * as a path. */
#ifndef DT_LAUNCH_REQUEST_H
#define DT_LAUNCH_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "io/err.h"

enum {
    DT_TOKEN_CHARS = 32, /* 128 bits in hex */
    DT_PAD_SIDE_MIN = 8, /* pixels of a drawing's sides */
    DT_PAD_SIDE_MAX = 256,
    DT_BODY_MAX = DT_PAD_SIDE_MAX * DT_PAD_SIDE_MAX
};

typedef enum {
    DT_ROUTE_ASSET,    /* a file of launch/web: which, is in asset */
    DT_ROUTE_ABOUT,    /* the network and where it comes from */
    DT_ROUTE_PREDICT,  /* body: a drawing; its digit */
    DT_ROUTE_FEATURES, /* body: a drawing; what each layer makes of it */
    DT_ROUTE_SET,      /* the set of digits: size, accuracy, confusion */
    DT_ROUTE_ADD,      /* body: a drawing, with its label, into the set */
    DT_ROUTE_UNDO,     /* the last one out of it */
    DT_ROUTE_IMAGES,   /* its files */
    DT_ROUTE_LABELS,
    DT_ROUTE_RUN /* where the training is */
} dt_route;

/* As they came; NULL where there is none. */
typedef struct {
    const char *method;
    const char *target; /* path and query, nothing decoded */
    const char *host, *origin;
    const char *site;   /* Sec-Fetch-Site */
    const char *mode;   /* Sec-Fetch-Mode */
    const char *length; /* Content-Length */
} dt_request_head;

typedef struct {
    char token[DT_TOKEN_CHARS + 1];
    const char *address; /* that it listens on, as the user wrote it */
    bool is_local;       /* which is this machine's own */
    const char *hostname;
} dt_request_rules;

typedef struct {
    dt_route route;
    int asset; /* number in dt_assets */
    bool has_body;
    int width, height; /* of the drawing, which is width * height bytes */
    int label;
} dt_request;

/* 200, or the HTTP status of a refusal; *why is then a sentence for a person. */
int dt_request_check(const dt_request_head *head, const dt_request_rules *rules, dt_request *out,
                     const char **why);

/* The files of launch/web, compiled in. */
typedef struct {
    const char *name; /* "" is the page itself */
    const char *type;
    const char *bytes;
    size_t nbytes;
} dt_asset;
extern const dt_asset dt_assets[]; /* ends with name == NULL */

#endif
