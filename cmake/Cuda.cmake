# The CUDA plugin, libdtrain_cuda.so: files named cuda* of model, dist and launch, and the kernels model/*.cu. It links cudart,
# cuDNN, cuBLAS and NCCL, never libcuda, and holds no search path: the program finds the libraries (launch/plugin.c), and
# tests put doubles in front. Sets DT_CUDA_NVCC, DT_CUDA_INCLUDE, DT_CUDA_KERNEL_FLAGS, and dt_cuda_state for the summary.
set(DT_CUDA AUTO CACHE STRING "The CUDA plugin: AUTO (where the toolkit and libraries are), ON or OFF")
set(DT_CUDA_ROOT "" CACHE PATH "Folder with include/ and lib/ of CUDA 13, cuDNN 9 and NCCL 2, as launch/fetch-cuda.sh makes one; or Python's site-packages with NVIDIA's wheels")
set(DT_CUDA_ARCHITECTURES "75;80;86;89;90;100;120" CACHE STRING
    "Compute capabilities to compile kernels for; code for later ones (PTX) is added for the last")
# One rounding an operation, as in the reference: no fused multiply-adds, no fast approximations.
set(DT_CUDA_KERNEL_FLAGS "-fmad=false")

# What is asked for comes first: CUDAToolkit_ROOT is what CMake's own module takes, as a variable and from the environment, and
# that module also knows a toolkit by an nvcc in PATH.
set(dt_cuda_roots "${DT_CUDA_ROOT}" "${CUDAToolkit_ROOT}" "$ENV{DTRAIN_CUDA_ROOT}" /opt/dtrain-cuda "$ENV{CUDA_HOME}"
    "$ENV{CUDAToolkit_ROOT}" /usr/local/cuda)
find_package(CUDAToolkit QUIET)
if(CUDAToolkit_FOUND)
  get_filename_component(folder "${CUDAToolkit_BIN_DIR}" DIRECTORY)
  list(APPEND dt_cuda_roots "${folder}")
endif()
list(REMOVE_ITEM dt_cuda_roots "")
set(roots ${dt_cuda_roots})
set(dt_cuda_roots "")
foreach(root IN LISTS roots) # wheels lie in nvidia/cu13, nvidia/cudnn, nvidia/nccl, and have no libX.so, only libX.so.N
  file(GLOB folders "${root}/nvidia/*/include")
  list(TRANSFORM folders REPLACE "/include$" "")
  list(APPEND dt_cuda_roots "${root}" ${folders})
endforeach()
find_program(DT_CUDA_NVCC nvcc HINTS ${dt_cuda_roots} PATH_SUFFIXES bin)
mark_as_advanced(DT_CUDA_NVCC)
set(dt_cuda_missing "")
set(DT_CUDA_INCLUDE "")
set(dt_cuda_libraries "")
set(dt_cuda_ahead "")
if(NOT DT_CUDA_NVCC)
  list(APPEND dt_cuda_missing nvcc)
endif()
foreach(part cudart:13:cuda_runtime_api.h cudnn:9:cudnn.h cublas:13:cublas_v2.h nccl:2:nccl.h)
  string(REPLACE ":" ";" part "${part}")
  list(GET part 0 name)
  list(GET part 1 version)
  list(GET part 2 header)
  find_path(DT_${name}_INCLUDE ${header} HINTS ${dt_cuda_roots} PATH_SUFFIXES include)
  find_library(DT_${name}_LIBRARY NAMES ${name} lib${name}.so.${version} NAMES_PER_DIR HINTS ${dt_cuda_roots} PATH_SUFFIXES lib lib64 targets/x86_64-linux/lib)
  mark_as_advanced(DT_${name}_INCLUDE DT_${name}_LIBRARY)
  if(NOT DT_${name}_INCLUDE OR NOT DT_${name}_LIBRARY)
    list(APPEND dt_cuda_missing ${name})
    continue()
  endif()
  list(APPEND DT_CUDA_INCLUDE "${DT_${name}_INCLUDE}")
  list(APPEND dt_cuda_libraries "${DT_${name}_LIBRARY}")
  execute_process(COMMAND "${CMAKE_OBJDUMP}" -p "${DT_${name}_LIBRARY}" OUTPUT_VARIABLE dynamic ERROR_QUIET)
  if(dynamic MATCHES "SONAME +([^ \n]+)")
    get_filename_component(folder "${DT_${name}_LIBRARY}" DIRECTORY)
    list(APPEND dt_cuda_ahead "${folder}:${CMAKE_MATCH_1}")
  endif()
endforeach()
list(REMOVE_DUPLICATES DT_CUDA_INCLUDE)

if(DT_CUDA STREQUAL "OFF")
  set(dt_cuda_state "off (DT_CUDA)")
elseif(DT_SANITIZE OR DT_FUZZ)
  set(dt_cuda_state "off (sanitizers)")
elseif(dt_cuda_missing)
  list(JOIN dt_cuda_missing ", " dt_cuda_missing)
  set(dt_cuda_state "off (not found: ${dt_cuda_missing}; launch/fetch-cuda.sh gets them)")
else()
  set(dt_cuda_state "on")
endif()
if(NOT dt_cuda_state STREQUAL "on")
  if(DT_CUDA STREQUAL "ON")
    message(FATAL_ERROR "DT_CUDA=ON, but the CUDA plugin is ${dt_cuda_state}")
  endif()
  return()
endif()

set(dt_cuda_code "")
foreach(architecture IN LISTS DT_CUDA_ARCHITECTURES)
  list(APPEND dt_cuda_code "-gencode=arch=compute_${architecture},code=sm_${architecture}")
endforeach()
# PTX of the last one is for devices to come, of the first one for those between that run no other's code (integrated ones).
foreach(at 0 -1)
  list(GET DT_CUDA_ARCHITECTURES ${at} architecture)
  list(APPEND dt_cuda_code "-gencode=arch=compute_${architecture},code=compute_${architecture}")
endforeach()
list(REMOVE_DUPLICATES dt_cuda_code)
set(dt_cuda_includes "")
foreach(folder IN LISTS DT_CUDA_INCLUDE)
  list(APPEND dt_cuda_includes -isystem "${folder}")
endforeach()

# dt_cuda_object(SOURCE OBJECT): compiles one file of kernels. Spilled registers and local memory are errors, as warnings.
function(dt_cuda_object source object)
  set(strict "")
  if(DT_WERROR)
    set(strict -Werror all-warnings -Xcompiler=-Werror)
  endif()
  add_custom_command(OUTPUT "${object}" DEPENDS "${source}" DEPFILE "${object}.d" VERBATIM
    COMMENT "Building CUDA object ${object}"
    COMMAND "${DT_CUDA_NVCC}" -c -O3 -std=c++17 ${DT_CUDA_KERNEL_FLAGS} ${dt_cuda_code} --threads 2 -ccbin c++
            -Xptxas=-warn-spills,-warn-lmem-usage ${strict} -Xcompiler=-fPIC,-fvisibility=hidden,-Wall,-Wextra
            -I "${CMAKE_SOURCE_DIR}" ${dt_cuda_includes} -MD -MF "${object}.d" "${source}" -o "${object}")
endfunction()

file(GLOB dt_cuda_sources CONFIGURE_DEPENDS model/cuda*.c dist/cuda*.c launch/cuda*.c)
file(GLOB dt_cuda_kernels CONFIGURE_DEPENDS model/cuda*.cu)
set(dt_cuda_objects "")
foreach(source IN LISTS dt_cuda_kernels)
  get_filename_component(name "${source}" NAME_WE)
  set(object "${CMAKE_BINARY_DIR}/cuda/${name}.o")
  dt_cuda_object("${source}" "${object}")
  list(APPEND dt_cuda_objects "${object}")
endforeach()
file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/cuda")
add_custom_target(dt_cuda_kernels DEPENDS ${dt_cuda_objects}) # several programs link them: compiled once
set(script "${CMAKE_BINARY_DIR}/generated/plugin.map")
file(WRITE "${script}" "{ global: dtrain_cuda_plugin; local: *; };\n")

# Its own objects are a library too: tests of the back end link them without the program.
add_library(dt_cuda OBJECT ${dt_cuda_sources})
add_dependencies(dt_cuda dt_version)
target_include_directories(dt_cuda SYSTEM PUBLIC ${DT_CUDA_INCLUDE})
target_link_libraries(dt_cuda PUBLIC dt_common PRIVATE dt_warnings)
add_library(dtrain_cuda MODULE $<TARGET_OBJECTS:dt_cuda> ${dt_cuda_objects})
add_dependencies(dtrain_cuda dt_cuda_kernels)
target_link_libraries(dtrain_cuda PRIVATE dt_common ${dt_cuda_libraries} stdc++)
target_link_options(dtrain_cuda PRIVATE "-Wl,--version-script=${script}" -Wl,-Bsymbolic)
set_target_properties(dtrain_cuda PROPERTIES LINKER_LANGUAGE C SKIP_BUILD_RPATH TRUE INSTALL_RPATH ""
                      INSTALL_RPATH_USE_LINK_PATH FALSE LIBRARY_OUTPUT_DIRECTORY "$<TARGET_FILE_DIR:dtrain>")
install(TARGETS dtrain_cuda LIBRARY DESTINATION lib/dtrain)

list(JOIN dt_cuda_ahead " " dt_cuda_ahead)
target_compile_definitions(dt_launch PRIVATE "DT_CUDA_LIBRARIES=\"${dt_cuda_ahead}\"")
# The plugin uses the program's own functions: all of the floors are in it, and visible.
set(dt_whole dt_warnings "-Wl,--whole-archive" ${dt_floors} "-Wl,--no-whole-archive")
set_target_properties(dtrain PROPERTIES ENABLE_EXPORTS TRUE LINK_LIBRARIES "${dt_whole}")
add_dependencies(dtrain dtrain_cuda) # one is no use without the other

# dt_cuda_test(NAME SOURCES...): tests/cuda_NAME.c as build/.../tests/cuda_NAME, for tests/cli_cuda_NAME.sh to run on the simulated
# device, and for tests/gpu.sh to run on GPUs.
function(dt_cuda_test name)
  add_executable(cuda_${name} tests/cuda_${name}.c ${ARGN})
  add_dependencies(cuda_${name} dt_version dt_cuda_kernels)
  target_include_directories(cuda_${name} SYSTEM PRIVATE ${DT_CUDA_INCLUDE})
  target_link_libraries(cuda_${name} PRIVATE dt_test_warnings dt_dist dt_model dt_io dt_common ${dt_cuda_libraries} stdc++)
  set_target_properties(cuda_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests" SKIP_BUILD_RPATH TRUE)
endfunction()
if(DT_TESTS)
  dt_cuda_test(sums dist/cuda_nccl.c dist/cuda_stage.c)
  file(GLOB dt_cuda_model CONFIGURE_DEPENDS model/cuda*.c)
  dt_cuda_test(contract ${dt_cuda_model} ${dt_cuda_objects})
  dt_cuda_test(steps ${dt_cuda_model} ${dt_cuda_objects})
  dt_cuda_test(ops ${dt_cuda_model} ${dt_cuda_objects})
  dt_cuda_test(planning model/cuda_dnn.c)
  set_target_properties(cuda_planning PROPERTIES SKIP_BUILD_RPATH FALSE) # for the real cuDNN
endif()
