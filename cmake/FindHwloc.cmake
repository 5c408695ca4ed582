# Finds hwloc (header hwloc.h). Gives Hwloc_FOUND, Hwloc_VERSION, Hwloc_LIBRARY, target Hwloc::Hwloc.
find_path(Hwloc_INCLUDE_DIR hwloc.h)
find_path(Hwloc_CONFIG_DIR hwloc/autogen/config.h) # of its own on a system for several architectures
find_library(Hwloc_LIBRARY hwloc)
mark_as_advanced(Hwloc_INCLUDE_DIR Hwloc_CONFIG_DIR Hwloc_LIBRARY)

if(Hwloc_CONFIG_DIR)
  file(STRINGS "${Hwloc_CONFIG_DIR}/hwloc/autogen/config.h" _line REGEX "^#define HWLOC_VERSION ")
  if(_line MATCHES "\"([0-9.]+)[^\"]*\"")
    set(Hwloc_VERSION "${CMAKE_MATCH_1}")
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Hwloc REQUIRED_VARS Hwloc_LIBRARY Hwloc_INCLUDE_DIR VERSION_VAR Hwloc_VERSION)

if(Hwloc_FOUND AND NOT TARGET Hwloc::Hwloc)
  add_library(Hwloc::Hwloc UNKNOWN IMPORTED)
  set_target_properties(Hwloc::Hwloc PROPERTIES IMPORTED_LOCATION "${Hwloc_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${Hwloc_INCLUDE_DIR}")
endif()
