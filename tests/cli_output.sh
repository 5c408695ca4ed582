#!/usr/bin/env bash
# timeout: 120
# What goes to stdout: a bar and colours on a terminal, be it mpirun's; plain lines in a file, also behind mpirun, which gives
# its ranks a pseudo-terminal in any case; no colours with NO_COLOR; nothing with --quiet. And nothing on stderr.
set -euo pipefail

# shellcheck source=tests/cli.sh
. "$SRC/tests/cli.sh"
python3 "$SRC/tests/make_data.py" data --train 400
unset NO_COLOR
export TERM=xterm LC_ALL=C.UTF-8
colours=$'\033\\[[0-9]*m' bar=$'\r.*epoch.*\033\\[K'
plain() { ! grep -qE "$colours|$bar|"$'\033' out; }
coloured() { grep -qE "$colours" out; }
has_bar() { grep -qE "$bar" out; }
quiet_stderr() { [ ! -s err ]; }
cat >script <<'SH'
#!/usr/bin/env bash
# a user's own script around the program
"$@"
exit $?
SH
chmod +x script
# a terminal for COMMAND...; what it shows goes to out
on_terminal() {
    python3 - "$@" >out 2>err <<'PY'
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:], lambda fd: os.read(fd, 65536), lambda fd: b"")))
PY
}
run=("$DTRAIN" train --data data --model "fc 10" --epochs 2 --threads 1 --batch 32)
for how in alone mpirun script; do
    case $how in
    alone) command=("${run[@]}") ;;
    mpirun) command=("$MPIRUN" -np 2 "${run[@]}") ;;
    script) command=("$MPIRUN" -np 2 ./script "${run[@]}") ;;
    esac
    "${command[@]}" --out "$how-file" >out 2>err
    check "$how > file: plain" plain
    check "$how > file: lines" grep -q '^epoch   2/2 .*test loss' out
    check "$how > file: nothing on stderr" quiet_stderr
    "${command[@]}" --out "$how-quiet" --quiet >out 2>err
    check "$how --quiet: nothing" [ ! -s out ]
    check "$how --quiet: nothing on stderr" quiet_stderr
    on_terminal "${command[@]}" --out "$how-terminal"
    check "$how on a terminal: colours" coloured
    NO_COLOR=1 on_terminal "${command[@]}" --out "$how-nocolor"
    check "$how with NO_COLOR: none" grep -q 'test accuracy' out
    check "$how with NO_COLOR: none" eval '! coloured'
    TERM=dumb on_terminal "${command[@]}" --out "$how-dumb"
    check "$how on a dumb terminal: plain" plain
done
# a bar is drawn ten times a second: this takes longer
on_terminal "${run[@]}" --out bar --epochs 60
check "a bar on a terminal" has_bar
"${run[@]}" --out forced --epochs 60 --progress bar >out 2>err
check "and where it is asked for" has_bar
check "without colours, as it is no terminal" eval '! coloured'

finish
