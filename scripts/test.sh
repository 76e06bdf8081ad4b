#!/usr/bin/env bash
# Run pytest with a real redis-server on the PATH; arguments go to pytest. Without any,
# all tests are meant: two at a time, then those that look at the clock, alone. And a
# browser and the examples' languages are installed if may be.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ $# -gt 0 ]] || scripts/test_tools.sh
redis="$(scripts/redis_server.sh)"
PATH="${PWD}/.venv/bin:$(dirname "${redis}"):${PATH}"
export PATH
# Several BLAS threads on two cores make small products many times slower.
export OPENBLAS_NUM_THREADS=1
[[ $# -eq 0 ]] || exec .venv/bin/python -m pytest "$@"

# A file's tests stay together, in their order, as they share servers.
failed=0
.venv/bin/python -m pytest -n 2 --dist loadfile -m "not alone" || failed=$?
# Interrupted: not what to go on after.
[[ "${failed}" -ne 2 ]] || exit "${failed}"
.venv/bin/python -m pytest -m alone || failed=$?
exit "${failed}"
