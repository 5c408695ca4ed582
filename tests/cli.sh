# shellcheck shell=bash
# tests/cli.sh - sourced by tests/cli_*.sh: counts what is checked. A check that fails shows the end of the files where these
# scripts keep what a program printed.
n_passed=0 n_failed=0
check() { # check WHAT COMMAND...
    local what=$1
    shift
    if "$@"; then
        n_passed=$((n_passed + 1))
    else
        n_failed=$((n_failed + 1))
        echo "FAILED: $what" >&2
        { cat said followed out.txt err.txt 2>/dev/null || :; } | tail -n 20 | sed 's/^/    | /' >&2
    fi
}
finish() { # the last command of a script: fails if a check has, or if there was none
    echo "$n_passed passed, $n_failed failed"
    [ "$n_failed" -eq 0 ] && [ "$n_passed" -gt 0 ]
}
