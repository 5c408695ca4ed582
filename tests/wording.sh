#!/usr/bin/env bash
# wording.sh [ROOT]: the tree speaks of the program alone: no words or paths of the places where it was made, and nothing
# left open in the code. The patterns are put together from pieces, so that this file does not hold what it looks for.
# Without ROOT it checks this tree, and itself: it plants such words in a copy and must find them.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

j() { printf '%s' "$@"; } # joins the pieces
places="$(j '/wo' 'rk/')|$(j '/fa' 'rm/')|$(j 'registry\.np' 'mjs')|$(j 'deb\.deb' 'ian\.org')|$(j 'pypi\.o' 'rg')"
places="$places|$(j 'files\.python' 'hosted')|$(j 'before' '-stop')"
people="$(j 'the (develo' 'per|c' 'eo)\b')|$(j 'farm-(be' 'nch|stu' 'dio)')|$(j 'this ses' 'sion')|$(j '\bsub-?ag' 'ents?\b')"
people="$people|$(j '\bA' 'I\b assis' 'tant')"
open="$(j '\bTO' 'DO\b')|$(j '\bFIX' 'ME\b')|$(j '\bX' 'XX\b')|$(j '\bHA' 'CK\b')|$(j 'not implem' 'ented')|$(j 'unimplem' 'ented')"
status_word="$(j '"unimplem' 'ented"')" # oneDNN's name of an error

# check FILE...: prints every line that does not belong; fails if there is one.
check() {
    local found
    found=$(grep -nHEi "$places|$people" "$@" || true; grep -nHE "$open" "$@" | grep -vF "$status_word" || true)
    [ -z "$found" ] || printf '%s\n' "$found" | sed 's/^/wording: /'
    [ -z "$found" ]
}
# All files that belong to the tree: from git where there is git, so that folders of data and builds do not count.
tree() {
    git ls-files -z 2>/dev/null | grep -zvE '\.(h5|png|gz)$' ||
        find . \( -name build -o -name data -o -name runs -o -name out \) -prune -o -type f -print0
}

cd "${1:-$here}"
mapfile -d '' -t files < <(tree)
check "${files[@]}"
[ $# -eq 0 ] || exit 0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for word in "$(j '/wo' 'rk/main')" "$(j 'py' 'pi.org')" "$(j 'This ses' 'sion')" "// $(j 'TO' 'DO') later"; do
    printf 'a line\n%s\n' "$word" >"$scratch/planted.c"
    if check "$scratch/planted.c" >/dev/null; then
        printf 'wording: does not see "%s"\n' "$word"
        exit 1
    fi
done
echo "wording fine in ${#files[@]} files"
