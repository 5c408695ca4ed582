#!/usr/bin/env bash
# timeout: 300
# sanitizers: yes
# Data that cannot be used, in every way that comes to mind: one sentence that names the file and what is wrong with it, exit
# code 3, no run directory, and the files as they were.
set -euo pipefail

# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
said() { grep -qE -- "$1" said; }
train() { # train RANKS ARGUMENTS...: exit code in rc, output in said
    local ranks=$1 launch=()
    shift
    [ "$ranks" -eq 1 ] || launch=("$MPIRUN" -np "$ranks")
    rc=0
    "${launch[@]}" "$DTRAIN" train --model 'fc 4' --batch 16 --micro-batch 8 --epochs 1 --threads 1 --progress none \
        --quiet "$@" >said 2>&1 || rc=$?
}
images=train-images-idx3-ubyte labels=train-labels-idx1-ubyte
test_images=t10k-images-idx3-ubyte test_labels=t10k-labels-idx1-ubyte

# change FILE PYTHON: b, the bytes of FILE, changed
cat >change.py <<'PY'
import gzip, struct, sys, zlib
with open(sys.argv[1], "rb") as f:
    b = bytearray(f.read())
exec(sys.argv[2])
with open(sys.argv[1], "wb") as f:
    f.write(b)
PY
change() { python3 change.py "$@"; }

# refused WHAT WORDS [RANKS]: the data in bad/ are refused with WORDS (a regular expression), by every number of ranks
refused() {
    local what=$1 words=$2 ranks=${3:-1}
    find bad -type f -exec sha256sum {} + | sort >before
    train "$ranks" --data bad --out run
    check "$what: exit code $rc, not 3" [ "$rc" -eq 3 ]
    check "$what: says '$words'" said "^dtrain: .*$words"
    check "$what: says it once" [ "$(grep -c '^dtrain: ' said)" -eq 1 ]
    check "$what: leaves no run" [ ! -e run ]
    check "$what: leaves the data alone" cmp -s before <(find bad -type f -exec sha256sum {} + | sort)
    rm -rf bad run
}
fresh() { rm -rf bad && cp -r data bad; }

python3 "$SRC/tests/make_data.py" data --train 48 --test 20 --size 8 --classes 4
train 1 --data data --out good
check "good data" [ "$rc" -eq 0 ]

# --- one file that is not what it should be; each of the four in turn ---
for file in $images $labels $test_images $test_labels; do
    fresh && change "bad/$file" 'b[:] = b[:-1]'
    refused "cut short" "bad/$file: cut short: [0-9]+ bytes, its header says"
    fresh && change "bad/$file" 'b += b"x"'
    refused "too long" "bad/$file: too long: [0-9]+ bytes, its header says"
    fresh && change "bad/$file" 'b[:] = b""'
    refused "empty" "bad/$file: is empty"
    fresh && change "bad/$file" 'b[1] = 1'
    refused "wrong magic" "bad/$file: no IDX file: starts with 00 01 08"
    fresh && rm "bad/$file"
    refused "missing" "bad: no ${file/-ubyte/-ubyte} there.*fetch-data.sh"
done
file=$images
fresh && change "bad/$file" 'b[:] = b[:2]'
refused "two bytes" "bad/$file: 2 bytes, too short"
fresh && change "bad/$file" 'b[:] = b[:15]'
refused "cut in its header" "bad/$file: 15 bytes, cut within its header of 16"
fresh && change "bad/$file" 'b[2] = 0x0d'
refused "of floats" "bad/$file: IDX type 0x0d"
fresh && change "bad/$file" 'b[3] = 5'
refused "five dimensions" "bad/$file: 5 dimensions, not 1 to 4"
fresh && change "bad/$file" 'b[3] = 0'
refused "no dimension" "bad/$file: 0 dimensions, not 1 to 4"
fresh && change "bad/$file" 'b[4:8] = bytes(4)'
refused "no image" "bad/$file: holds nothing: its header says 0 x 8 x 8"
fresh && change "bad/$file" 'b[4:16] = b"\xff" * 12'
refused "more than there can be" "bad/$file: its header says 4294967295 x 4294967295 x 4294967295"
fresh && change "bad/$file" 'b[:] = struct.pack(">III", 0x802, 48, 64) + b[16:]'
refused "two dimensions" "bad/$file: 2 dimensions; a file of images has 3"
fresh && change bad/$labels 'b[:] = struct.pack(">III", 0x802, 48, 1) + b[8:]'
refused "labels of two dimensions" "bad/$labels: 2 dimensions; a file of labels has 1"
fresh && cp bad/$labels bad/$images
refused "labels for images" "bad/$images: 1 dimensions; a file of images has 3"
fresh && change "bad/$file" 'b[:] = struct.pack(">IIII", 0x803, 48, 8, 5000) + bytes(48 * 8 * 5000)'
refused "too wide" "bad/$file: images of 8 x 5000; at most 4096 x 4096"
fresh && change "bad/$file" 'b[16:] = bytes(48 * 64)'
refused "all black" "bad/$file: all pixels have the value 0"

# --- files that do not fit each other, or the network ---
fresh && change bad/$images 'b[4:8] = struct.pack(">I", 47); b[:] = b[:-64]'
refused "47 images, 48 labels" "bad/$images has 47 images, but bad/$labels has 48 labels" 2
fresh && change bad/$test_labels 'b[4:8] = struct.pack(">I", 19); b[:] = b[:-1]'
refused "20 images, 19 labels" "bad/$test_images has 20 images, but bad/$test_labels has 19 labels"
fresh && change bad/$test_images 'b[4:16] = struct.pack(">III", 20, 4, 16)'
refused "test images of another shape" "bad/$images has images of 8 x 8, but bad/$test_images of 4 x 16" 2
fresh && change bad/$labels 'b[8 + 7] = 4'
refused "a label beyond the outputs" "bad/$labels: label 4 of sample 7, but the network has 4 outputs" 2
fresh && change bad/$test_labels 'b[8 + 19] = 255'
refused "a test label beyond the outputs" "bad/$test_labels: label 255 of sample 19"

# --- gzip ---
packed() { fresh && gzip -n bad/$images && file=$images.gz; }
packed
train 1 --data bad --out run
check "gzip" [ "$rc" -eq 0 ]
rm -rf run
packed && change "bad/$file" 'b[:] = b[:-1]'
refused "gzip cut in its last byte" "bad/$file: the gzip file is cut short" 2
packed && change "bad/$file" 'b[:] = b[:len(b) // 2]'
refused "gzip cut in half" "bad/$file: the gzip file is cut short"
packed && change "bad/$file" 'b[:] = b[:2]'
refused "gzip cut after its magic" "bad/$file: "
packed && change "bad/$file" 'b[-6] ^= 1'
refused "gzip with a wrong checksum" "bad/$file: damaged gzip file: incorrect data check"
packed && change "bad/$file" 'b[len(b) // 2] ^= 255'
refused "damaged gzip" "bad/$file: "
packed && change "bad/$file" 'd = gzip.decompress(b); b[:] = gzip.compress(d[:-1])'
refused "gzip of a file cut short" "bad/$file: cut short: 3087 bytes"
packed && change "bad/$file" 'd = gzip.decompress(b); b[:] = gzip.compress(d + b"x")'
refused "gzip of a file too long" "bad/$file: too long"
packed && change "bad/$file" 'd = gzip.decompress(b); b[:] = gzip.compress(d[:4] + b"\x7f\0\0\0" + d[8:])'
refused "gzip that cannot hold what it says" "bad/$file: [0-9]+ bytes of gzip cannot hold the 2130706432 x 8 x 8"
packed && change "bad/$file" 'b[:] = gzip.compress(b"")'
refused "gzip of nothing" "bad/$file: "

# --- not files at all ---
fresh && rm bad/$images && mkdir bad/$images
refused "a directory" "bad/$images: is no regular file"
fresh && rm bad/$images && mkfifo bad/$images
refused "a pipe" "bad/$images: is no regular file" 2
fresh && rm bad/$images && ln -s $images bad/$images
refused "a link to itself" "bad: no $images there"
fresh && rm bad/$images && ln -s gone bad/$images
refused "a link to nothing" "bad: no $images there"
if [ "$(id -u)" -ne 0 ]; then
    fresh && chmod 000 bad/$images
    train 1 --data bad --out run
    check "unreadable" said "bad/$images: cannot be opened: Permission denied"
elif setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null && chmod 755 . && cp "$DTRAIN" . 2>/dev/null; then
    fresh && chmod 000 bad/$images
    rc=0
    setpriv --reuid=65534 --regid=65534 --clear-groups ./dtrain train --model 'fc 4' --data bad --out run >said 2>&1 || rc=$?
    check "unreadable: exit code $rc, not 3" [ "$rc" -eq 3 ]
    check "unreadable" said "bad/$images: cannot be opened: Permission denied"
fi
rm -rf bad && echo >bad
refused "a file for a directory" "bad: no $images there"

# --- names that are merely strange ---
strange="two words/M\$NIST 'тест' \"数\" -- *"
mkdir -p "$strange" && cp data/* "$strange"
train 2 --data "$strange" --out "$strange/a run"
check "strange names" [ "$rc" -eq 0 ]
check "are written to" [ -s "$strange/a run/latest.h5" ]
train 1 --data "$strange" --out "$strange/a run" --resume
check "and read from" [ "$rc" -eq 0 ]
truncate -s 40 "$strange/$labels"
train 1 --data "$strange" --out run
check "and named" said "'тест' \"数\" -- .*cut short: 40 bytes"
long=$(printf 'a%.0s' $(seq 250))
mkdir -p "$long/$long/$long" && cp data/* "$long/$long/$long" && truncate -s 40 "$long/$long/$long/$labels"
train 1 --data "$long/$long/$long" --out run
check "a long path: exit code $rc, not 3" [ "$rc" -eq 3 ]
check "a long path: says what is wrong" said "$labels: cut short: 40 bytes, its header says 8 [+] 48 = 56"

finish
