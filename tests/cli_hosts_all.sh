#!/usr/bin/env bash
# All of tests/hosts/run.sh: also a sweep over hosts with latency and bandwidth, and how well the report predicts it.
# timeout: 900
# tier: all
exec "$SRC/tests/hosts/run.sh" "$DTRAIN"
