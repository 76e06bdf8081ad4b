#!/bin/sh
# Run the example in Python: examples/python/run.sh
set -eu
. "$(dirname "$0")/../service.sh"
python="$root/.venv/bin/python"
[ -x "$python" ] || python=python3
need "$python" python3
"$python" -c 'import numpy' 2>/dev/null || {
    echo "not run: NumPy is missing (Debian package: python3-numpy)"
    exit 77
}
start_service
"$python" "$root/examples/python/lorenz63.py" "$CCDM_URL"
