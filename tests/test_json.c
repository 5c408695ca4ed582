/* JSON: what the writer writes is valid for any bytes and any number, and the reader gives it back.
 */
#include <stdint.h>
#include "io/json.h"
#include "tests/t.h"

static void test_writer(void) {
    dt_json j = {0};
    dt_json_open(&j, NULL, '{');
    dt_json_int(&j, "epoch", 3);
    dt_json_open(&j, "list", '[');
    dt_json_num(&j, NULL, 0.1);
    dt_json_bool(&j, NULL, true);
    dt_json_open(&j, NULL, '{');
    dt_json_close(&j, '}');
    dt_json_close(&j, ']');
    dt_json_str(&j, "none", NULL);
    dt_json_raw(&j, "raw", "[1]");
    dt_json_str(&j, "s", "a\"b\\c\n\t\x01");
    dt_json_close(&j, '}');
    T_CHECK(!j.failed);
    T_CHECK(strcmp(j.text, "{\"epoch\":3,\"list\":[0.1,true,{}],\"none\":null,\"raw\":[1],"
                           "\"s\":\"a\\\"b\\\\c\\n\\t\\u0001\"}") == 0);
    T_CHECK(j.n == strlen(j.text));
    dt_json_free(&j);
    T_CHECK(j.text == NULL);
    dt_json_free(&j);
}

/* Keys and values, one a line. */
static void collect(void *ctx, const char *key, const char *value) {
    char *out = ctx;
    size_t n = strlen(out);
    snprintf(out + n, 1024 - n, "%s=%s\n", key, value ? value : "(null)");
}

static void test_reader(void) {
    char got[1024] = "";
    T_OK(dt_json_each("{\"b\": \"x\\u00e9y\", \"a\": -12, \"c\": 1e-3, \"d\": false, \"e\": null,"
                      " \"f\": {\"g\": [1, 2]}, \"h\": 0.1, \"i\": true}",
                      collect, got));
    T_CHECK(strcmp(got, "b=x\xc3\xa9y\na=-12\nc=0.001\nd=false\ne=(null)\nf={\"g\":[1,2]}\n"
                        "h=0.1\ni=true\n") == 0);
    got[0] = '\0';
    T_OK(dt_json_each("{}", collect, got));
    T_CHECK(got[0] == '\0');
    T_FAILS(dt_json_each("[1]", collect, got), DT_EIO, "not an object");
    T_FAILS(dt_json_each("{\"a\": 1", collect, got), DT_EIO, "not JSON");
    T_FAILS(dt_json_each("{\"a\": 1, \"a\": 2}", collect, got), DT_EIO, "duplicate");
    T_FAILS(dt_json_each("{\"a\": 99999999999999999999}", collect, got), DT_EIO, "too big");
    T_FAILS(dt_json_each("{} x", collect, got), DT_EIO, "not JSON");
    T_FAILS(dt_json_each("", collect, got), DT_EIO, "not JSON");
    T_CHECK(got[0] == '\0');
}

static void keep(void *ctx, const char *key, const char *value) {
    (void)key;
    snprintf(ctx, 64, "%s", value ? value : "null");
}

static void number_to_text(double x, char text[64]) {
    dt_json j = {0};
    dt_json_open(&j, NULL, '{');
    dt_json_num(&j, "x", x);
    dt_json_close(&j, '}');
    T_OK(dt_json_each(j.text, keep, text));
    dt_json_free(&j);
}

static void test_numbers(void) {
    static const double values[] = {0,
                                    1,
                                    -1,
                                    0.1,
                                    1.0 / 3,
                                    1e300,
                                    5e-324,
                                    1e-300,
                                    1e15 / 7,
                                    0.30000000000000004,
                                    123456789.123456789,
                                    1e22};
    char text[64];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        number_to_text(values[i], text);
        T_CHECK(strtod(text, NULL) == values[i]);
    }
    number_to_text(0.05, text);
    T_CHECK(strcmp(text, "0.05") == 0);
    number_to_text(NAN, text);
    T_CHECK(strcmp(text, "null") == 0);
    number_to_text(-INFINITY, text);
    T_CHECK(strcmp(text, "null") == 0);
    dt_json j = {0};
    dt_json_open(&j, NULL, '[');
    dt_json_int(&j, NULL, INT64_MIN);
    dt_json_int(&j, NULL, INT64_MAX);
    dt_json_close(&j, ']');
    T_CHECK(strcmp(j.text, "[-9223372036854775808,9223372036854775807]") == 0);
    dt_json_free(&j);
}

static void string_back(const char *value, char text[64]) {
    dt_json j = {0};
    dt_json_open(&j, NULL, '{');
    dt_json_str(&j, value, value); /* as a key, too */
    dt_json_close(&j, '}');
    T_OK(dt_json_each(j.text, keep, text));
    dt_json_free(&j);
}

#define REPLACED "\xef\xbf\xbd"
static void test_strings(void) {
    static const char *const same[] = {"",
                                       "plain",
                                       "\x7f\x1f\b\r",
                                       "\xc3\xa9",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80",
                                       "\xed\x9f\xbf",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[][2] = {
        {"a\xff", "a" REPLACED},
        {"\x80z", REPLACED "z"},
        {"\xc3", REPLACED},              /* cut */
        {"\xc0\xaf", REPLACED REPLACED}, /* overlong */
        {"\xe0\x80\x80", REPLACED REPLACED REPLACED},
        {"\xed\xa0\x80", REPLACED REPLACED REPLACED}, /* a surrogate */
        {"\xf4\x90\x80\x80", REPLACED REPLACED REPLACED REPLACED},
        {"\xe2\x82", REPLACED REPLACED},
    };
    char text[64];
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        string_back(same[i], text);
        T_CHECK(strcmp(text, same[i]) == 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        string_back(bad[i][0], text);
        T_CHECK(strcmp(text, bad[i][1]) == 0);
    }
}

/* Long enough to grow many times. */
static void test_growth(void) {
    dt_json j = {0};
    dt_json_open(&j, NULL, '{');
    for (int i = 0; i < 5000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        dt_json_int(&j, key, i);
    }
    dt_json_close(&j, '}');
    char last[64] = "";
    T_OK(dt_json_each(j.text, keep, last));
    T_CHECK(strcmp(last, "4999") == 0);
    dt_json_free(&j);
}

int main(void) {
    T_BEGIN(60);
    test_writer();
    test_reader();
    test_numbers();
    test_strings();
    test_growth();
    return t_finish();
}
