#!/bin/sh
# Run both estimates on the water network: examples/water/run.sh
set -eu
. "$(dirname "$0")/../service.sh"
python="$root/.venv/bin/python"
[ -x "$python" ] || python=python3
need "$python" python3
"$python" -c 'import wntr' 2>/dev/null || {
    echo "not run: the simulator is missing (pip install 'ccdm[examples]')"
    exit 77
}
start_service
cd "$root/examples/water"
"$python" demands.py "$CCDM_URL"
"$python" roughness.py "$CCDM_URL"
