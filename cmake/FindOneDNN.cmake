# Finds oneDNN 2.6 or newer, with or without its own CMake files: Debian's libdnnl-dev, a build of one's own, or an
# unpacked wheel. -DOneDNN_ROOT=DIR chooses one; the one that launch/setup.sh fetches where the system's is too old is the
# last resort.
#
# Gives OneDNN_FOUND, OneDNN_VERSION, OneDNN_LIBRARY, OneDNN_THREADING (OMP, SEQ, TBB ...), target OneDNN::dnnl.
find_path(OneDNN_INCLUDE_DIR oneapi/dnnl/dnnl.h PATHS "${CMAKE_SOURCE_DIR}/build/onednn/include")
find_library(OneDNN_LIBRARY dnnl PATHS "${CMAKE_SOURCE_DIR}/build/onednn/lib")
mark_as_advanced(OneDNN_INCLUDE_DIR OneDNN_LIBRARY)

if(OneDNN_INCLUDE_DIR)
  set(_version "")
  foreach(_part MAJOR MINOR PATCH)
    # 3.x keeps the numbers in a second header
    foreach(_header dnnl_version.h dnnl_version_hash.h)
      if(EXISTS "${OneDNN_INCLUDE_DIR}/oneapi/dnnl/${_header}")
        file(STRINGS "${OneDNN_INCLUDE_DIR}/oneapi/dnnl/${_header}" _line
             REGEX "^#define DNNL_VERSION_${_part} +[0-9]+")
        if(_line MATCHES "([0-9]+)$")
          list(APPEND _version "${CMAKE_MATCH_1}")
        endif()
      endif()
    endforeach()
  endforeach()
  list(JOIN _version "." OneDNN_VERSION)

  set(OneDNN_THREADING "unknown")
  file(STRINGS "${OneDNN_INCLUDE_DIR}/oneapi/dnnl/dnnl_config.h" _line
       REGEX "^#define DNNL_CPU_THREADING_RUNTIME +DNNL_RUNTIME_")
  if(_line MATCHES "DNNL_RUNTIME_([A-Z]+)")
    set(OneDNN_THREADING "${CMAKE_MATCH_1}")
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OneDNN REQUIRED_VARS OneDNN_LIBRARY OneDNN_INCLUDE_DIR
                                  VERSION_VAR OneDNN_VERSION)

if(OneDNN_FOUND AND NOT TARGET OneDNN::dnnl)
  add_library(OneDNN::dnnl UNKNOWN IMPORTED)
  set_target_properties(OneDNN::dnnl PROPERTIES IMPORTED_LOCATION "${OneDNN_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${OneDNN_INCLUDE_DIR}")
endif()
