# dt_warnings: the warnings that all code of this project is clean under; dt_test_warnings: tests may convert freely.
# Not format-truncation: snprintf cuts overlong names on purpose, and gcc's guesses change with the optimisation level.
# Errors with -DDT_WERROR=ON only, as a newer compiler may warn of more than we have seen.
add_library(dt_test_warnings INTERFACE)
target_compile_options(dt_test_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
  $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>
  $<$<BOOL:${DT_WERROR}>:-Werror>)

add_library(dt_warnings INTERFACE)
target_link_libraries(dt_warnings INTERFACE dt_test_warnings)
target_compile_options(dt_warnings INTERFACE -Wconversion)
