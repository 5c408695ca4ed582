#!/usr/bin/env bash
# timeout: 300
# tier: all
# Every command of CLUSTER.md, those on several hosts and on Slurm too.
exec bash "$SRC/tests/cli_cluster.sh" --all
