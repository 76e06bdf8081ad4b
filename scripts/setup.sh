#!/usr/bin/env bash
# Make .venv from a lock file: scripts/setup.sh demo|examples|dev
#
# Uses $PYTHON when set, else the first suitable interpreter on the PATH.
set -euo pipefail
cd "$(dirname "$0")/.."

kind="${1:?demo, examples or dev}"
venv=".venv"
candidates=(python3 python3.13 python3.12 python3.11 python3.14 python)
[[ -n "${PYTHON:-}" ]] && candidates=("${PYTHON}")

# Prints nothing for a good interpreter, else what is wrong with it.
fault() {
    "$1" - 2>&1 <<'PYTHON' || echo "does not run"
import sys
version = ".".join(map(str, sys.version_info[:3]))
if sys.version_info < (3, 11):
    print(f"is Python {version}, which is too old")
else:
    try:
        import ensurepip, venv
    except ImportError:
        print(f"is Python {version} without the modules venv and ensurepip")
PYTHON
}

find_python() {
    local name found reason
    for name in "${candidates[@]}"; do
        found="$(command -v "${name}")" || continue
        reason="$(fault "${found}" | tail -n 1)"
        if [[ -z "${reason}" ]]; then
            echo "${found}"
            return
        fi
        echo "  ${found} ${reason}" >&2
    done
    return 1
}

if ! [[ -x "${venv}/bin/python" && -z "$(fault "${venv}/bin/python")" ]]; then
    if ! python="$(find_python)"; then
        cat >&2 <<'TEXT'
No suitable Python was found. CCDM needs Python 3.11 or later with the modules venv
and ensurepip. On Debian and Ubuntu:  apt-get install python3 python3-venv
An interpreter elsewhere is chosen by:  make PYTHON=/path/to/python3 ...
TEXT
        exit 1
    fi
    echo "Making ${venv} with ${python}"
    rm -rf "${venv}"
    "${python}" -m venv "${venv}"
fi

locks=(requirements-build.lock "requirements-${kind}.lock")
echo "Installing the $(cat "${locks[@]}" | grep -c '==') pinned packages (${kind});" \
    "the first time takes a few minutes, in which pip is quiet"
pip=("${venv}/bin/python" -m pip --quiet --disable-pip-version-check)
"${pip[@]}" install --require-hashes "${locks[@]/#/-r}"
"${pip[@]}" --quiet install --no-deps --no-build-isolation --editable .
touch "${venv}/.ready-${kind}"
# What the tests need includes what the examples need, and that what the demo needs.
[[ "${kind}" != dev ]] || touch "${venv}/.ready-examples"
[[ "${kind}" == demo ]] || touch "${venv}/.ready-demo"
