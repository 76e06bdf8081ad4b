#!/bin/sh
# Run the cluster example: examples/cluster/run.sh [--cycles 30]
set -eu
. "$(dirname "$0")/../service.sh"
python="$root/.venv/bin/python"
[ -x "$python" ] || python=python3
start_service
"$python" "$root/examples/cluster/cluster.py" "$CCDM_URL" "$@"
