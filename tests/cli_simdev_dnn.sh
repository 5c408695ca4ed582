#!/usr/bin/env bash
# cli_simdev_dnn.sh: the simulated cuDNN accepts and refuses the same tensors and convolutions as the real library, which
# checks them without a GPU. 4,000 random ones, some wrong in one place.
set -euo pipefail
if [ ! -x "${SIMDEV_DIR:-}/shapes" ] || [ ! -e "${SIMDEV_REAL_CUDNN:-}" ]; then
    echo "the simulated device is not built here, or there is no real cuDNN to compare it with"
    exit 77
fi
LD_LIBRARY_PATH=$SIMDEV_DIR:$(dirname "$SIMDEV_REAL_CUDNN") \
    "$SIMDEV_DIR/shapes" "$SIMDEV_REAL_CUDNN" "$SIMDEV_DIR/libcudnn.so.9"
echo "1 passed, 0 failed"
