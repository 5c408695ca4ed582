#!/usr/bin/env bash
# fetch-cuda.sh [--toolkit] [DIR]: cuDNN, cuBLAS, NCCL and NVRTC for CUDA 13 into DIR (include, lib), from NVIDIA's Python
# wheels, checked by SHA-256; 1.1 GB to download, 1.5 GB in place. --toolkit, or where there is no nvcc 13: the compiler, the
# runtime and their headers too. DIR is $DTRAIN_CUDA_ROOT or /opt/dtrain-cuda, where CMake looks without being told;
# another folder: cmake --preset release -DDT_CUDA_ROOT=DIR. What is there already is left alone.
set -euo pipefail
toolkit=auto mark=.made-by-fetch-cuda
[ "${1:-}" != --toolkit ] || { toolkit=yes && shift; }
if [ $# -gt 1 ] || [[ ${1:-} == -* ]]; then
    echo "usage: $0 [--toolkit] [DIR]" >&2
    exit 2
fi
folder=$(realpath -m "${1:-${DTRAIN_CUDA_ROOT:-/opt/dtrain-cuda}}")

has_nvcc() {
    local nvcc
    for nvcc in "$(command -v nvcc || true)" "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc"; do
        [ ! -x "$nvcc" ] || ! "$nvcc" --version | grep -q 'release 13\.' || return 0
    done
    return 1
}
if [ "$toolkit" = auto ]; then
    toolkit=yes
    ! has_nvcc || toolkit=no
fi
if [ -e "$folder/lib/libcudnn.so" ] && { [ "$toolkit" = no ] || [ -e "$folder/bin/nvcc" ]; }; then
    exit 0
fi
if [ "$(uname -m)" != x86_64 ]; then
    echo "fetch-cuda.sh: the checksums are of wheels for x86_64, this is $(uname -m): install cuDNN 9, cuBLAS 13 and NCCL 2" \
        "from NVIDIA's packages, then cmake -DDT_CUDA_ROOT=DIR" >&2
    exit 1
fi

wheels() { # SHA-256, package, version: what is linked
    cat <<'LIST'
ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171 nvidia-cublas 13.1.0.3
d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf nvidia-cudnn-cu13 9.19.0.56
e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42 nvidia-nccl-cu13 2.28.9
ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575 nvidia-cuda-nvrtc 13.0.88
LIST
}
toolkit_wheels() { # what compiles
    cat <<'LIST'
56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03 nvidia-cuda-nvcc 13.0.88
2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4 nvidia-cuda-crt 13.0.88
c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0 nvidia-nvvm 13.0.88
7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548 nvidia-cuda-runtime 13.0.96
e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649 nvidia-cuda-cccl 13.0.85
4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4 nvidia-nvtx 13.0.85
LIST
}

# only a folder that this script made is ever replaced
if [ -d "$folder" ] && [ ! -e "$folder/$mark" ] && [ -n "$(ls -A "$folder")" ]; then
    echo "fetch-cuda.sh: $folder is not empty and was not made by this script: name a new folder" >&2
    exit 1
fi
mkdir -p "$(dirname "$folder")"
scratch=$(mktemp -d "$folder.XXXXXX") # beside DIR, so that the last step is a rename
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
while read -r sum package version; do
    if ! python3 -m pip download -q --disable-pip-version-check --no-deps --no-cache-dir --only-binary :all: -d . \
        "$package==$version" >pip.log 2>&1; then
        tail -n 5 pip.log >&2
        echo "fetch-cuda.sh: pip could not download $package $version" >&2
        exit 1
    fi
    wheel=$(echo "${package//-/_}"-*.whl)
    echo "$sum  $wheel" | sha256sum --quiet -c - || { echo "fetch-cuda.sh: $wheel is not the one expected" >&2 && exit 1; }
    python3 -m zipfile -e "$wheel" wheel
    rm "$wheel"
done < <(wheels && { [ "$toolkit" = no ] || toolkit_wheels; })
mkdir -p tree
for part in wheel/nvidia/*/; do
    cp -rl "$part." tree/
done
# linkers look for names without a version
for library in tree/lib/lib{cudart,cublas,cudnn,nccl,nvrtc}.so.*; do
    [ ! -e "$library" ] || ln -sf "$(basename "$library")" "${library%.so.*}.so"
done
rm -f tree/__init__.py tree/*/__init__.py
[ "$toolkit" = no ] || chmod a+x tree/bin/* tree/nvvm/bin/*
chmod -R u+rwX,go+rX tree
touch "tree/$mark"
rm -rf "$folder"
mv tree "$folder"
