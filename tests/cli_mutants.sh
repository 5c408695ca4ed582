#!/usr/bin/env bash
# timeout: 600
# cli_mutants.sh: mistakes planted in the CUDA back end, one at a time; the simulated device must catch each of them.
#
# A mutant is one source with one line changed. It is compiled, linked with the build's other objects, and trains for a few
# steps: first plainly, then lazily, then as graphs, until something is caught: a violation or leak (exit code 86, with the
# text that the table asks for), or parameters that are not those of the unchanged program. The unchanged program must pass
# all of it. MUTANTS=name runs one.
set -euo pipefail
if [ ! -e "${SIMDEV_DIR:-}/libsimdev_kernels.so" ]; then
    echo "the simulated device is not built here"
    exit 77
fi
build=$(dirname "$(dirname "$SIMDEV_DIR")") top=$PWD
passed=0 failed=0
IFS=: read -ra folders <<<"$SIMDEV_INCLUDE"
includes=(-I"$top/tree" -I"$SRC" -I"$build/generated")
for folder in "${folders[@]}"; do
    includes+=(-isystem "$folder")
done

# name, ranks, file, sed's command, what must be seen
table() {
    grep -v '^#' "$SRC/tests/simdev/mutants.txt" | grep -v '^$'
}

compile() { # FILE: the changed source in tree/FILE becomes mutant.o, and kernels for the device if it has some
    local name
    case $1 in
    *.cu)
        "$SIMDEV_NVCC" -c -O1 -std=c++17 -fmad=false -arch=sm_75 -Xcompiler=-fPIC,-fvisibility=hidden "${includes[@]}" \
            "tree/$1" -o mutant.o &&
            "$SIMDEV_NVCC" -ptx -O3 -std=c++17 -fmad=false -arch=compute_80 "${includes[@]}" "tree/$1" -o mutant.ptx &&
            for name in "$build"/generated/simdev_kernels-*.ptx; do
                [ "$name" = "$build/generated/simdev_kernels-$(basename "$1" .cu).ptx" ] || cat "$name" >>mutant.ptx
            done &&
            python3 "$SRC/tests/simdev/translate.py" mutant.ptx >mutant.c 2>/dev/null &&
            gcc -shared -fPIC -O1 -w -fwrapv -fno-strict-aliasing -ffp-contract=off -D_GNU_SOURCE -I"$SRC/tests/simdev" \
                "${includes[@]}" mutant.c -L"$SIMDEV_DIR" -lcudart -lm -o mutant_kernels.so
        ;;
    *)
        gcc -c -O1 -std=c11 -fPIC -fvisibility=hidden -ffp-contract=off -D_GNU_SOURCE "${includes[@]}" "tree/$1" -o mutant.o
        cp "$SIMDEV_DIR/libsimdev_kernels.so" mutant_kernels.so
        ;;
    esac
}
link() { # FILE: libdtrain_cuda.so of all objects, with the mutant's in place of FILE's
    local objects=() object source
    while IFS= read -r object; do
        source=${object#"$build/CMakeFiles/dt_cuda.dir/"} source=${source%.o}
        [ "$source" != "${object%.o}" ] || source=model/$(basename "$object" .o).cu
        [ -e "$SRC/$source" ] || continue # of a file that was moved since
        case $object in
        */"$1".o | */cuda/"$(basename "$1" .cu)".o) ;;
        *) objects+=("$object") ;;
        esac
    done < <(find "$build/CMakeFiles/dt_cuda.dir" "$build/cuda" -name '*.o')
    gcc -shared -Wl,-Bsymbolic "${objects[@]}" mutant.o -L"$SIMDEV_DIR" -lcudart -lcudnn -lcublas -lnccl -lstdc++ \
        -o program/libdtrain_cuda.so
}
train() { # ORDER RANKS ARGUMENTS...: exit code in rc, output in said
    local sched=$1 ranks=$2
    shift 2
    rm -rf run
    rc=0
    SIMDEV_SCHED=$sched SIMDEV_KERNELS=$top/mutant_kernels.so "$SRC/tests/simdev/run" timeout 60 "$MPIRUN" -np "$ranks" \
        ./program/dtrain --device cuda --data data --samples 150 --epochs 1 --batch 64 --micro-batch 32 --seed 3 \
        --progress none --out run --model "conv 4 3; relu; pool 2; dropout 0.25; conv 6 3; pool 2; relu; fc 16; relu; fc 10" \
        "$@" >said 2>&1 || rc=$?
}
digest() {
    sed -n 's/.*params_sha256[": ]*\([0-9a-f]\{64\}\).*/\1/p' said | tail -n 1
}
# hunt RANKS TEXT: the ways to train, until one is caught; what caught it is in $how
hunt() {
    local way
    for way in eager: lazy: lazy:--no-graph random:--no-graph; do
        # shellcheck disable=SC2086 # none or one option
        train "${way%%:*}" "$1" ${way#*:}
        how=$way
        if grep -qE "simdev.*($2)" said || { [[ $2 == *digest* ]] && [ "$rc" -eq 0 ] && [ "$(digest)" != "$right" ]; }; then
            return 0
        fi
    done
    return 1
}

mkdir -p program tree
python3 "$SRC/tests/make_data.py" data --train 160 --test 40
cp "$DTRAIN" program/dtrain
cp "$SIMDEV_DIR/libsimdev_kernels.so" mutant_kernels.so
cp "$(dirname "$DTRAIN")/libdtrain_cuda.so" program/
train eager 1
right=$(digest)
for way in "lazy 2" "random 2 --no-graph" "random 3"; do
    # shellcheck disable=SC2086 # several words
    train $way
    if [ "$rc" -eq 0 ] && [ -n "$right" ] && [ "$(digest)" = "$right" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: the unchanged program, $way: exit code $rc"
        tail -n 20 said
    fi
done

while IFS='~' read -r name ranks file change text <&3; do
    [ -z "${MUTANTS:-}" ] || [ "$MUTANTS" = "$name" ] || continue
    rm -f mutant.o mutant.ptx mutant_kernels.so
    mkdir -p "tree/$(dirname "$file")"
    sed -E "$change" "$SRC/$file" >"tree/$file"
    if cmp -s "$SRC/$file" "tree/$file"; then
        failed=$((failed + 1))
        echo "FAILED: $name: nothing in $file changes by $change"
    elif ! compile "$file" >compiler.txt 2>&1 || ! link "$file" >>compiler.txt 2>&1; then
        failed=$((failed + 1))
        echo "FAILED: $name does not compile:"
        cat compiler.txt
    elif hunt "$ranks" "$text"; then
        passed=$((passed + 1))
        echo "caught: $name, $how: $(grep -E 'VIOLATION|LEAK' said | head -n 1 | cut -c 1-150)"
    else
        failed=$((failed + 1))
        echo "FAILED: $name is not caught; the last output (exit code $rc):"
        tail -n 8 said
    fi
    rm -f "tree/$file"
done 3< <(table)
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
