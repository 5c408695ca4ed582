#!/usr/bin/env bash
# Several hosts, which are namespaces: training, doctor, a frozen host and a cut cable. The rest is in cli_hosts_all.sh.
# timeout: 240
exec "$SRC/tests/hosts/run.sh" --short "$DTRAIN"
