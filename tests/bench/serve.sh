#!/usr/bin/env bash
# serve.sh: how long `dtrain serve` takes for one drawing, from its bytes to the answer's: preparing the picture and the
# network. As the program itself tells, and round trip on the loopback device; network cnn, drawings of 112 x 112.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

train 1 --samples 12000 --epochs 1
"$dtrain" serve "$scratch/run" --port 0 --json >"$scratch/address" &
server=$!
trap 'kill -INT "$server" 2>/dev/null; rm -rf "$scratch"' EXIT
for ((i = 0; i < 200; i++)); do
    [ ! -s "$scratch/address" ] || break
    sleep 0.05
done
python3 - "$scratch/address" "$root/tests/strokes.json" >"$scratch/times" <<'PY'
import http.client
import json
import re
import sys
import time

host, base = re.fullmatch(r"http://([^/]+)(/.*)", json.load(open(sys.argv[1]))["url"]).groups()
SIDE, PEN = 112, 4


def drawing(strokes):
    """Discs of the pen along the strokes, dark on white."""
    pixels = bytearray(b"\xff" * (SIDE * SIDE))
    for line in strokes:
        for (x0, y0), (x1, y1) in zip(line, line[1:]):
            for t in range(21):
                x, y = (SIDE * (a + (b - a) * t / 20) for a, b in ((x0, x1), (y0, y1)))
                for row in range(int(y) - PEN, int(y) + PEN + 1):
                    for column in range(int(x) - PEN, int(x) + PEN + 1):
                        if (row - y) ** 2 + (column - x) ** 2 <= PEN ** 2:
                            pixels[row * SIDE + column] = 0
    return bytes(pixels)


drawings = [drawing(strokes) for strokes in json.load(open(sys.argv[2])).values()]
connection = http.client.HTTPConnection(host)
for i in range(1100):
    begin = time.perf_counter()
    connection.request("POST", f"{base}api/predict?width={SIDE}&height={SIDE}", drawings[i % 10])
    answer = json.loads(connection.getresponse().read())
    if i >= 100:
        print(answer["ms"], 1e3 * (time.perf_counter() - begin))
PY
cut -d ' ' -f 1 "$scratch/times" >"$scratch/inside"
cut -d ' ' -f 2 "$scratch/times" >"$scratch/round"
late=$(sort -g "$scratch/inside" | sed -n 990p)
row "one drawing recognised by \`dtrain serve\`, network cnn" \
    "$(show '**%.2f ms** (median of 1,000; 99 %% within %.2f ms), %.2f ms round trip' "$(median inside)" "$late" "$(median round)")" \
    "<= 2 ms" "$(judge "$(median inside) <= 2")"
