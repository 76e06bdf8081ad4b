#!/bin/sh
# Run the cluster example: examples/cluster/run.sh [--cycles 30]
set -eu
. "$(dirname "$0")/../service.sh"
need_python service.client "'make example-cluster' installs it"
start_service
"$python" "$root/examples/cluster/cluster.py" "$CCDM_URL" "$@"
