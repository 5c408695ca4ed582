/* launch/request.c - what a browser may ask of `dtrain serve`, and who may ask. */
#include "launch/request.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

enum { OK = 200, BAD = 400, FORBIDDEN = 403, NO_SUCH = 404, WRONG_METHOD = 405, TOO_LARGE = 413 };
enum { HOST_MAX = 256 };

typedef struct {
    const char *name;
    bool posts;
    dt_route route;
    bool has_drawing, has_label;
} name_row;

static const name_row names[] = {
    {"api/about", false, DT_ROUTE_ABOUT, false, false},
    {"api/predict", true, DT_ROUTE_PREDICT, true, false},
    {"api/features", true, DT_ROUTE_FEATURES, true, false},
    {"api/set", false, DT_ROUTE_SET, false, false},
    {"api/set/add", true, DT_ROUTE_ADD, true, true},
    {"api/set/undo", true, DT_ROUTE_UNDO, false, false},
    {"api/run", false, DT_ROUTE_RUN, false, false},
    {"t10k-images-idx3-ubyte", false, DT_ROUTE_IMAGES, false, false},
    {"t10k-labels-idx1-ubyte", false, DT_ROUTE_LABELS, false, false},
};

static int refuse(int status, const char *sentence, const char **why) {
    *why = sentence;
    return status;
}

/* host without its port, and without the brackets around an IPv6 address. */
static bool host_name(const char *host, char name[HOST_MAX]) {
    size_t n = 0;
    const char *end;
    if (host[0] == '[') {
        host++;
        n = strcspn(host, "]");
        if (host[n] != ']')
            return false;
        end = host + n + 1;
    } else {
        n = strcspn(host, ":");
        end = host + n;
    }
    if (n == 0 || n >= HOST_MAX)
        return false;
    if (*end != '\0' && (*end != ':' || end[1 + strspn(end + 1, "0123456789")] != '\0'))
        return false;
    memcpy(name, host, n);
    name[n] = '\0';
    return true;
}

static bool is_address(const char *name) {
    struct in6_addr address;
    return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

/* A name can be made to point anywhere, an address cannot. The port may be another: a tunnel's. */
static bool is_host(const char *host, const dt_request_rules *rules) {
    char name[HOST_MAX];
    if (!host || !host_name(host, name))
        return false;
    if (strcasecmp(name, "localhost") == 0 || strcmp(name, "127.0.0.1") == 0 ||
        strcmp(name, "::1") == 0 || strcasecmp(name, rules->address) == 0)
        return true;
    if (rules->is_local)
        return false;
    return is_address(name) || (rules->hostname && strcasecmp(name, rules->hostname) == 0);
}

/* Browsers send Origin with every POST; other programs need not. */
static bool is_origin(const dt_request_head *head) {
    static const char scheme[] = "http://";
    if (!head->origin)
        return true;
    return strncmp(head->origin, scheme, sizeof scheme - 1) == 0 &&
           strcmp(head->origin + sizeof scheme - 1, head->host) == 0;
}

/* From this page or from nowhere; by a link from anywhere, if it leads to the page. */
static bool is_site(const dt_request_head *head, int asset) {
    if (!head->site || strcmp(head->site, "same-origin") == 0 || strcmp(head->site, "none") == 0)
        return true;
    return asset >= 0 && dt_assets[asset].name[0] == '\0' && strcmp(head->method, "GET") == 0 &&
           head->mode && strcmp(head->mode, "navigate") == 0;
}

/* Takes as long for a token that is nearly right as for one that is not. */
static bool has_token(const char *target, const char *token) {
    unsigned char differs = target[0] != '/';
    if (strlen(target) < DT_TOKEN_CHARS + 2)
        return false;
    for (size_t i = 0; i < DT_TOKEN_CHARS; i++)
        differs |= (unsigned char)(target[1 + i] ^ token[i]);
    return differs == 0 && target[1 + DT_TOKEN_CHARS] == '/';
}

/* "width=140&height=140": digits only, each key once. */
static bool take_numbers(const char *query, int *width, int *height, int *label) {
    const struct {
        const char *key;
        int *value;
    } keys[] = {{"width=", width}, {"height=", height}, {"label=", label}};
    while (*query) {
        size_t k = 0, n, digits;
        while (k < 3 && strncmp(query, keys[k].key, strlen(keys[k].key)) != 0)
            k++;
        if (k == 3 || *keys[k].value >= 0)
            return false;
        query += strlen(keys[k].key);
        digits = strspn(query, "0123456789");
        n = strcspn(query, "&");
        if (digits != n || n == 0 || n > 4)
            return false;
        *keys[k].value = 0;
        for (; n > 0; n--)
            *keys[k].value = *keys[k].value * 10 + (*query++ - '0');
        if (*query == '&' && *++query == '\0')
            return false;
    }
    return true;
}

static bool is_side(int side) {
    return side >= DT_PAD_SIDE_MIN && side <= DT_PAD_SIDE_MAX;
}

static int take_query(const char *query, const name_row *row, dt_request *out, const char **why) {
    int width = -1, height = -1, label = -1;
    if (!take_numbers(query, &width, &height, &label))
        return refuse(BAD, "the query is not made of width, height and label", why);
    if (row->has_drawing ? !is_side(width) || !is_side(height) : width >= 0 || height >= 0)
        return refuse(BAD, "a drawing has a width and a height from 8 to 256", why);
    if (row->has_label ? label < 0 || label > 9 : label >= 0)
        return refuse(BAD, "a label is a digit", why);
    out->width = width;
    out->height = height;
    out->label = label;
    return OK;
}

/* A length that is told must be the drawing's; one that is not told is counted as it comes. */
static int take_length(const char *length, const dt_request *request, const char **why) {
    size_t want = request->has_body ? (size_t)request->width * (size_t)request->height : 0, n = 0;
    if (!length)
        return OK;
    if (length[0] == '\0' || length[strspn(length, "0123456789")] != '\0')
        return refuse(BAD, "Content-Length is no number", why);
    for (; *length && n <= DT_BODY_MAX; length++)
        n = n * 10 + (size_t)(*length - '0');
    if (n > DT_BODY_MAX)
        return refuse(TOO_LARGE, "the body is longer than any drawing", why);
    if (n != want)
        return refuse(BAD, "the body is not as long as width and height say", why);
    return OK;
}

static bool is_called(const char *name, const char *path, size_t n) {
    return strlen(name) == n && memcmp(name, path, n) == 0;
}

static int find_asset(const char *path, size_t n) {
    for (int i = 0; dt_assets[i].name; i++)
        if (is_called(dt_assets[i].name, path, n))
            return i;
    return -1;
}

static const name_row *find_name(const char *path, size_t n) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is_called(names[i].name, path, n))
            return &names[i];
    return NULL;
}

int dt_request_check(const dt_request_head *head, const dt_request_rules *rules, dt_request *out,
                     const char **why) {
    static const name_row asset_row = {"", false, DT_ROUTE_ASSET, false, false};
    static const char another_page[] = "this request comes from another page";
    bool posts = strcmp(head->method, "POST") == 0;
    *out = (dt_request){.asset = -1, .label = -1};
    if (!is_host(head->host, rules))
        return refuse(FORBIDDEN, "this host name is not the program's: use the printed address",
                      why);
    if (!is_origin(head))
        return refuse(FORBIDDEN, another_page, why);
    if (!has_token(head->target, rules->token))
        return refuse(FORBIDDEN, "open the address that dtrain serve has printed, to its end", why);
    const char *path = head->target + DT_TOKEN_CHARS + 2;
    size_t n = strcspn(path, "?");
    out->asset = find_asset(path, n);
    if (!is_site(head, out->asset))
        return refuse(FORBIDDEN, another_page, why);
    const name_row *row = out->asset >= 0 ? &asset_row : find_name(path, n);
    if (!row)
        return refuse(NO_SUCH, "there is nothing of this name", why);
    if (posts != row->posts ||
        (!posts && strcmp(head->method, "GET") != 0 && strcmp(head->method, "HEAD") != 0))
        return refuse(WRONG_METHOD, "this name takes another method", why);
    out->route = row->route;
    out->has_body = row->has_drawing;
    int status = take_query(path[n] ? path + n + 1 : "", row, out, why);
    return status == OK ? take_length(head->length, out, why) : status;
}
