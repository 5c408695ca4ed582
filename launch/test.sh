#!/usr/bin/env bash
# test.sh [--all] [STAGE...]: everything that a change must pass, or only the stages named.
#
# The default is made for every change, on two cores, in at most 25 minutes. --all adds the tests marked "tier: all", every
# test under the sanitizers, and minutes of fuzzing instead of seconds. Each stage builds in build/test/<stage> and keeps
# its output in build/test/<stage>.log; ./dtrain and the folders of the presets are not touched. The last line counts the
# single tests of all ctest stages, and every other stage as one.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. launch/mpi-env.sh
root=$PWD logs=$PWD/build/test jobs=$(nproc)

usage() {
    echo "usage: launch/test.sh [--all] [STAGE...]"
    echo "stages: ${stages[*]}"
}
stages=(format headers scripts gcc clang tidy cppcheck release install asan tsan valgrind onednn3 cuda fuzz)
all=0 chosen=()
for arg in "$@"; do
    case $arg in
    --all) all=1 ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        if [[ " ${stages[*]} " != *" $arg "* ]]; then
            usage >&2
            exit 2
        fi
        chosen+=("$arg")
        ;;
    esac
done
[ "${#chosen[@]}" -gt 0 ] || chosen=("${stages[@]}")

# --- what stages are made of ---
sources() { # SUFFIX...: C files of the tree, one a line
    local suffix
    for suffix in "$@"; do
        find io model dist launch tests -name "*.$suffix" ! -name '*.inc.h' | sort # .inc.h: included several times
    done
}
each() { # COMMAND...: runs it on every file name of standard input, $jobs at a time; fails if one fails
    xargs -r -n 1 -P "$jobs" "$@"
}
build() { # FOLDER OPTION...: configures and builds build/test/FOLDER
    local folder=$logs/$1
    shift
    cmake -S . -B "$folder" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DDT_CUDA_ARCHITECTURES=75 "$@" && cmake --build "$folder" --parallel "$jobs"
}
run_ctest() { # FOLDER LABELS OPTION...: all tests but those with LABELS (a|b); long ones with --all only
    local folder=$logs/$1 without=$2
    shift 2
    [ "$all" -eq 1 ] || without="$without|long"
    ctest --test-dir "$folder" --parallel "$jobs" --output-on-failure --no-tests=error -LE "^($without)\$" "$@"
}
skip() { # REASON
    echo "SKIPPED: $*"
    exit 77
}

# --- the stages; each runs in a subshell of its own, where the first failing command ends it ---
stage_format() {
    # other versions differ in details
    clang-format --version | grep -q 'version 14\.' || skip "the tree is formatted by clang-format 14"
    sources c h | grep -v '^tests/golden/' | xargs clang-format --dry-run -Werror # golden: made by a program
}
# Every header compiles alone, as C and as C++ (that is how CUDA sources see it), and without any library's headers. Not so
# the private ones of the few files that share a library, the plugin's among them.
stage_headers() {
    local header
    for header in $(sources h | grep -vE '^tests/|_impl\.h$|^model/cuda'); do
        echo "$header"
        echo "#include \"$header\"" | gcc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror -I. -fsyntax-only -xc -
        echo "#include \"$header\"" | g++ -std=c++17 -Wall -Wextra -Werror -I. -fsyntax-only -xc++ -
    done
}
stage_scripts() {
    find .ci/run launch tests -type f '(' -name '*.sh' -o -name run -o -name submit -o -name '*.sbatch' ')' -exec shellcheck -x '{}' +
}
stage_gcc() {
    build gcc -DCMAKE_C_COMPILER=gcc -DDT_WERROR=ON
}
stage_clang() {
    build clang -DCMAKE_C_COMPILER=clang -DDT_WERROR=ON
}
stage_tidy() {
    cmake -S . -B "$logs/clang" -DCMAKE_C_COMPILER=clang -DDT_WERROR=ON >/dev/null
    cmake --build "$logs/clang" --target dt_version >/dev/null # the header that sources include
    sources c | grep -v '^tests/' | each clang-tidy --quiet -p "$logs/clang" 2> >(grep -v generated)
}
stage_cppcheck() {
    # internalAstError: its own parser's, at (type){0} behind a question mark
    cppcheck --quiet --error-exitcode=1 --suppress=internalAstError --enable=warning,performance,portability --inline-suppr --std=c11 -j "$jobs" \
        -D_GNU_SOURCE -I. io model dist launch
}
stage_release() {
    stage_gcc >/dev/null
    run_ctest gcc none
}
stage_install() { # what `cmake --install` leaves works
    local to=$logs/installed
    stage_gcc >/dev/null
    rm -rf "$to"
    cmake --install "$logs/gcc" --prefix "$to"
    "$to/bin/dtrain" --version
    grep -q '^\.TH' "$to/share/man/man1/dtrain.1"
    bash -n "$to/share/bash-completion/completions/dtrain"
    "$to/share/dtrain/submit" --dry-run --cpu | grep -F "program=($to/bin/dtrain train)"
}
stage_asan() {
    build asan -DCMAKE_BUILD_TYPE=RelWithDebInfo -DDT_SANITIZE=address,undefined
    run_ctest asan house
}
stage_tsan() { # by default what has threads of our own: the worker pool, queues, the writer, a whole run of two ranks
    # its shadow memory does not fit every layout that address randomisation picks
    ctest() {
        if setarch -R true 2>/dev/null; then
            setarch -R ctest "$@"
        else
            command ctest "$@"
        fi
    }
    local filter='test_(pool|queue|writer|saver|log|comm|watch)|mpi_(train|watchdog)' without='[.]n[134]$'
    [ "$all" -eq 0 ] || filter='' without='^$'
    build tsan -DCMAKE_BUILD_TYPE=RelWithDebInfo -DDT_SANITIZE=thread -DDT_TEST_FILTER="$filter"
    run_ctest tsan house -E "$without"
}
stage_valgrind() {
    local test
    stage_gcc >/dev/null
    for test in idx checkpoint; do
        SRC=$root tests/in-temp.sh valgrind --quiet --error-exitcode=1 --leak-check=full --errors-for-leak-kinds=definite "$logs/gcc/tests/test_$test"
    done
}
stage_onednn3() { # the same tests of the CPU's back end with the other major version of oneDNN
    launch/fetch-onednn.sh "$logs/onednn" || skip "oneDNN 3 could not be fetched"
    build onednn3 -DOneDNN_ROOT="$logs/onednn" -DDT_TEST_FILTER='cpu|dnn|golden|backend|cli_train'
    run_ctest onednn3 house
}
stage_cuda() { # the plugin for all architectures; the release stage runs all its tests on the simulated device
    launch/fetch-cuda.sh || skip "the CUDA libraries could not be fetched"
    build cuda -DDT_WERROR=ON -DDT_CUDA=ON -DDT_TEST_FILTER='cuda|simdev' \
        -DDT_CUDA_ARCHITECTURES='75;80;86;89;90;100;120'
    run_ctest cuda house -R '^cli_cuda(_model)?$'
}
stage_fuzz() {
    build fuzz -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_COMPILER=clang -DDT_FUZZ=ON
    local fuzzer name seeds seconds=5
    [ "$all" -eq 0 ] || seconds=180
    for fuzzer in "$logs"/fuzz/fuzz_*; do
        name=$(basename "$fuzzer")
        mkdir -p "$logs/corpus/$name"
        mapfile -t seeds < <(find "$root/tests/fuzz" -type d -name "${name#fuzz_}")
        (cd "$logs/fuzz" && "$fuzzer" -max_total_time=$seconds -timeout=20 -rss_limit_mb=2048 -close_fd_mask=1 \
            -print_final_stats=1 "$logs/corpus/$name" "${seeds[@]}")
    done
}

# --- running them ---
passed=0 failed=0 skipped=0
# count LOG RC: adds a stage to the three sums; ctest's own count where it got as far as that
count() {
    local summary n_failed n_total n_skipped
    summary=$(grep -E '^[0-9]+% tests passed, [0-9]+ tests failed out of [0-9]+' "$1" | tail -n 1)
    if [ -n "$summary" ]; then
        read -r n_failed n_total < <(sed -E 's/.*passed, ([0-9]+) .*out of ([0-9]+)/\1 \2/' <<<"$summary")
        n_skipped=$(grep -cE '^ *[0-9]+/[0-9]+ Test .*\*\*\*Skipped' "$1")
        passed=$((passed + n_total - n_failed - n_skipped))
        failed=$((failed + n_failed))
        skipped=$((skipped + n_skipped))
        [ "$2" -eq 0 ] || [ "$n_failed" -gt 0 ] || failed=$((failed + 1))
    elif [ "$2" -eq 77 ]; then # from skip
        skipped=$((skipped + 1))
    elif [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
}
run_stage() {
    local log=$logs/$1.log begin=$EPOCHREALTIME rc word
    (
        set -e
        "stage_$1"
    ) >"$log" 2>&1 </dev/null
    rc=$?
    # only skip() skips: programs have their own meanings of 77
    [ "$rc" -ne 77 ] || tail -n 1 "$log" | grep -q '^SKIPPED: ' || rc=1
    case $rc in
    0) word=ok ;;
    77) word=$(tail -n 1 "$log") ;;
    *) word="FAILED, see $log" ;;
    esac
    count "$log" "$rc"
    awk -v name="$1" -v a="$begin" -v b="$EPOCHREALTIME" -v word="$word" -v sum="$(grep -E '^[0-9]+% tests' "$log" | tail -n 1)" \
        'BEGIN { printf "%-10s %6.1f s  %s%s\n", name, b - a, word, sum == "" ? "" : "  (" sum ")" }'
    if [ "$rc" -ne 0 ] && [ "$rc" -ne 77 ]; then
        tail -n 60 "$log"
    fi
}

mkdir -p "$logs"
begin=$SECONDS
launch/setup.sh --tests -y || exit 1
# before the first stage, so that all of them build the CUDA back end
launch/fetch-cuda.sh || echo "the CUDA libraries could not be fetched: no stage builds the CUDA back end"
launch/fetch-python.sh || echo "Python packages could not be fetched: tests that compare with them are skipped"
for stage in "${chosen[@]}"; do
    run_stage "$stage"
done
echo "$((SECONDS - begin)) s in all"
if [ "$skipped" -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
