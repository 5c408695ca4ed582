#!/usr/bin/env bash
# in-temp.sh COMMAND...: runs it in an empty temporary folder, which is gone afterwards; its exit code is COMMAND's.
set -u
folder=$(mktemp -d "${TMPDIR:-/tmp}/dtrain-test.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
OMPI_MCA_orte_tmpdir_base=$folder "$@" # what a killed mpirun leaves behind goes with the folder
