#!/usr/bin/env bash
# timeout: 300
# sanitizers: yes
# Checkpoints that cannot be used: for eval, --init and --resume one sentence that names the file and what is wrong with it,
# exit code 4, no new run, and everything there as it was. --resume takes the one before, if there is one.
set -euo pipefail

# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
said() { grep -qE -- "$1" said; }
not() { ! "$@"; }
run() { # run RANKS COMMAND ARGUMENTS...: exit code in rc, output in said
    local ranks=$1 launch=()
    shift
    [ "$ranks" -eq 1 ] || launch=("$MPIRUN" -np "$ranks")
    rc=0
    "${launch[@]}" "$DTRAIN" "$@" >said 2>&1 || rc=$?
}
common=(--model 'fc 6; relu; fc 4' --batch 16 --micro-batch 8 --epochs 2 --threads 1 --progress lines --data data)
train() { # train RANKS ARGUMENTS...
    local ranks=$1
    shift
    run "$ranks" train "${common[@]}" "$@"
}
digest() { sed -n 's/.*params_sha256 *\([0-9a-f]\{64\}\).*/\1/p' said | tail -n 1; }
sums() { find "$@" -type f ! -name log.jsonl -exec sha256sum {} + | sort; }

# change FROM TO PYTHON: b, the bytes of FROM, changed to TO; seal(b) makes its digest right again
cat >change.py <<'PY'
import hashlib, sys
def seal(b):
    rest = bytes(b[512:])
    line = b"dtrain sha256 %s of the %d bytes after the first 512\n" % (hashlib.sha256(rest).hexdigest().encode(), len(rest))
    b[:512] = line + bytes(512 - len(line))
with open(sys.argv[1], "rb") as f:
    b = bytearray(f.read())
exec(sys.argv[3])
with open(sys.argv[2], "wb") as f:
    f.write(b)
PY
change() { python3 change.py good/checkpoint-6.h5 bad.h5 "$1"; }

python3 "$SRC/tests/make_data.py" data --train 48 --test 20 --size 8 --classes 4
train 1 --out good --keep 9
check "a good run" [ "$rc" -eq 0 ]
want=$(digest)
check "a good checkpoint" cmp good/latest.h5 good/checkpoint-6.h5

# refused WHAT WORDS [RANKS]: bad.h5 is refused with WORDS by eval, --init and --resume
refused() {
    local what=$1 words=$2 ranks=${3:-1}
    rm -rf run new && mkdir run
    run "$ranks" eval bad.h5 --data data
    check "eval of $what: exit code $rc, not 4" [ "$rc" -eq 4 ]
    check "eval of $what: says '$words'" said "^dtrain: .*bad.h5: $words"
    check "eval of $what: says it once" [ "$(grep -c '^dtrain: ' said)" -eq 1 ]
    train "$ranks" --init bad.h5 --out new
    check "--init $what: exit code $rc, not 4" [ "$rc" -eq 4 ]
    check "--init $what: says '$words'" said "^dtrain: .*bad.h5: $words"
    check "--init $what: leaves no run" [ ! -e new ]
    cp -RP bad.h5 run/checkpoint-6.h5
    cp good/run.h5 run
    sums run >before
    train "$ranks" --resume --out run
    check "--resume with $what alone: exit code $rc, not 4" [ "$rc" -eq 4 ]
    check "--resume with $what alone: says '$words'" said "^dtrain: warning: .*run/checkpoint-6.h5: $words"
    check "--resume with $what alone: gives up" said '^dtrain: .*run: none of its 1 checkpoints can be read'
    check "--resume with $what alone: leaves all as it was" cmp -s before <(sums run)
    cp good/checkpoint-3.h5 run
    train "$ranks" --resume --out run
    check "--resume with $what and one before: exit code $rc" [ "$rc" -eq 0 ]
    check "--resume with $what and one before: says so" said "^dtrain: warning: .*run/checkpoint-6.h5: $words"
    check "--resume with $what and one before: the same bits" [ "$(digest)" = "$want" ]
    if [ ! -d bad.h5 ]; then # which no file can replace
        check "--resume with $what and one before: whole again" cmp -s <(tail -c +2000 run/latest.h5) <(tail -c +2000 run/checkpoint-6.h5)
    fi
    rm -rf bad.h5
}

# --- cut and damaged ---
size=$(stat -c %s good/checkpoint-6.h5)
change 'b[:] = b""'
refused "an empty file" "cut off, or not a file of dtrain: 0 bytes" 2
change 'b[:] = b[:511]'
refused "a file cut in its first line" "cut off, or not a file of dtrain: 511 bytes"
change 'b[:] = b[:512]'
refused "a file cut after its first line" "cut off: 512 of $size bytes"
change 'b[:] = b[:-1]'
refused "a file cut in its last byte" "cut off: $((size - 1)) of $size bytes"
change 'b += b"x"'
refused "a file with a byte too many" "damaged: 1 bytes too many at its end"
change 'b[len(b) // 2] ^= 1'
refused "a file with a flipped bit" "damaged: its SHA-256 is"
change 'b[20] ^= 1'
refused "a file with a flipped bit in its digest" "damaged"
change 'b[300] = 1'
refused "a file with a byte after its first line" "damaged in its first 512 bytes"
change 'b[:] = bytes(len(b))'
refused "zeros" "damaged, or not a file of dtrain"
change 'b[:] = b[:2000]; seal(b)'
refused "a file cut before it was sealed" "cannot open it as HDF5: truncated"
for at in 1 8 100 513 600 1023 2048 4095 4096 10000 $((size - 5)); do
    change "b[:] = b[:$at]"
    run 1 eval bad.h5 --data data
    check "cut at $at" [ "$rc" -eq 4 ]
    check "cut at $at: says so" said 'bad.h5: cut off'
    change "b[$at] ^= 1 << ($at % 8)"
    run 1 eval bad.h5 --data data
    check "flipped at $at" [ "$rc" -eq 4 ]
    check "flipped at $at: says so" said 'bad.h5: .*damaged'
done

# --- of something else ---
cp good/run.h5 bad.h5
refused "a run file" 'its format is "dtrain-run", not "dtrain-checkpoint"'
change 'b[:] = b[512:]'
refused "HDF5 without a first line" "an HDF5 file, but of another program"
echo "these are my notes, and they are longer than the line of five hundred and twelve bytes that is looked for$(seq 200)" >bad.h5
refused "a text" "damaged, or not a file of dtrain"

# --- no file ---
rm -f bad.h5 && mkfifo bad.h5
refused "a pipe" "not a regular file"
ln -sf bad.h5 bad.h5
for command in "eval bad.h5 --data data" "train --data data --init bad.h5 --out new"; do
    # shellcheck disable=SC2086 # words
    run 1 $command
    check "$command, a link to itself: exit code $rc, not 4" [ "$rc" -eq 4 ]
    check "$command, a link to itself" said 'bad.h5: Too many levels of symbolic links'
done
rm -f bad.h5 && mkdir bad.h5
run 1 eval bad.h5 --data data
check "eval of an empty directory: exit code $rc, not 4" [ "$rc" -eq 4 ]
check "eval of an empty directory" said 'bad.h5: no best.h5 in it; --last takes latest.h5'
ln -s checkpoint-1.h5 bad.h5/best.h5
run 1 eval bad.h5 --data data
check "eval of a link to nothing" said 'bad.h5/best.h5: the checkpoint that it links to is gone'
mkdir -p strange/checkpoint-9.h5 && cp good/checkpoint-6.h5 strange
train 1 --resume --out strange
check "a directory with a checkpoint's name is passed over" [ "$rc" -eq 0 ]
check "and named" said 'strange/checkpoint-9.h5: not a regular file'
check "and still there" [ -d strange/checkpoint-9.h5 ]
unreadable() {
    check "unreadable: exit code $rc, not 4" [ "$rc" -eq 4 ]
    check "unreadable" said 'secret.h5: Permission denied'
}
cp good/checkpoint-6.h5 secret.h5 && chmod 000 secret.h5
if [ "$(id -u)" -ne 0 ]; then
    run 1 eval secret.h5 --data data
    unreadable
elif setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null && chmod 755 . && cp "$DTRAIN" .; then
    rc=0
    setpriv --reuid=65534 --regid=65534 --clear-groups ./dtrain eval secret.h5 --data data >said 2>&1 || rc=$?
    unreadable
fi

# --- of another network, optimizer or data set ---
for ranks in 1 2; do
    rm -rf new
    run "$ranks" train "${common[@]}" --model 'fc 7; relu; fc 4' --init good --out new
    check "--init of another network: exit code $rc, not 4" [ "$rc" -eq 4 ]
    check "--init of another network: both are named" said \
        'good/best.h5 is of another network: "fc 6; relu; fc 4" on 1 x 8 x 8 pixels with [0-9]+ parameters, not "fc 7'
    check "--init of another network: leaves no run" [ ! -e new ]
    sums good >before
    train "$ranks" --resume --out good --model 'fc 7; relu; fc 4'
    check "--resume of another network: exit code $rc, not 2" [ "$rc" -eq 2 ]
    check "--resume of another network: both are named" said '--model fc 6; relu; fc 4 [(]now fc 7; relu; fc 4[)]'
    train "$ranks" --resume --out good --optimizer sgd
    check "--resume with another optimizer: exit code $rc, not 2" [ "$rc" -eq 2 ]
    check "--resume with another optimizer: both are named" said '--optimizer adamw [(]now sgd[)]'
    check "all is as it was" cmp before <(sums good)
done
python3 "$SRC/tests/make_data.py" wide --train 48 --test 20 --size 9 --classes 4
run 1 eval good --data wide
check "eval on images of another size: exit code $rc, not 3" [ "$rc" -eq 3 ]
train 1 --resume --out good --data wide
check "--resume with images of another size: exit code $rc, not 4" [ "$rc" -eq 4 ]
check "--resume with images of another size: both are named" said 'checkpoint-6.h5 is .* on 1 x 8 x 8 .*not .* on 1 x 9 x 9'
python3 "$SRC/tests/make_data.py" other --train 48 --test 20 --size 8 --classes 4 --seed 2
train 1 --resume --out good --data other
check "--resume with other data: exit code $rc, not 3" [ "$rc" -eq 3 ]
check "--resume with other data: both are named" said 'other/train-images-idx3-ubyte is not what good/checkpoint-6.h5 was'

# --- names that tell of another step, and a record that cannot be read ---
mkdir named && cp good/checkpoint-3.h5 named && cp good/checkpoint-3.h5 named/checkpoint-900.h5
train 1 --resume --out named
check "a checkpoint under another's name is passed over" [ "$rc" -eq 0 ]
check "and named" said 'named/checkpoint-900.h5: another one under this name: it is of step 3'
check "the rest goes on" [ "$(digest)" = "$want" ]
mkdir norecord && cp good/checkpoint-3.h5 norecord && head -c 3000 good/run.h5 >norecord/run.h5
train 2 --resume --out norecord
check "a damaged run.h5 stops nothing" [ "$rc" -eq 0 ]
check "it is named, and where it went" said 'norecord/run.h5: cut off.*record starts anew at step 3.*kept as run.h5.unreadable'
check "and kept" cmp -s norecord/run.h5.unreadable <(head -c 3000 good/run.h5)
check "the rest goes on" [ "$(digest)" = "$want" ]

# --- another version, and what only HDF5 can make of a file; by h5py, where there is one ---
python=
for candidate in /usr/bin/python3 python3; do
    "$candidate" -c 'import h5py' 2>/dev/null && python=$candidate && break
done
if [ -n "$python" ]; then
    cat >edit.py <<'PY'
import sys, h5py
with h5py.File("bad.h5", "r+") as f:
    exec(sys.argv[1])
PY
    edit() { # edit PYTHON: changes f, the open file, and seals it
        rm -rf bad.h5 && cp good/checkpoint-6.h5 bad.h5 && "$python" edit.py "$1" && cp bad.h5 edited.h5
        python3 change.py edited.h5 bad.h5 'seal(b)'
    }
    edit 'f.attrs.modify("format_version", 2)'
    refused "a newer version" "format version 2 of dtrain-checkpoint, this program reads up to 1: use a newer dtrain" 2
    edit 'f.attrs["format"] = "some-checkpoint"'
    refused "another format" 'its format is "some-checkpoint"'
    edit 'del f.attrs["epoch"]'
    refused "a missing attribute" '/ has no attribute epoch'
    edit 'del f["parameters/fc1/bias"]'
    run 1 eval bad.h5 --data data
    check "a missing tensor" [ "$rc" -eq 4 ]
    edit 'f["parameters/fc1/bias"][0] += 1'
    refused "a changed parameter" 'damaged: the SHA-256 of its parameters is'
    edit 'f["extra"] = h5py.SoftLink("/parameters"); f["optimizer/m/fc1"].move("weight", "w")'
    refused "an optimizer without a weight" '/optimizer/m/fc1/weight is missing'
    edit 'f.attrs["model"] = "fc 6; relu; fc 5"'
    run 1 eval bad.h5 --data data
    check "a spec that is not its parameters': exit code $rc, not 4" [ "$rc" -eq 4 ]
    check "a spec that is not its parameters'" said 'bad.h5 is of another network'
    edit 'f.attrs["model"] = "fc 6; conv"'
    run 2 eval bad.h5 --data data
    check "a spec that is none: exit code $rc" [ "$rc" -ne 0 ]
    check "a spec that is none: told once" [ "$(grep -c '^dtrain: ' said)" -eq 1 ]
    edit 'f.attrs["config"] = "[" * 100000'
    for arguments in "eval bad.h5 --data data" "train ${common[*]@Q} --resume --out config"; do
        rm -rf config && mkdir config && cp bad.h5 config/checkpoint-6.h5
        eval "run 1 $arguments"
        check "options that are no JSON: exit code $rc, not 4" [ "$rc" -eq 4 ]
        check "options that are no JSON: named" said '^dtrain: .*h5.*JSON'
    done
    "$python" -c 'import h5py; h5py.File("bad.h5", "w")["x"] = 1'
    refused "HDF5 of another program" "an HDF5 file, but of another program"
    "$python" -c 'import h5py; h5py.File("bad.h5", "w", userblock_size=512)["x"] = 1'
    refused "HDF5 of another program with room in front" "damaged, or not a file of dtrain"
else
    echo "not tried: files changed by h5py (python3-h5py is not installed)"
fi

finish
