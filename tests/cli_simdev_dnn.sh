#!/usr/bin/env bash
# cli_simdev_dnn.sh: the simulated cuDNN computes what plain loops do, and accepts and refuses the same tensors and
# convolutions as the real library, which checks them without a GPU: 4,000 random ones, some wrong in one place.
set -euo pipefail
if [ ! -x "${SIMDEV_DIR:-}/probe_dnn" ]; then
    echo "the simulated device is not built here"
    exit 77
fi
"$SRC/tests/simdev/run" "$SIMDEV_DIR/probe_dnn"
LD_LIBRARY_PATH=$SIMDEV_DIR:$(dirname "$SIMDEV_REAL_CUDNN") \
    "$SIMDEV_DIR/shapes" "$SIMDEV_REAL_CUDNN" "$SIMDEV_DIR/libcudnn.so.9"
