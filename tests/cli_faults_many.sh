#!/usr/bin/env bash
# timeout: 900
# tier: all
# Many random faults of tests/faults/campaign: nothing is lost by them.
set -euo pipefail
exec python3 "$SRC/tests/faults/campaign" --faults 50 --seed 1
