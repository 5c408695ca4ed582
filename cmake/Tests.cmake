# Tests are found by name:
#   tests/test_X.c   one process                      -> ctest X           label unit
#   tests/mpi_X.c    run by mpirun on several ranks   -> ctest mpi_X.n2 .. label mpi    (ranks: 1 2 3 4)
#   tests/cli_X.sh   the whole program                -> ctest cli_X       label cli
# and the first five lines of a file may say, in a comment, "ranks: 1 2 3 4", "timeout: 120" (seconds, 60 by default) and
# "tier: all" (label long: only launch/test.sh --all runs it). In a build with sanitizers a cli test is long unless it says
# "sanitizers: yes": those whose input our own code takes apart. Each runs in an empty folder of its own.
set(dt_n_tests 0)

# Everybody may be root here, and may have fewer cores than ranks: launch/mpi-env.sh holds the reasons.
file(STRINGS "${CMAKE_SOURCE_DIR}/launch/mpi-env.sh" lines REGEX "^export [A-Z]")
set(dt_test_env "")
foreach(line IN LISTS lines)
  string(REGEX REPLACE "^export ([^ ]+)$" "\\1" pair "${line}")
  list(APPEND dt_test_env "${pair}")
endforeach()
list(APPEND dt_test_env "SRC=${CMAKE_SOURCE_DIR}" "MPIRUN=${MPIEXEC_EXECUTABLE}"
  "CUDA_TESTS=${CMAKE_BINARY_DIR}/tests"
  "LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/lsan.supp:print_suppressions=0"
  "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/tsan.supp:halt_on_error=1"
  "UBSAN_OPTIONS=print_stacktrace=1")

# dt_header(FILE KEY DEFAULT VAR): what "KEY: value" in the first five lines says.
function(dt_header file key default var)
  file(STRINGS "${file}" head LIMIT_COUNT 5)
  set(value "${default}")
  if("${head}" MATCHES "[/#]\\*? *${key}: *([a-z0-9 ]*[a-z0-9])")
    set(value "${CMAKE_MATCH_1}")
  endif()
  set(${var} "${value}" PARENT_SCOPE)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
endfunction()

# dt_glob(VAR PATTERN): the files of tests/ that match, less those that DT_TEST_FILTER leaves out.
function(dt_glob var pattern)
  file(GLOB files CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tests/${pattern}")
  if(DT_TEST_FILTER)
    list(FILTER files INCLUDE REGEX "/tests/[^/]*(${DT_TEST_FILTER})[^/]*$")
  endif()
  set(${var} "${files}" PARENT_SCOPE)
endfunction()

# dt_test(NAME FILE LABEL PROCESSORS COMMAND...)
function(dt_test name file label processors)
  dt_header("${file}" timeout 60 timeout)
  dt_header("${file}" tier "ci" tier)
  dt_header("${file}" sanitizers "no" sanitizers)
  if(tier STREQUAL "all" OR (DT_SANITIZE AND label STREQUAL "cli" AND NOT sanitizers))
    list(APPEND label long)
  endif()
  if(DT_SANITIZE)
    math(EXPR timeout "${timeout} * 5")
  endif()
  add_test(NAME ${name} COMMAND bash "${CMAKE_SOURCE_DIR}/tests/in-temp.sh" ${ARGN})
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "${dt_test_env}" TIMEOUT ${timeout} PROCESSORS ${processors}
                       LABELS "${label}" SKIP_RETURN_CODE 77)
  math(EXPR n "${dt_n_tests} + 1")
  set(dt_n_tests ${n} PARENT_SCOPE)
endfunction()

function(dt_test_program name file)
  add_executable(${name} "${file}" ${dt_keep_libraries})
  add_dependencies(${name} dt_version)
  # A test of a lower floor builds without the upper one. Tests may look behind the public headers, so they see every library.
  set(floors ${dt_floors})
  file(STRINGS "${file}" launch REGEX "^#include \"launch/")
  if(NOT launch)
    list(REMOVE_ITEM floors dt_launch)
  endif()
  target_link_libraries(${name} PRIVATE dt_test_warnings ${floors} dt_common MPI::MPI_C hdf5::hdf5 OneDNN::dnnl
                        Jansson::Jansson ZLIB::ZLIB OpenSSL::Crypto PNG::PNG JPEG::JPEG)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
endfunction()

dt_glob(files "test_*.c")
foreach(file IN LISTS files)
  get_filename_component(program "${file}" NAME_WE)
  string(REGEX REPLACE "^test_" "" name "${program}")
  dt_test_program(${program} "${file}")
  dt_test(${name} "${file}" unit 1 $<TARGET_FILE:${program}>)
endforeach()

dt_glob(files "mpi_*.c")
foreach(file IN LISTS files)
  get_filename_component(program "${file}" NAME_WE)
  dt_test_program(${program} "${file}")
  dt_header("${file}" ranks "1 2 3" ranks)
  separate_arguments(ranks)
  foreach(n IN LISTS ranks)
    dt_test(${program}.n${n} "${file}" mpi ${n} "${MPIEXEC_EXECUTABLE}" ${MPIEXEC_NUMPROC_FLAG} ${n}
            $<TARGET_FILE:${program}>)
  endforeach()
endforeach()

include(Simdev)
dt_glob(files "cli_*.sh")
if(TARGET dtrain)
  list(APPEND dt_test_env "DTRAIN=$<TARGET_FILE:dtrain>")
  foreach(file IN LISTS files)
    get_filename_component(name "${file}" NAME_WE)
    dt_test(${name} "${file}" cli 1 bash "${file}") # half of their time they wait, so two run beside each other
  endforeach()
endif()

# The house rules, looked for in the text of the tree.
foreach(name layers wording)
  dt_test(${name} "${CMAKE_SOURCE_DIR}/tests/${name}.sh" house 1 bash "${CMAKE_SOURCE_DIR}/tests/${name}.sh")
endforeach()
