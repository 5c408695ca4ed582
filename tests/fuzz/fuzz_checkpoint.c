/* Checkpoints that somebody or something has changed. The first byte chooses:
 *   bytes     the rest is the file: never read
 *   damage    the rest changes bytes of a good file: read only if it ends as it began
 *   schema    the rest changes the tree of a good file by HDF5's own calls: attributes and objects
 * of other types, sizes, names, layouts and filters, links in circles and to elsewhere. What is
 * read then must hold together. HDF5's parsing of damaged metadata is not the target: the digest
 * keeps that from it. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <hdf5.h>
#include <sanitizer/allocator_interface.h>
#include "io/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64]; /* the file under test, open as fd */
static int fd = -1;
static unsigned char *good; /* a good checkpoint */
static size_t n_good;

#define MUST(expr)                                                                                 \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #expr, dt_error());            \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* --- the good file --- */

static void make_good(void) {
    static float values[3][40];
    static char words[] = "fc 2";
    dt_tensor tensors[4] = {{"conv1/weight", 4, {2, 1, 3, 3}, 0, 18},
                            {"conv1/bias", 1, {2}, 18, 2},
                            {"fc1/weight", 2, {2, 9}, 20, 18},
                            {"fc1/bias", 1, {2}, 38, 2}};
    dt_checkpoint c = {.model = words,
                       .input_shape = {1, 5, 5},
                       .classes = 2,
                       .std = 1,
                       .best_value = NAN,
                       .best_kind = "test",
                       .config = words,
                       .fingerprint = words,
                       .data_name = words,
                       .tensors = tensors,
                       .n_tensors = 4,
                       .params = values[0],
                       .n_params = 40,
                       .n_slots = 2,
                       .slot_name = {"momentum", "square"},
                       .slots = {values[1], values[2]}};
    for (int i = 0; i < 40; i++)
        values[0][i] = (float)i;
    MUST(dt_checkpoint_write(path, &c) == DT_OK);
    FILE *f = fopen(path, "rb");
    MUST(f && (good = malloc(1 << 20)) != NULL);
    n_good = fread(good, 1, 1 << 20, f);
    MUST(n_good > 512 && n_good < 1 << 20 && fclose(f) == 0);
}

/* The largest piece of memory that anybody asked for while a checkpoint was read. */
static size_t largest;

static void note_malloc(const volatile void *p, size_t n) {
    (void)p;
    if (n > largest)
        largest = n;
}

static void ignore_free(const volatile void *p) {
    (void)p;
}

static void finish(void) {
    unlink(path);
}

static void start(void) {
    /* in memory where there is such a place: each input is a file */
    snprintf(path, sizeof path, "%s/dt-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    int made = mkstemp(path);
    MUST(made >= 0 && close(made) == 0 && atexit(finish) == 0);
    make_good();
    fd = open(path, O_RDWR);
    MUST(fd >= 0 && __sanitizer_install_malloc_and_free_hooks(note_malloc, ignore_free));
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

static void set_file(const void *bytes, size_t n) {
    MUST(ftruncate(fd, 0) == 0 && pwrite(fd, bytes, n, 0) == (ssize_t)n);
}

/* --- bytes and damage --- */

static void try_bytes(const uint8_t *data, size_t size) {
    dt_checkpoint *c;
    set_file(data, size);
    MUST(dt_checkpoint_read(path, &c) == DT_EIO && c == NULL && strstr(dt_error(), path));
}

/* Five bytes an edit: where (3), what to xor, how many bytes to drop from the end (rarely). */
static void try_damage(const uint8_t *data, size_t size) {
    dt_checkpoint *c;
    size_t n = n_good;
    unsigned char *bytes = malloc(n);
    MUST(bytes);
    memcpy(bytes, good, n);
    for (; size >= 5; data += 5, size -= 5) {
        size_t at = ((size_t)data[0] << 16 | (size_t)data[1] << 8 | data[2]) % n_good;
        bytes[data[4] & 1 ? at : at % 600] ^= data[3];
        if (data[4] >= 250 && n > data[4])
            n -= data[4];
    }
    bool same = n == n_good && memcmp(bytes, good, n) == 0;
    set_file(bytes, n);
    dt_status status = dt_checkpoint_read(path, &c);
    MUST(same ? status == DT_OK : status == DT_EIO && c == NULL && strstr(dt_error(), path));
    dt_checkpoint_free(&c);
    free(bytes);
}

/* --- schema --- */

static const uint8_t *next;
static size_t n_next;

static unsigned take(void) {
    if (n_next == 0)
        return 0;
    n_next--;
    return *next++;
}

static const char *take_attribute(void) {
    static const char *const names[] = {
        "format",      "format_version", "dtrain_version", "created",      "model",
        "input_shape", "classes",        "mean",           "std",          "epoch",
        "step",        "seed",           "epoch_sums",     "samples_seen", "config",
        "best_value",  "best_step",      "best_kind",      "fingerprint",  "data",
        "data_sha256", "params_sha256"};
    return names[take() % (sizeof names / sizeof *names)];
}

static const char *take_path(void) {
    static const char *const paths[] = {"/parameters",
                                        "/parameters/conv1",
                                        "/parameters/conv1/weight",
                                        "/parameters/conv1/bias",
                                        "/parameters/fc1",
                                        "/parameters/fc1/weight",
                                        "/parameters/more",
                                        "/parameters/conv1/more",
                                        "/optimizer",
                                        "/optimizer/momentum",
                                        "/optimizer/momentum/conv1",
                                        "/optimizer/momentum/conv1/weight",
                                        "/optimizer/square/fc1/bias",
                                        "/optimizer/more",
                                        "/optimizer/a_name_of_more_than_fifteen_bytes",
                                        "/parameters/fc1/a_name_of_more_than_thirty_one_bytes",
                                        "/parameters/a space",
                                        "/parameters/..",
                                        "/"};
    return paths[take() % (sizeof paths / sizeof *paths)];
}

static hid_t take_type(void) {
    switch (take() % 20) { /* mostly the right one */
    case 0:
        return H5Tcopy(H5T_IEEE_F64LE);
    case 1:
        return H5Tcopy(H5T_STD_I64LE);
    case 2:
        return H5Tcopy(H5T_STD_U64LE);
    case 3:
        return H5Tcopy(H5T_IEEE_F32BE);
    case 4:
        return H5Tcopy(H5T_STD_I8LE);
    case 5: {
        hid_t type = H5Tcopy(H5T_C_S1); /* of fixed length */
        H5Tset_size(type, 1 + take());
        return type;
    }
    case 6:
    case 7: {
        hid_t type = H5Tcopy(H5T_C_S1);
        H5Tset_size(type, H5T_VARIABLE);
        H5Tset_cset(type, take() & 1 ? H5T_CSET_UTF8 : H5T_CSET_ASCII);
        return type;
    }
    case 8: {
        hsize_t dims[1] = {1 + take()};
        return H5Tarray_create2(H5T_IEEE_F32LE, 1, dims);
    }
    default:
        return H5Tcopy(H5T_IEEE_F32LE);
    }
}

static hid_t take_space(int *n_dims, hsize_t dims[6]) {
    *n_dims = (int)(take() % 7);
    for (int i = 0; i < *n_dims; i++) {
        dims[i] = take() % 20;
        if (dims[i] > 16)
            dims[i] = (hsize_t)1 << (take() % 60);
    }
    return *n_dims == 0 ? H5Screate(take() & 1 ? H5S_NULL : H5S_SCALAR)
                        : H5Screate_simple(*n_dims, dims, NULL);
}

/* Values of any type for up to 64 elements: the same bytes again and again, or one text. */
static void write_attribute(hid_t id, hid_t type, hid_t space) {
    static char text[600], *texts[64];
    static unsigned char raw[64 * 1024];
    hssize_t n = H5Sget_simple_extent_npoints(space);
    if (n < 0 || n > 64 || H5Tget_size(type) > 1024)
        return;
    if (H5Tis_variable_str(type) > 0) {
        size_t length = (take() * 2) % sizeof text;
        memset(text, 'a' + (int)(take() % 26), length);
        text[length] = '\0';
        for (int i = 0; i < 64; i++)
            texts[i] = text;
        H5Awrite(id, type, texts);
    } else {
        for (size_t i = 0; i < sizeof raw; i++)
            raw[i] = i < 8 ? (unsigned char)take() : raw[i % 8];
        H5Awrite(id, type, raw);
    }
}

static void change_attribute(hid_t file, const char *object) {
    hsize_t dims[6];
    int n_dims;
    const char *name = take_attribute();
    H5Adelete_by_name(file, object, name, H5P_DEFAULT);
    if (take() % 4 == 0)
        return;
    hid_t id = -1, type = take_type(), space = take_space(&n_dims, dims);
    if (H5Sget_simple_extent_npoints(space) <= 4096) /* HDF5 asks for memory for all of them */
        id = H5Acreate_by_name(file, object, name, type, space, H5P_DEFAULT, H5P_DEFAULT,
                               H5P_DEFAULT);
    if (id >= 0) {
        write_attribute(id, type, space);
        H5Aclose(id);
    }
    H5Sclose(space);
    H5Tclose(type);
}

static hid_t take_layout(int n_dims, const hsize_t *dims) {
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t chunk[6];
    unsigned how = take() & 1 ? take() : 1; /* mostly the right one */
    for (int i = 0; i < n_dims; i++)
        chunk[i] = how & 64 ? 1 + take() : dims[i] > 0 ? dims[i] : 1;
    if (how % 5 == 0)
        H5Pset_layout(creation, H5D_CONTIGUOUS); /* making a compact one can crash HDF5 1.10 */
    else if (n_dims > 0)
        H5Pset_chunk(creation, n_dims, chunk);
    if (how % 5 == 0 && how & 8)
        H5Pset_external(creation, "/etc/hostname", 0, H5F_UNLIMITED);
    if (how & 1)
        H5Pset_fletcher32(creation);
    if (how & 2)
        H5Pset_shuffle(creation);
    if (how & 4)
        H5Pset_deflate(creation, 1);
    return creation;
}

static void make_data(hid_t file, const char *object) {
    hsize_t dims[6];
    int n_dims;
    hid_t type = take_type(), space = take_space(&n_dims, dims),
          creation = take_layout(n_dims, dims);
    hid_t id = H5Dcreate2(file, object, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    if (id >= 0)
        H5Dclose(id);
    H5Pclose(creation);
    H5Sclose(space);
    H5Tclose(type);
}

static void make_group(hid_t file, const char *object) {
    hid_t id =
        H5Gcreate2(file, object, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT); /* without an order */
    if (id >= 0)
        H5Gclose(id);
}

static void change_object(hid_t file) {
    const char *object = take_path(), *other = take_path();
    unsigned how = take();
    if (how & 16)
        H5Ldelete(file, object, H5P_DEFAULT);
    switch (how % 8) {
    case 0:
        H5Lcreate_soft(other, file, object, H5P_DEFAULT, H5P_DEFAULT);
        break;
    case 1:
        H5Lcreate_external("/proc/self/exe", other, file, object, H5P_DEFAULT, H5P_DEFAULT);
        break;
    case 2:
        H5Lcreate_hard(file, other, file, object, H5P_DEFAULT, H5P_DEFAULT); /* circles too */
        break;
    case 3:
        H5Lmove(file, other, file, object, H5P_DEFAULT, H5P_DEFAULT);
        break;
    case 4:
        make_group(file, object);
        break;
    case 5:
        change_attribute(file, object);
        break;
    default:
        make_data(file, object);
    }
}

/* Whatever was read is bounded by the file and consistent in itself. */
static void check_whole(const dt_checkpoint *c, size_t nbytes) {
    char hex[DT_SHA256_HEX];
    size_t at = 0;
    for (int i = 0; i < c->n_tensors; i++) {
        const dt_tensor *t = &c->tensors[i];
        size_t n = 1;
        MUST(t->n_dims >= 1 && t->n_dims <= DT_TENSOR_DIMS && memchr(t->name, 0, sizeof t->name) &&
             strchr(t->name, '/'));
        for (int d = 0; d < t->n_dims; d++)
            n *= (size_t)t->dims[d];
        MUST(n > 0 && t->n == n && t->at == at);
        at += n;
    }
    MUST(at > 0 && at == c->n_params && at * sizeof(float) * (size_t)(1 + c->n_slots) <= nbytes);
    MUST(c->n_slots >= 0 && c->n_slots <= DT_CHECKPOINT_SLOTS);
    dt_sha256(c->params, at * sizeof(float), hex);
    MUST(strcmp(hex, c->params_sha256) == 0);
    for (int s = 0; s < c->n_slots; s++) {
        dt_sha256(c->slots[s], at * sizeof(float), hex);
        MUST(strlen(c->slot_name[s]) > 0);
    }
    MUST(c->model && c->config && c->fingerprint && c->data_name && c->classes > 0 &&
         c->step >= 0 && c->std > 0);
    MUST(memchr(c->best_kind, 0, sizeof c->best_kind) && memchr(c->version, 0, sizeof c->version));
}

static void try_schema(const uint8_t *data, size_t size) {
    dt_checkpoint *c;
    next = data;
    n_next = size;
    set_file(good, n_good);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    MUST(file >= 0);
    while (n_next > 0) {
        if (take() & 1)
            change_attribute(file, "/");
        else
            change_object(file);
    }
    MUST(H5Fclose(file) >= 0);
    off_t n = lseek(fd, 0, SEEK_END);
    MUST(n > 0);
    unsigned char *bytes = malloc((size_t)n);
    MUST(bytes && pread(fd, bytes, (size_t)n, 0) == n);
    largest = 0;
    dt_status status = dt_checkpoint_parse(bytes, (size_t)n, &c);
    MUST(largest <= (size_t)n + (8 << 20)); /* HDF5 itself likes some megabytes */
    if (status == DT_OK)
        check_whole(c, (size_t)n);
    else
        MUST(status == DT_EIO && c == NULL && strstr(dt_error(), "checkpoint in memory"));
    dt_checkpoint_free(&c);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (fd < 0)
        start();
    if (size == 0)
        return 0;
    if (data[0] % 8 == 0)
        try_bytes(data + 1, size - 1);
    else if (data[0] % 8 == 1)
        try_damage(data + 1, size - 1);
    else
        try_schema(data + 1, size - 1);
    return 0;
}
