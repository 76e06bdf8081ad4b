#!/usr/bin/env bash
# Look for known weaknesses in the pinned packages, and lint the Dockerfile.
#
# pip-audit asks the package index, or with AUDIT_SERVICE=osv the OSV database, so this
# needs the network. What could not be looked up counts as a failure, not as a pass.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=".cache/audit"
if ! [[ -x "${venv}/bin/pip-audit" && "${venv}" -nt requirements-audit.lock ]]; then
    rm -rf "${venv}"
    .venv/bin/python -m venv "${venv}"
    "${venv}/bin/python" -m pip --quiet --disable-pip-version-check install \
        --require-hashes -r requirements-audit.lock
    touch "${venv}"
fi

status=0
echo "audit: Dockerfile"
"${venv}/bin/hadolint" Dockerfile || status=1
for lock in requirements.lock requirements-build.lock requirements-dev.lock; do
    echo "audit: ${lock}"
    report="$(mktemp)"
    "${venv}/bin/pip-audit" --disable-pip --require-hashes --requirement "${lock}" \
        --vulnerability-service "${AUDIT_SERVICE:-pypi}" --progress-spinner off \
        >"${report}" 2>&1 || status=1
    if grep -q "could not be audited" "${report}"; then
        echo "audit: the index has no facts about some packages; see AUDIT_SERVICE" >&2
        status=1
    fi
    tail -n 20 "${report}"
    rm -f "${report}"
done
exit "${status}"
