#!/bin/sh
# Estimate the parameters of a burning reactor: examples/reactor/run.sh
set -eu
. "$(dirname "$0")/../service.sh"
python="$root/.venv/bin/python"
[ -x "$python" ] || python=python3
need "$python" python3
"$python" -c 'import cantera' 2>/dev/null || {
    echo "not run: the simulator is missing (pip install 'ccdm[examples]')"
    exit 77
}
start_service
cd "$root/examples/reactor"
"$python" mixture.py "$CCDM_URL" "$@"
