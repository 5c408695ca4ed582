#!/usr/bin/env bash
# layers.sh [ROOT]: the floors of the house, looked for in the #include lines of the sources.
#   - io includes nobody else's headers, model and dist include io's and their own; only tests may include everything
#   - a third-party header is seen by its own floor alone, by few .c files of it, and by no public header
# Without ROOT it checks this tree, and itself: it plants breaches in a copy and must find each of them.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

# Third-party header (a regular expression), the floor that may see it, and in how many of its files. CUDA's are for the
# files of the plugin, by their names: cuda*.
third_party() {
    cat <<'TABLE'
mpi\.h                       dist   3
hwloc(/.*)?\.h               dist   3
hdf5(_hl)?\.h                io     4
jansson\.h                   io     2
zlib\.h                      io     2
openssl/.*                   io     2
png\.h                       io     1
jpeglib\.h                   io     1
(oneapi/dnnl/)?dnnl.*\.h     model  6
omp\.h                       model  2
cuda.*_api\.h                *      12
cudnn.*\.h                   model  4
cublas.*\.h                  model  3
nccl\.h                      dist   1
microhttpd\.h                launch 1
TABLE
}

# check ROOT: prints every breach; their number is in $breaches.
breaches=0
breach() {
    printf 'layers: %s\n' "$*"
    breaches=$((breaches + 1))
}
check() {
    local root=$1 floor allowed line header owner most files
    breaches=0
    for floor in io model dist; do
        case $floor in
        io) allowed='io' ;;
        *) allowed="io|$floor" ;;
        esac
        while IFS= read -r line; do
            breach "$line: $floor may not know this floor"
        done < <(cd "$root" && grep -rnE '^ *# *include +[<"](io|model|dist|launch|tests)/' "$floor" --include='*.[ch]' --include='*.cu' |
            grep -vE "include +\"($allowed)/")
    done
    while read -r header owner most; do
        files=$(cd "$root" && grep -rlE "^ *# *include +[<\"]${header}[>\"]" io model dist launch --include='*.[ch]' \
            --include='*.cu') || true
        for line in $files; do
            # shellcheck disable=SC2053 # owner may be *, every floor
            if [[ $header == cu* || $header == nccl* ]]; then
                [[ $line == $owner/cuda* ]] || breach "$line: $header belongs to $owner/cuda*"
                continue
            fi
            case $line in
            "$owner"/*.c | "$owner"/*_impl.h | "$owner"/*_private.h) ;;
            *.h) breach "$line: a public header includes $header" ;;
            *) breach "$line: $header belongs to $owner" ;;
            esac
        done
        if [ "$(printf '%s' "$files" | grep -c .)" -gt "$most" ]; then
            breach "$header: more than $most files include it: ${files//$'\n'/, }"
        fi
    done < <(third_party)
    [ "$breaches" -eq 0 ]
}

# plant FILE LINE: a copy of the tree with LINE added to FILE must be found out.
plant() {
    local copy=$scratch/tree
    rm -rf "$copy" && mkdir "$copy"
    (cd "$here" && cp -r io model dist launch "$copy")
    printf '%s\n' "$2" >>"$copy/$1"
    if check "$copy" >/dev/null; then
        printf 'layers: does not see %s in %s\n' "$2" "$1"
        missed=1
    fi
}

if [ $# -gt 0 ]; then
    check "$1"
    exit
fi
check "$here" || exit 1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
missed=0
plant io/planted.c '#include "model/net.h"'
plant io/err.h '# include "dist/comm.h"'
plant model/planted.c '#include "dist/comm.h"'
plant dist/planted.c '#include "model/net.h"'
plant dist/planted.c '#include <launch/options.h>'
plant launch/planted.c '#include <mpi.h>'
plant model/planted.c '#include <hdf5.h>'
plant model/net.h '#include "oneapi/dnnl/dnnl.h"'
plant dist/comm.h '#include <mpi.h>'
plant io/err.h '#include <jansson.h>'
plant launch/gpu.c '#include <cuda_runtime_api.h>'
plant dist/comm_mpi.c '#include <nccl.h>'
plant launch/cuda_plugin.c '#include <cudnn.h>'
plant launch/cuda_plugin.c '#include <mpi.h>'
plant launch/serve.c '#include <microhttpd.h>'
[ "$missed" -eq 0 ] || exit 1
echo "floors kept"
