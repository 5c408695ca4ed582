#!/usr/bin/env bash
# timeout: 240
# The page of dtrain serve in a browser: digits drawn stroke by stroke are recognised, labelled, downloaded and evaluated;
# keys and touch; a run is watched while two ranks train. Pictures of the screens: mkdir DIR, and PAGE_SHOTS=DIR.
set -euo pipefail
CHROMIUM=$(command -v chromium || command -v chromium-browser || true)
export CHROMIUM PLAYWRIGHT=$SRC/build/playwright
for program in "${CHROMIUM:-chromium}" node npm; do
    if ! command -v "$program" >/dev/null; then
        echo "skipped: needs $program"
        exit 77
    fi
done
if ! "$SRC/launch/fetch-playwright.sh" "$PLAYWRIGHT"; then
    echo "skipped: playwright-core could not be fetched"
    exit 77
fi
if ! python3 -c 'import numpy' 2>/dev/null; then
    echo "skipped: needs numpy for python3"
    exit 77
fi
server=
end_server() {
    local code=0
    [ -n "$server" ] || return 0
    kill -INT "$server" 2>/dev/null || true
    wait "$server" || code=$?
    server=
    return "$code"
}
trap 'end_server || true' EXIT
url=
serve() { # serve ARGS...: leaves $server and $url
    rm -f address
    "$DTRAIN" serve "$@" --port 0 --json >address &
    server=$!
    for _ in $(seq 200); do
        [ ! -s address ] || break
        sleep 0.05
    done
    url=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' address)
}
mkdir -p out
[ -z "${PAGE_SHOTS:-}" ] || ln -s "$PAGE_SHOTS" out/shots

python3 "$SRC/tests/make_strokes.py" "$SRC/tests/strokes.json" data --train 1200 --test 100
net=(--model 'conv 8 3; relu; pool 2; conv 16 3; relu; pool 2; fc 64; relu; fc 10' --batch 32 --micro-batch 8 --threads 1 --quiet)
"$DTRAIN" --data data "${net[@]}" --epochs 5 --out run
serve run
node "$SRC/tests/page.mjs" "$url" "$SRC/tests/strokes.json" out
end_server # ends with 0

# what was downloaded is a test set like any other, and the one on the disk
cmp out/set/t10k-images-idx3-ubyte run/digits/t10k-images-idx3-ubyte
"$DTRAIN" eval run --data out/set --json >result.json
grep -q '"samples":10,"correct":10,' result.json

mkfifo said
look() { # look WHAT DIR: serves the empty DIR and looks at it; leaves $page
    mkdir "$2"
    serve "$2"
    node "$SRC/tests/page.mjs" "$url" "$SRC/tests/strokes.json" out "$1" >said &
    page=$!
    exec 3<said
}
await() { # await WORD: the next line of the page's script
    read -r line <&3 && [ "$line" = "$1" ]
}

look once short
await ready
"$DTRAIN" --data data "${net[@]}" --epochs 1 --out short
cat <&3
wait "$page"
end_server

look watch watched
await ready
"$MPIRUN" -np 2 "$DTRAIN" --data data "${net[@]}" --epochs 2000 --out watched >said.train 2>&1 &
job=$!
await seen || true # if not, it says why after this
kill -USR1 "$job"
code=0
wait "$job" || code=$?
cat <&3
wait "$page"
end_server
[ "$code" -eq 75 ]
