#!/usr/bin/env bash
# fetch-playwright.sh [DIR]: playwright-core, with which a test drives the browser that is installed, in DIR/node_modules
# (default build/playwright). What is there already is left alone; of several calls at a time one fetches.
set -euo pipefail
folder=$(realpath -m "${1:-$(dirname "$0")/../build/playwright}")
[ ! -e "$folder/complete" ] || exit 0

mkdir -p "$folder"
exec 9>"$folder.lock"
flock 9
[ ! -e "$folder/complete" ] || exit 0
if ! npm install --prefix "$folder" --no-audit --no-fund --no-save playwright-core@1 >"$folder/log" 2>&1; then
    tail -n 5 "$folder/log" >&2
    echo "fetch-playwright.sh: npm could not install playwright-core" >&2
    exit 1
fi
touch "$folder/complete"
