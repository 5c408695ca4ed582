/* launch/plugin.c - finds and loads libdtrain_cuda.so.
 *
 * It lies beside the program (a build) or in ../lib/dtrain (an installation) and carries no search
 * path of its own: the CUDA libraries are the system's, or LD_LIBRARY_PATH's. Those that are in
 * neither are loaded first from the folder that the build found them in, by their full names; the
 * plugin's own loading then finds them in memory. */
#include "launch/plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dtrain_version.h"
#include "io/file.h"

#define PLUGIN "libdtrain_cuda.so"

#ifdef DT_CUDA_LIBRARIES /* "folder:name folder:name ..." when the build has the plugin */
static const char libraries[] = DT_CUDA_LIBRARIES;
#else
static const char libraries[] = "";
#endif

bool dt_plugin_has_driver(void) {
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (driver)
        dlclose(driver);
    return driver != NULL;
}

/* One library, by name or else from the build's folder. A failure shows when the plugin is loaded.
 */
static void load_ahead(const char *folder, size_t n_folder, const char *name, size_t n_name) {
    char path[DT_PATH_MAX];
    snprintf(path, sizeof path, "%.*s", (int)n_name, name);
    if (dlopen(path, RTLD_LAZY | RTLD_LOCAL))
        return;
    snprintf(path, sizeof path, "%.*s/%.*s", (int)n_folder, folder, (int)n_name, name);
    void *loaded = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    (void)loaded;
}

static void load_libraries(void) {
    for (const char *at = libraries, *end; *at; at = end + (*end == ' ')) {
        end = strchr(at, ' ');
        if (!end)
            end = at + strlen(at);
        const char *colon = memchr(at, ':', (size_t)(end - at));
        if (colon)
            load_ahead(at, (size_t)(colon - at), colon + 1, (size_t)(end - colon - 1));
    }
}

static bool find(char path[DT_PATH_MAX]) {
    static const char *const places[] = {"", "../lib/dtrain/"};
    char program[DT_PATH_MAX - 64];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0)
        return false;
    program[n] = 0;
    char *slash = strrchr(program, '/');
    *(slash ? slash + 1 : program) = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, DT_PATH_MAX, "%s%s%s", program, places[i], PLUGIN);
        if (access(path, F_OK) == 0)
            return true;
    }
    return false;
}

static dt_status load(const dt_plugin **out) {
    char path[DT_PATH_MAX];
    if (!find(path))
        return dt_fail(DT_EDEVICE,
                       "there is no " PLUGIN " beside this program: it was built without CUDA; see "
                       "README.md, GPUs");
    load_libraries();
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return dt_fail(DT_EDEVICE, "cannot load %s: %s", PLUGIN, dlerror());
    dt_plugin_entry entry;
    *(void **)&entry =
        dlsym(handle, DT_PLUGIN_ENTRY); /* POSIX's way around C's two pointer kinds */
    const dt_plugin *plugin = entry ? entry() : NULL;
    if (!plugin || plugin->abi != DT_PLUGIN_ABI || strcmp(plugin->version, DTRAIN_VERSION) != 0) {
        dt_status status = dt_fail(DT_EDEVICE, "%s is of another build (%s) than this program (%s)",
                                   path, plugin ? plugin->version : "unknown", DTRAIN_VERSION);
        dlclose(handle);
        return status;
    }
    *out = plugin; /* never unloaded: the CUDA libraries have threads and handlers of their own */
    return DT_OK;
}

dt_status dt_plugin_open(const dt_plugin **out) {
    static const dt_plugin *loaded;
    if (!loaded)
        DT_TRY(load(&loaded));
    *out = loaded;
    return DT_OK;
}
