#!/usr/bin/env bash
# fetch-onednn.sh DIR: oneDNN 3.2 into DIR (include, lib), from its two Python wheels for the CPU with GNU OpenMP, checked by
# SHA-256. For systems whose package is older than 2.6 (Ubuntu 22.04), and for testing against 3.x where 2.x is installed:
#   cmake --preset release -DOneDNN_ROOT=DIR
# A folder build/onednn in this tree is found without being named. What is there already is left alone.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
folder=$(realpath -m "$1")
[ ! -e "$folder/lib/libdnnl.so.3" ] || exit 0

version=2023.2.0
wheels="onednn_cpu_gomp onednn_devel_cpu_gomp"
checksums() {
    cat <<'SUMS'
2f22a54d6a890ed14bfa185d42a4be65d8b5b1df85dc1f0f3a9abe31620416fb  onednn_cpu_gomp-2023.2.0-py2.py3-none-manylinux1_x86_64.whl
9763c69e8c907e119056bd52ad918ca84ac9ba939d130a99dfa95ccca3e5e284  onednn_devel_cpu_gomp-2023.2.0-py2.py3-none-manylinux1_x86_64.whl
SUMS
}

mkdir -p "$(dirname "$folder")"
scratch=$(mktemp -d "$folder.XXXXXX") # beside DIR, so that the last step is a rename
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
for wheel in $wheels; do
    if ! python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: --platform manylinux1_x86_64 \
        -d . "${wheel//_/-}==$version" >pip.log 2>&1; then
        tail -n 5 pip.log >&2
        echo "fetch-onednn.sh: pip could not download ${wheel//_/-} $version" >&2
        exit 1
    fi
done
checksums | sha256sum --quiet -c - || { echo "fetch-onednn.sh: a wheel is not the one expected" >&2; exit 1; }
for wheel in $wheels; do
    python3 -m zipfile -e "$wheel-$version"-*.whl .
    mkdir -p tree
    cp -r "$wheel-$version.data/data/." tree/
done
ln -sf libdnnl.so.3 tree/lib/libdnnl.so # the wheel carries three copies
ln -sf libdnnl.so.3 tree/lib/libdnnl.so.3.2
chmod -R u+rwX,go+rX tree
rm -rf "$folder"
mv tree "$folder"
