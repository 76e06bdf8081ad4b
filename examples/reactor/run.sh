#!/bin/sh
# Estimate the parameters of a burning reactor:
#   examples/reactor/run.sh [--seeds 3] [--cycles 40] [--picture FILE]
set -eu
. "$(dirname "$0")/../service.sh"
need_python cantera "'make example-reactor' installs it"
need_python service.client "'make example-reactor' installs it"
start_service
"$python" "$root/examples/reactor/mixture.py" "$CCDM_URL" "$@"
