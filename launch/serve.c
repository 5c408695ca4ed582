/* launch/serve.c - `dtrain serve`: a page on which to draw digits and to watch a run. */
#include "launch/serve.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "io/json.h"
#include "io/log.h"
#include "launch/predict.h"
#include "launch/studio.h"
#include "launch/term.h"
#include "launch/trainer.h"

enum { LOOK_MS = 100 }; /* how long a signal may wait */

static bool is_loopback(const char *address) {
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

static dt_status announce(const dt_options *options, const dt_studio *studio, const char *url) {
    char text[3 * DT_PATH_MAX];
    if (options->json) {
        dt_json j = {0};
        dt_json_open(&j, NULL, '{');
        dt_json_str(&j, "url", url);
        dt_json_close(&j, '}');
        return dt_stdout_json(&j);
    }
    dt_studio_describe(studio, text, sizeof text);
    printf("%s\n\n    %s\n\nCtrl-C ends it.\n", text, url);
    return dt_stdout_flush();
}

static dt_status serve_until_signal(dt_http *http) {
    while (!dt_signals_pending())
        DT_TRY(dt_http_run(http, LOOK_MS));
    return DT_OK;
}

static dt_status serve(const dt_options *options, dt_studio *studio) {
    char url[256], hostname[256] = "";
    gethostname(hostname, sizeof hostname - 1);
    dt_request_rules rules = {
        .address = options->host, .is_local = is_loopback(options->host), .hostname = hostname};
    dt_http *http;
    DT_TRY(
        dt_http_open(options->host, (int)options->port, &rules, dt_studio_answer, studio, &http));
    dt_http_url(http, url, sizeof url);
    if (!rules.is_local)
        dt_warn("--host %s: others who reach this machine can open the page if they know its "
                "address, and those between can read along: nothing is encrypted",
                options->host);
    dt_status status = announce(options, studio, url);
    if (status == DT_OK)
        status = serve_until_signal(http);
    dt_http_close(&http);
    return status;
}

dt_status dt_serve(const dt_options *options, dt_comm *comm) {
    dt_studio *studio;
    DT_TRY(dt_alone("serve", comm));
    signal(SIGPIPE, SIG_IGN); /* a browser that goes away is no reason to end */
    DT_TRY(dt_studio_open(options->checkpoint, options->last, options->digits, &studio));
    dt_status status = serve(options, studio);
    dt_studio_close(&studio);
    return status;
}
