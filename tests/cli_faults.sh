#!/usr/bin/env bash
# timeout: 120
# A few random faults of tests/faults/campaign, the same ones every time: nothing is lost by them.
set -euo pipefail
exec python3 "$SRC/tests/faults/campaign" --faults 8 --seed 3
