# The simulated device (tests/simdev): doubles of the CUDA libraries under their own names in build/.../tests/simdev, which
# tests/simdev/run puts in front of the real ones. Needs the CUDA headers and nvcc; nothing here is installed.
#   DT_NVCC, DT_CUDA_INCLUDE   as found for the plugin
set(dt_simdev_dir "${CMAKE_BINARY_DIR}/tests/simdev")

# dt_simdev_library(TARGET SONAME SOURCES...): versions its symbols by its name, as NVIDIA's libraries do.
function(dt_simdev_library target soname)
  list(TRANSFORM ARGN PREPEND "${CMAKE_SOURCE_DIR}/tests/simdev/" OUTPUT_VARIABLE sources)
  add_library(${target} SHARED ${sources})
  set(script "${CMAKE_BINARY_DIR}/generated/${soname}.map")
  file(WRITE "${script}.new" "${soname} { global: *; };\n")
  file(COPY_FILE "${script}.new" "${script}" ONLY_IF_DIFFERENT)
  target_link_libraries(${target} PRIVATE dt_test_warnings)
  target_compile_features(${target} PRIVATE c_std_11)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
  target_include_directories(${target} SYSTEM PRIVATE ${DT_CUDA_INCLUDE})
  # a long-lived thread and exit handlers: never unloaded, not even with the plugin
  target_compile_options(${target} PRIVATE -O3 -ffp-contract=off)
  target_link_options(${target} PRIVATE -Wl,-z,defs -Wl,-z,nodelete)
  if(NOT soname MATCHES "nccl") # NCCL's symbols have no versions
    target_link_options(${target} PRIVATE "-Wl,--version-script=${script}")
  endif()
  string(REGEX REPLACE "^lib(.*)\\.so\\.[0-9]+$" "\\1" name "${soname}")
  string(REGEX REPLACE "^.*\\.so\\.([0-9]+)$" "\\1" version "${soname}")
  set_target_properties(${target} PROPERTIES OUTPUT_NAME "${name}" SOVERSION ${version} C_VISIBILITY_PRESET hidden
                        LIBRARY_OUTPUT_DIRECTORY "${dt_simdev_dir}" EXCLUDE_FROM_ALL FALSE SKIP_BUILD_RPATH TRUE)
endfunction()

dt_simdev_library(simdev_cudart libcudart.so.13 report.c memory.c queue.c stream.c graph.c copy.c device.c launch.c exec.c)
target_link_libraries(simdev_cudart PRIVATE Threads::Threads m ${CMAKE_DL_LIBS})
dt_simdev_library(simdev_cublas libcublas.so.13 cublas.c)
dt_simdev_library(simdev_cudnn libcudnn.so.9 cudnn.c dnn_run.c)
dt_simdev_library(simdev_nccl libnccl.so.2 nccl.c)
foreach(target simdev_cublas simdev_cudnn simdev_nccl)
  target_link_libraries(${target} PRIVATE simdev_cudart)
endforeach()
target_link_libraries(simdev_nccl PRIVATE rt)

# dt_simdev_kernels(TARGET OUTPUT FLAGS SOURCES...): kernels for the simulated device from the PTX that nvcc emits for them.
function(dt_simdev_kernels target output flags)
  set(ptx "")
  foreach(source IN LISTS ARGN)
    get_filename_component(name "${source}" NAME_WE)
    set(file "${CMAKE_BINARY_DIR}/generated/${target}-${name}.ptx")
    add_custom_command(OUTPUT "${file}" DEPENDS "${source}" VERBATIM COMMENT "PTX of ${name}"
      COMMAND "${DT_NVCC}" -ptx -arch=compute_75 ${flags} -I${CMAKE_SOURCE_DIR} "${source}" -o "${file}")
    list(APPEND ptx "${file}")
  endforeach()
  set(code "${CMAKE_BINARY_DIR}/generated/${target}.c")
  set(translate "${CMAKE_SOURCE_DIR}/tests/simdev/translate.py")
  add_custom_command(OUTPUT "${code}" DEPENDS ${ptx} "${translate}" VERBATIM COMMENT "${target} from PTX"
    COMMAND sh -c "python3 \"$0\" \"$@\" >${code}" "${translate}" ${ptx})
  add_library(${target} MODULE "${code}")
  # PTX wraps around and reads a register as any type
  target_compile_options(${target} PRIVATE -O2 -w -fwrapv -fno-strict-aliasing -ffp-contract=off)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
  target_include_directories(${target} SYSTEM PRIVATE "${CMAKE_SOURCE_DIR}/tests/simdev" ${DT_CUDA_INCLUDE})
  target_link_libraries(${target} PRIVATE simdev_cudart m)
  set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME "${output}" LIBRARY_OUTPUT_DIRECTORY "${dt_simdev_dir}"
                        SKIP_BUILD_RPATH TRUE)
endfunction()
