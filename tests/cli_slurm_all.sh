#!/usr/bin/env bash
# timeout: 1200
# tier: all
# Everything that launch/submit promises, on a real Slurm; cli_slurm.sh is the short form.
exec "$SRC/tests/slurm/run.sh"
