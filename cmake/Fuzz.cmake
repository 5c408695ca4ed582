# Every tests/fuzz/fuzz_*.c is a libFuzzer program of its own.
file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_*.c")
foreach(source IN LISTS sources)
  get_filename_component(name "${source}" NAME_WE)
  add_executable(${name} "${source}")
  add_dependencies(${name} dt_version)
  target_link_libraries(${name} PRIVATE ${dt_floors} hdf5::hdf5)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endforeach()
