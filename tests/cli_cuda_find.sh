#!/usr/bin/env bash
# cli_cuda_find.sh: CMake finds the CUDA libraries where they are asked for: a folder named by CUDAToolkit_ROOT, and NVIDIA's wheels
# as pip lays them out, one folder a library and no libX.so among them. Only configures.
# timeout: 200
set -euo pipefail
cache=$(dirname "$(dirname "${SIMDEV_DIR:-/none/none}")")/CMakeCache.txt
if [ -z "${SIMDEV_DIR:-}" ] || [ ! -e "$cache" ]; then
    echo "no CUDA libraries in this build"
    exit 77
fi
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
cached() { sed -n "s/^$1:[A-Z]*=//p" "${2:-$cache}"; }
toolkit=$(dirname "$(dirname "$(cached DT_CUDA_NVCC)")")
lay() { # lay FOLDER LIBRARY FILE: the library and its headers, by links
    mkdir -p "$1/lib"
    ln -sf "$(realpath "$(cached "DT_$2_LIBRARY")")" "$1/lib/$3"
    ln -sfn "$(cached "DT_$2_INCLUDE")" "$1/include"
}
configure() { # configure FOLDER OPTION...
    local folder=$1
    shift
    env -u CUDA_HOME -u CUDAToolkit_ROOT -u DTRAIN_CUDA_ROOT cmake -S "$SRC" -B "$folder" -DDT_CUDA=ON -DDT_TESTS=OFF "$@" >said 2>&1
}
found() { # found FOLDER NAME PATH
    [ "$(cached "$2" "$1/CMakeCache.txt")" = "$3" ]
}

mkdir -p asked/lib
ln -s "$toolkit/bin" asked/bin
ln -s "$toolkit/include" asked/include
lay asked cudart libcudart.so
check "CUDAToolkit_ROOT" configure a -DCUDAToolkit_ROOT="$PWD/asked"
check "... its compiler" found a DT_CUDA_NVCC "$PWD/asked/bin/nvcc"
check "... its runtime" found a DT_cudart_LIBRARY "$PWD/asked/lib/libcudart.so"

site=$PWD/site-packages
lay "$site/nvidia/cu13" cudart libcudart.so.13
lay "$site/nvidia/blas13" cublas libcublas.so.13
lay "$site/nvidia/cudnn" cudnn libcudnn.so.9
lay "$site/nvidia/nccl" nccl libnccl.so.2
check "wheels" configure b -DDT_CUDA_ROOT="$site"
check "... the runtime" found b DT_cudart_LIBRARY "$site/nvidia/cu13/lib/libcudart.so.13"
check "... cuBLAS" found b DT_cublas_LIBRARY "$site/nvidia/blas13/lib/libcublas.so.13"
check "... cuDNN" found b DT_cudnn_LIBRARY "$site/nvidia/cudnn/lib/libcudnn.so.9"
check "... NCCL" found b DT_nccl_LIBRARY "$site/nvidia/nccl/lib/libnccl.so.2"
finish
