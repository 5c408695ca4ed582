#!/usr/bin/env bash
# timeout: 150
# sanitizers: yes
# dtrain serve: who may ask, what is answered, what is refused; many clients and slow ones; the set of digits is whole after
# any end; a run is watched while it trains. tests/cli_page.sh looks at the same with a browser.
set -euo pipefail
python3 "$SRC/tests/make_data.py" data --train 640 --test 100
"$DTRAIN" --data data --out run --model 'conv 4 3; relu; pool 2; fc 10' --epochs 1 --batch 16 --micro-batch 8 --threads 1 --quiet
python3 "$SRC/tests/serve.py" "$DTRAIN"
