#!/usr/bin/env bash
# timeout: 180
# A real Slurm, made for this: both launchers, and a job that is preempted and comes back to the bits of an undisturbed run.
# The rest of tests/slurm is in cli_slurm_all.sh.
exec "$SRC/tests/slurm/run.sh" basic preempt
