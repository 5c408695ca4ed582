#!/usr/bin/env bash
# What the program says about itself, and how it refuses wrong use: once, in words that help, with exit code 2.
# timeout: 120
set -euo pipefail
# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
# run WORDS...: leaves code, err, out.txt and err.txt
run() {
    code=0
    "$@" >out.txt 2>err.txt || code=$?
    err=$(cat err.txt)
}
# refused WORDS-OF-THE-MESSAGE ARGS...
refused() {
    local words=$1
    shift
    run "$DTRAIN" "$@"
    check "dtrain $*: exit code $code is 2" test "$code" = 2
    check "dtrain $*: '$err' has '$words'" grep -qF -- "$words" err.txt
    check "dtrain $*: one line on stderr" test "$(wc -l <err.txt)" = 1
    check "dtrain $*: nothing on stdout" test ! -s out.txt
}
has() { grep -qF -- "$1" out.txt; }
hasnt() { ! grep -qiE -- "$1" out.txt; }

# --- wrong use ---
refused "did you mean --batch?" --btach 64
refused "did you mean --momentum?" train --momentun 0.9
refused "--epochs needs a value" --epochs
refused "--batch: '12x' is no whole number; give a whole number from 1 to 1048576" --batch 12x
refused "--seed: '-1' is out of range" --seed=-1
refused "--optimizer: 'adam' is none of sgd|adamw" --optimizer adam
refused "--time-limit: 'soon' is no duration" --time-limit soon
refused "did you mean eval?" evla runs/x
refused "eval needs an argument" eval
refused "one argument too many" bench now
refused "--batch 8 is smaller than --micro-batch 16" --batch 8 --micro-batch 16
refused "--completion bash" --completion zsh
DTRAIN_EPOCHS=many refused "DTRAIN_EPOCHS: 'many'" --batch 64
check "nothing was made" test ! -e runs

# --- a launcher's ranks speak once ---
OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 run "$DTRAIN" --btach 3
check "rank 1 is silent" test ! -s err.txt
check "rank 1 has the same code" test "$code" = 2
OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 run "$DTRAIN" --version
check "rank 1 leaves the version to rank 0" test "$code" = 0 -a ! -s out.txt
# rank 0 as the last one to start
cat >late.sh <<'EOF'
[ "$OMPI_COMM_WORLD_RANK" != 0 ] || sleep 0.5
exec "$@"
EOF
run "$MPIRUN" -np 3 bash late.sh "$DTRAIN" --btach 3
check "mpirun passes the code on" test "$code" = 2
check "the message comes once" test "$(grep -c 'unknown option' err.txt)" = 1
run "$MPIRUN" -np 3 "$DTRAIN" --data nowhere --out x
check "missing data: exit code $code is 3" test "$code" = 3
check "missing data: told once" test "$(grep -c '^dtrain: ' err.txt)" = 1
run "$MPIRUN" -np 3 "$DTRAIN" eval nowhere.h5 --data nowhere
check "missing checkpoint: told once" test "$(grep -c '^dtrain: ' err.txt)" = 1

# --- environment ---
DTRAIN_BATHC=3 DTRAIN_SOMETHING_ELSE=1 run "$DTRAIN" --epochs 0
check "a misspelt variable is warned about" grep -q 'warning: DTRAIN_BATHC .* DTRAIN_BATCH?' err.txt
check "other variables are not" test "$(grep -c warning err.txt)" = 1

# --- help ---
for command in train sweep report eval predict export serve devices bench doctor; do
    run "$DTRAIN" "$command" --help
    check "$command --help" test "$code" = 0 -a ! -s err.txt
    check "$command --help: usage" has "Usage: dtrain"
    check "$command --help: at most 80 columns" test "$(awk 'length > 80' out.txt | wc -l)" = 0
    check "$command --help: no escape sequences" hasnt $'\033'
done
run "$DTRAIN" --help
for word in eval devices bench --micro-batch "[256]" "[adamw]" "DTRAIN_MICRO_BATCH" "Exit codes" "--resume"; do
    check "--help has $word" has "$word"
done
run "$DTRAIN" eval --help
check "eval --help has no training options" hasnt '--epochs|--optimizer'
run "$DTRAIN" -h
check "-h" has "Usage: dtrain"

# --- version ---
run "$DTRAIN" --version
check "--version" test "$code" = 0 -a ! -s err.txt
check "--version: number" grep -qE '^dtrain [0-9]+\.[0-9]+\.[0-9]+' out.txt
for library in MPI HDF5 hwloc zlib; do
    check "--version: $library" grep -qE "libraries .*$library [0-9]+\.[0-9]+" out.txt
done
check "--version: oneDNN" grep -qE 'oneDNN [23]\.' out.txt

# --- man page ---
"$DTRAIN" --man >dtrain.1
groff -man -Tutf8 -ww -P-cbou dtrain.1 >page.txt 2>page.err
check "man: no warnings" test ! -s page.err
for section in NAME SYNOPSIS COMMANDS OPTIONS ENVIRONMENT FILES SIGNALS "EXIT STATUS" EXAMPLES; do
    check "man has $section" grep -q "^$section" page.txt
done
"$DTRAIN" --help | grep -oE '^  --[a-z0-9-]+' >names.txt
check "--help has many options" test "$(wc -l <names.txt)" -gt 30
while read -r name; do
    check "man has $name" grep -qE -- "^ +$name( |$)" page.txt
done <names.txt

# --- completion ---
"$DTRAIN" --completion bash >completion.sh
check "completion is valid bash" bash -n completion.sh
if command -v shellcheck >/dev/null; then
    check "completion is good bash" shellcheck -s bash completion.sh
fi
# complete WORDS...: what the last one can become
complete_words() {
    bash --norc -c '
        compopt() { :; } # works inside a real completion only
        . ./completion.sh
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _dtrain
        printf "%s\n" "${COMPREPLY[@]}"' complete "$@" >out.txt
}
complete_words dtrain ''
check "completion: commands" has bench
complete_words dtrain --micro
check "completion: options" has --micro-batch
complete_words dtrain eval x --epo
check "completion: options of the command" hasnt epochs
complete_words dtrain --optimizer a
check "completion: words" test "$(cat out.txt)" = adamw
complete_words dtrain --precision = b
check "completion: words behind =" test "$(cat out.txt)" = bf16
complete_words dtrain --model l
check "completion: presets" has lenet5
mkdir -p runs/first
complete_words dtrain --out runs/f
check "completion: directories" has runs/first
complete_words dtrain eval runs/
check "completion: checkpoints" has runs/first
complete_words dtrain --epochs ''
check "completion: nothing for numbers" test -z "$(cat out.txt)"

finish
