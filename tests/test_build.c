/* tests/test_build.c - the record by which ranks find out that they are not one program. Two
 * programs beside each other: tests/cli_doctor.sh. */
#include "t.h"

#include "launch/build.h"

int main(void) {
    T_BEGIN(10);
    dt_build all[5];
    for (int r = 0; r < 5; r++)
        all[r] = dt_build_own;
    T_CHECK(strlen(all[0].version) > 3 && all[0].options_bytes > 0);
    T_CHECK(dt_build_find_other(all, 1) == -1);
    T_CHECK(dt_build_find_other(all, 5) == -1);
    all[4].options_bytes++;
    T_CHECK(dt_build_find_other(all, 5) == 4);
    T_CHECK(dt_build_find_other(all, 4) == -1);
    all[2].version[0] ^= 1;
    T_CHECK(dt_build_find_other(all, 5) == 2);
    return t_finish();
}
