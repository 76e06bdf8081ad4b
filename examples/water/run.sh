#!/bin/sh
# Run both estimates on the water network: examples/water/run.sh [--seeds 3] [--hours 48]
# Or draw them: examples/water/run.sh --pictures FOLDER [--hours 48]
set -eu
. "$(dirname "$0")/../service.sh"
need_python wntr "'make example-water' installs it"
need_python service.client "'make example-water' installs it"
start_service
here="$root/examples/water"
if [ "${1:-}" = --pictures ]; then
    shift
    "$python" "$here/pictures.py" "$CCDM_URL" "$@"
    exit
fi
"$python" "$here/demands.py" "$CCDM_URL" "$@"
"$python" "$here/roughness.py" "$CCDM_URL" "$@"
