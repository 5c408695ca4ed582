# Finds GNU libmicrohttpd (header microhttpd.h). Gives Microhttpd_FOUND, Microhttpd_VERSION, Microhttpd_LIBRARY, target
# Microhttpd::Microhttpd.
find_path(Microhttpd_INCLUDE_DIR microhttpd.h)
find_library(Microhttpd_LIBRARY microhttpd)
mark_as_advanced(Microhttpd_INCLUDE_DIR Microhttpd_LIBRARY)

if(Microhttpd_INCLUDE_DIR)
  file(STRINGS "${Microhttpd_INCLUDE_DIR}/microhttpd.h" _line REGEX "^#define MHD_VERSION 0x") # 0x00097500: 0.9.75
  if(_line MATCHES "0x(..)(..)(..)")
    set(Microhttpd_VERSION "")
    foreach(_part IN ITEMS "${CMAKE_MATCH_1}" "${CMAKE_MATCH_2}" "${CMAKE_MATCH_3}")
      math(EXPR _part "1${_part} - 100") # without leading zeros
      list(APPEND Microhttpd_VERSION "${_part}")
    endforeach()
    list(JOIN Microhttpd_VERSION "." Microhttpd_VERSION)
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Microhttpd REQUIRED_VARS Microhttpd_LIBRARY Microhttpd_INCLUDE_DIR
                                  VERSION_VAR Microhttpd_VERSION)

if(Microhttpd_FOUND AND NOT TARGET Microhttpd::Microhttpd)
  add_library(Microhttpd::Microhttpd UNKNOWN IMPORTED)
  set_target_properties(Microhttpd::Microhttpd PROPERTIES IMPORTED_LOCATION "${Microhttpd_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${Microhttpd_INCLUDE_DIR}")
endif()
