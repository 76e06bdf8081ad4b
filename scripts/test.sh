#!/usr/bin/env bash
# Run pytest with a real redis-server on the PATH; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

redis="$(scripts/redis_server.sh)"
PATH="${PWD}/.venv/bin:$(dirname "${redis}"):${PATH}"
export PATH
# Several BLAS threads on two cores make small products many times slower.
export OPENBLAS_NUM_THREADS=1
exec .venv/bin/python -m pytest "$@"
