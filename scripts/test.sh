#!/usr/bin/env bash
# Run pytest with a real redis-server on the PATH; arguments go to pytest. Without any,
# all tests are meant, and a browser and the examples' languages are installed if may be.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ $# -gt 0 ]] || scripts/test_tools.sh
redis="$(scripts/redis_server.sh)"
PATH="${PWD}/.venv/bin:$(dirname "${redis}"):${PATH}"
export PATH
# Several BLAS threads on two cores make small products many times slower.
export OPENBLAS_NUM_THREADS=1
exec .venv/bin/python -m pytest "$@"
