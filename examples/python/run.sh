#!/bin/sh
# Run the example in Python: examples/python/run.sh
set -eu
. "$(dirname "$0")/../service.sh"
need_python numpy 'Debian package: python3-numpy'
start_service
"$python" "$root/examples/python/lorenz63.py" "$CCDM_URL"
