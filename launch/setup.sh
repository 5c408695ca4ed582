#!/usr/bin/env bash
# setup.sh [-y] [--tests]: what dtrain is built with and needs to run, and with --tests what launch/test.sh needs too.
#
# Looks for the things themselves (a command, a header), not for packages, so that a library of one's own counts. Nothing
# missing: says nothing, changes nothing, exit 0. Something missing: installs its Debian or Ubuntu package, as root or,
# after asking (-y: without), with sudo. Where it may not or cannot, it names the packages and ends with 1.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

yes=0 tests=0
for arg in "$@"; do
    case $arg in
    -y) yes=1 ;;
    --tests) tests=1 ;;
    -h | --help)
        sed -n '2,6s/^# \?//p' "$0"
        exit 0
        ;;
    *)
        echo "setup.sh: unknown argument $arg (it takes -y and --tests)" >&2
        exit 2
        ;;
    esac
done

# --- is it there? ---
there() { command -v "$1"; }
# header NAME: in a folder where the compiler or CMake looks.
header() {
    local dir
    local IFS=:
    for dir in /usr/include /usr/local/include /usr/include/hdf5/serial "/usr/include/$(uname -m)-linux-gnu" ${CPATH:-} \
        ${CMAKE_PREFIX_PATH:+${CMAKE_PREFIX_PATH//://include:}/include} ${OneDNN_ROOT:+"$OneDNN_ROOT/include"} \
        ${HDF5_ROOT:+"$HDF5_ROOT/include"} "$here/build/onednn/include"; do
        if [ -e "$dir/$1" ]; then
            printf '%s\n' "$dir/$1"
            return 0
        fi
    done
    return 1
}
# newer A B: version A is at least B.
newer() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }
cmake_there() { newer "$(cmake --version | sed -n '1s/[^0-9]*//p')" 3.22; }
# 2.6 or newer; 3.x keeps its numbers in a second header
onednn_there() {
    local version dir
    version=$(header oneapi/dnnl/dnnl_version.h) || return 1
    dir=$(dirname "$version")
    version=$(sed -n 's/^#define DNNL_VERSION_M[AI][JN]OR *//p' "$dir"/dnnl_version*.h | head -n 2 | paste -sd .)
    newer "$version" 2.6
}
downloader() { there curl || there wget; }
chromium_there() { there chromium || there chromium-browser || ! apt-cache show chromium; } # Ubuntu has it as a snap only
h5py_there() { python3 -c 'import h5py' || /usr/bin/python3 -c 'import h5py'; }
# What reads TensorBoard's event files, without TensorFlow and without the server's packages: for one test, which is skipped
# where it cannot be had.
board=$here/build/tensorboard
tensorboard_there() {
    PYTHONPATH=$board${PYTHONPATH:+:$PYTHONPATH} python3 -c 'import tensorboard.backend.event_processing.event_accumulator'
}
fetch_tensorboard() {
    [ "$tests" -eq 1 ] && ! tensorboard_there >/dev/null 2>&1 || return 0
    echo "fetching TensorBoard's reader to build/tensorboard"
    rm -rf "$board"
    if ! python3 -m pip install -q --disable-pip-version-check --root-user-action ignore --no-compile --no-deps \
        --only-binary :all: --target "$board" tensorboard numpy protobuf absl-py >/dev/null 2>&1; then
        rm -rf "$board"
        echo "setup.sh: pip could not fetch tensorboard; the test that reads its files is skipped" >&2
    fi
}
# clang comes without its sanitizers' run-time libraries on some systems
fuzzer_there() {
    echo 'int LLVMFuzzerTestOneInput(const char *p, long n) { return p && n < 0; }' |
        clang -fsanitize=fuzzer,address -x c -o /dev/null -
}

# --- what is missing, as packages ---
missing=()
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
look() {
    missing=()
    need build-essential eval 'there cc && there g++ && there make'
    need cmake cmake_there
    need libopenmpi-dev there mpicc
    need openmpi-bin there mpirun
    need libhdf5-dev header hdf5.h
    need libhwloc-dev header hwloc.h
    need zlib1g-dev header zlib.h
    need libssl-dev header openssl/evp.h
    need libjansson-dev header jansson.h
    need libpng-dev header png.h
    need libjpeg-dev header jpeglib.h
    need libmicrohttpd-dev header microhttpd.h
    need libdnnl-dev onednn_there
    need curl downloader
    need gnuplot-nox there gnuplot
    [ "$tests" -eq 1 ] || return 0
    need git there git
    need clang there clang
    need clang-tidy there clang-tidy
    need clang-format there clang-format
    need cppcheck there cppcheck
    need shellcheck there shellcheck
    need valgrind there valgrind
    need hdf5-tools there h5dump
    need python3-h5py h5py_there
    need python3-pip python3 -m pip --version
    need libclang-rt-dev fuzzer_there
    need chromium chromium_there
    need slurm-wlm eval 'there slurmctld && there slurmd && there sbatch'
    need munge there munged
    need nodejs there node
    need npm there npm
}

# --- getting it ---
# Names that depend on the system's release: a libdnnl-dev that is too old gives way to a wheel (fetch_onednn), and the
# package of clang's run-time libraries carries clang's version; older systems have them in a package of another name.
fetch_onednn=0
resolve() {
    local package major out=()
    for package in "${missing[@]}"; do
        case $package in
        libdnnl-dev)
            if newer "$(candidate libdnnl-dev)" 2.6; then
                out+=(libdnnl-dev)
            else
                fetch_onednn=1
                python3 -m pip --version >/dev/null 2>&1 || out+=(python3-pip)
            fi
            ;;
        libclang-rt-dev)
            major=$(apt-cache depends clang 2>/dev/null | sed -n 's/^ *Depends: clang-\([0-9]*\)$/\1/p' | head -n 1)
            if [ "$(candidate "libclang-rt-$major-dev")" != 0 ]; then
                out+=("libclang-rt-$major-dev")
            else
                out+=("libclang-common-$major-dev")
            fi
            ;;
        *) out+=("$package") ;;
        esac
    done
    missing=("${out[@]}")
}
candidate() { # the version that apt would install, 0 if none
    local version
    version=$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *//p')
    [ -n "$version" ] && [ "$version" != "(none)" ] || version=0
    printf '%s\n' "${version#*:}"
}
install_packages() { # quiet unless it fails
    local log
    log=$(mktemp)
    if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y \
        --no-install-recommends "$@" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        echo "setup.sh: apt-get could not install: $*" >&2
        exit 1
    fi
    rm -f "$log"
}

look
if [ "${#missing[@]}" -eq 0 ]; then
    fetch_tensorboard
    exit 0
fi
if ! there apt-get >/dev/null; then
    echo "setup.sh: missing, by Debian's names: ${missing[*]}" >&2
    echo "This system has no apt-get: install them with its own package manager, then run this again." >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo)
    answer=n
    if there sudo >/dev/null; then
        if [ "$yes" -eq 1 ]; then
            answer=y
        elif [ -t 0 ]; then
            read -r -p "dtrain needs ${missing[*]}. Install with sudo apt-get? [Y/n] " answer || answer=n
            answer=${answer:-y}
        fi
    fi
    if [[ $answer != [yY]* ]]; then
        echo "setup.sh: missing: ${missing[*]}" >&2
        echo "Install them with apt-get as root, or run $0 -y where sudo may be used." >&2
        exit 1
    fi
fi
# A new machine has no package lists, and an old list names versions that are gone: without one, look-ups find nothing.
if ! "${as_root[@]}" apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null 2>&1; then
    echo "setup.sh: apt-get update failed; going on with the lists that are here" >&2
fi
resolve
if [ "${#missing[@]}" -gt 0 ]; then
    echo "installing ${missing[*]}"
    install_packages "${missing[@]}"
fi
[ "$fetch_onednn" -eq 0 ] || "$here/launch/fetch-onednn.sh" "$here/build/onednn"

look
if [ "${#missing[@]}" -gt 0 ]; then
    echo "setup.sh: installed, and still not usable: ${missing[*]}" >&2
    exit 1
fi
fetch_tensorboard
