# The simulated device (tests/simdev): doubles of the CUDA libraries under their own names in build/.../tests/simdev, which
# tests/simdev/run puts in front of the real ones. Built where the plugin is, of the same headers and by the same nvcc, and
# never installed.
if(NOT dt_cuda_state STREQUAL "on" OR NOT CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  return()
endif()
find_package(Threads REQUIRED)
find_package(Python3 REQUIRED COMPONENTS Interpreter)
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
  target_compile_options(${target} PRIVATE -O3 -ffp-contract=off)
  # a thread of its own and exit handlers: never unloaded, not even with the plugin
  target_link_options(${target} PRIVATE -Wl,-z,defs -Wl,-z,nodelete)
  if(NOT soname MATCHES "nccl") # NCCL's symbols have no versions
    target_link_options(${target} PRIVATE "-Wl,--version-script=${script}")
  endif()
  string(REGEX REPLACE "^lib(.*)\\.so\\.[0-9]+$" "\\1" name "${soname}")
  string(REGEX REPLACE "^.*\\.so\\.([0-9]+)$" "\\1" version "${soname}")
  set_target_properties(${target} PROPERTIES OUTPUT_NAME "${name}" SOVERSION ${version} C_VISIBILITY_PRESET hidden
                        LIBRARY_OUTPUT_DIRECTORY "${dt_simdev_dir}" SKIP_BUILD_RPATH TRUE)
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
    add_custom_command(OUTPUT "${file}" DEPENDS "${source}" DEPFILE "${file}.d" VERBATIM COMMENT "PTX of ${name}"
      COMMAND "${DT_CUDA_NVCC}" -ptx -O3 -std=c++17 -arch=compute_80 ${flags} -I${CMAKE_SOURCE_DIR}
              ${dt_cuda_includes} "${source}" -MD -MF "${file}.d" -o "${file}")
    list(APPEND ptx "${file}")
  endforeach()
  set(code "${CMAKE_BINARY_DIR}/generated/${target}.c")
  set(translate "${CMAKE_SOURCE_DIR}/tests/simdev/translate.py")
  add_custom_command(OUTPUT "${code}" DEPENDS ${ptx} "${translate}" VERBATIM COMMENT "${target} from PTX"
    COMMAND sh -c "\"$@\" >${code}" sh "${Python3_EXECUTABLE}" "${translate}" ${ptx})
  add_library(${target} MODULE "${code}")
  # PTX wraps around and reads a register as any type
  target_compile_options(${target} PRIVATE -O2 -w -fwrapv -fno-strict-aliasing -ffp-contract=off)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
  target_include_directories(${target} SYSTEM PRIVATE "${CMAKE_SOURCE_DIR}/tests/simdev" ${DT_CUDA_INCLUDE})
  target_link_libraries(${target} PRIVATE simdev_cudart m)
  set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME "${output}" LIBRARY_OUTPUT_DIRECTORY "${dt_simdev_dir}"
                        SKIP_BUILD_RPATH TRUE)
endfunction()

# The kernels of the plugin.
if(dt_cuda_kernels)
  dt_simdev_kernels(simdev_kernels libsimdev_kernels "${DT_CUDA_KERNEL_FLAGS}" ${dt_cuda_kernels})
endif()

# Small programs, right and wrong ones, for tests/cli_simdev.sh.
set(dt_probe_object "${CMAKE_BINARY_DIR}/generated/probe_kernels.o")
set(dt_probe_source "${CMAKE_SOURCE_DIR}/tests/simdev/probe_kernels.cu")
set(dt_probe_header "${CMAKE_SOURCE_DIR}/tests/simdev/probe_kernels.h")
dt_simdev_kernels(simdev_probe_kernels probe_kernels "-fmad=false" "${dt_probe_source}")
add_custom_command(OUTPUT "${dt_probe_object}" DEPENDS "${dt_probe_source}" "${dt_probe_header}" VERBATIM
  COMMAND "${DT_CUDA_NVCC}" -O2 -arch=sm_75 -fmad=false -Xcompiler -fPIC -Werror all-warnings -I${CMAKE_SOURCE_DIR}
          -c "${dt_probe_source}" -o "${dt_probe_object}")
add_executable(simdev_probe tests/simdev/probe.c "${dt_probe_object}")
target_include_directories(simdev_probe PRIVATE "${CMAKE_SOURCE_DIR}")
target_include_directories(simdev_probe SYSTEM PRIVATE ${DT_CUDA_INCLUDE})
target_link_libraries(simdev_probe PRIVATE dt_test_warnings simdev_cudart m stdc++)
set_target_properties(simdev_probe PROPERTIES OUTPUT_NAME probe RUNTIME_OUTPUT_DIRECTORY "${dt_simdev_dir}"
                      SKIP_BUILD_RPATH TRUE)

add_executable(simdev_probe_nccl tests/simdev/probe_nccl.c)
target_compile_definitions(simdev_probe_nccl PRIVATE _GNU_SOURCE)
target_include_directories(simdev_probe_nccl SYSTEM PRIVATE ${DT_CUDA_INCLUDE})
target_link_libraries(simdev_probe_nccl PRIVATE dt_test_warnings simdev_cudart simdev_nccl)
set_target_properties(simdev_probe_nccl PROPERTIES OUTPUT_NAME probe_nccl RUNTIME_OUTPUT_DIRECTORY "${dt_simdev_dir}"
                      SKIP_BUILD_RPATH TRUE)

add_executable(simdev_probe_dnn tests/simdev/probe_dnn.c model/cuda_dnn.c)
target_compile_definitions(simdev_probe_dnn PRIVATE _GNU_SOURCE)
target_include_directories(simdev_probe_dnn SYSTEM PRIVATE ${DT_CUDA_INCLUDE})
target_link_libraries(simdev_probe_dnn PRIVATE dt_test_warnings dt_model dt_io dt_common simdev_cudart simdev_cudnn m)
set_target_properties(simdev_probe_dnn PROPERTIES OUTPUT_NAME probe_dnn RUNTIME_OUTPUT_DIRECTORY "${dt_simdev_dir}"
                      SKIP_BUILD_RPATH TRUE)

# The double of cuDNN beside the real one, for tests/cli_simdev_dnn.sh; it opens both itself.
add_executable(simdev_shapes tests/simdev/shapes.c)
target_compile_definitions(simdev_shapes PRIVATE _GNU_SOURCE)
target_include_directories(simdev_shapes SYSTEM PRIVATE ${DT_CUDA_INCLUDE})
target_link_libraries(simdev_shapes PRIVATE dt_test_warnings ${CMAKE_DL_LIBS})
set_target_properties(simdev_shapes PROPERTIES OUTPUT_NAME shapes RUNTIME_OUTPUT_DIRECTORY "${dt_simdev_dir}")
list(JOIN DT_CUDA_INCLUDE ":" include)
list(APPEND dt_test_env "SIMDEV_INCLUDE=${include}" "SIMDEV_REAL_CUDNN=${DT_cudnn_LIBRARY}" "SIMDEV_DIR=${dt_simdev_dir}" "SIMDEV_NVCC=${DT_CUDA_NVCC}")
