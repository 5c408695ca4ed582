#!/usr/bin/env bash
# tier: all
# timeout: 900
# All 10,000 test images of MNIST as pictures: within half a point of the images themselves. See cli_pictures.sh.
exec bash "$SRC/tests/cli_pictures.sh" 10000 0.5
