/* launch/assets.c - the files of launch/web, compiled in: the page of `dtrain serve`. */
#include "launch/request.h"

#include "web_common_js.h"
#include "web_draw_js.h"
#include "web_icon_svg.h"
#include "web_index_html.h"
#include "web_main_js.h"
#include "web_plot_js.h"
#include "web_run_js.h"
#include "web_style_css.h"

#define ASSET(name, type, bytes)                                                                   \
    { name, type, bytes, sizeof(bytes) - 1 }

const dt_asset dt_assets[] = {
    ASSET("", "text/html; charset=utf-8", web_index_html),
    ASSET("style.css", "text/css; charset=utf-8", web_style_css),
    ASSET("main.js", "text/javascript; charset=utf-8", web_main_js),
    ASSET("common.js", "text/javascript; charset=utf-8", web_common_js),
    ASSET("draw.js", "text/javascript; charset=utf-8", web_draw_js),
    ASSET("run.js", "text/javascript; charset=utf-8", web_run_js),
    ASSET("plot.js", "text/javascript; charset=utf-8", web_plot_js),
    ASSET("icon.svg", "image/svg+xml", web_icon_svg),
    {0},
};
