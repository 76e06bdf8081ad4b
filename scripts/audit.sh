#!/usr/bin/env bash
# Look for known weaknesses in the pinned packages, and lint Dockerfile and YAML files.
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
echo "audit: Dockerfile, docker-compose.yml, deploy/prometheus, deploy/kubernetes"
"${venv}/bin/hadolint" Dockerfile || status=1
rules="{extends: default, rules: {document-start: disable, line-length: {max: 120}}}"
"${venv}/bin/yamllint" --strict -d "${rules}" docker-compose.yml deploy/prometheus \
    deploy/kubernetes || status=1

unknown="could not be audited"
report="$(mktemp)"
trap 'rm -f "${report}"' EXIT
for lock in requirements.lock requirements-build.lock requirements-dev.lock; do
    found=0
    "${venv}/bin/pip-audit" --disable-pip --require-hashes --requirement "${lock}" \
        --vulnerability-service "${AUDIT_SERVICE:-pypi}" --progress-spinner off \
        >"${report}" 2>&1 || found=1
    all="$(grep -cE '^[A-Za-z0-9].*==' "${lock}")"
    missing="$(grep -c "${unknown}" "${report}" || true)"
    echo "audit: ${lock}: $((all - missing)) of ${all} packages looked up"
    if ((missing > 0)); then
        echo "audit: nothing is known of the other ${missing}: the index has no facts" \
            "about them. AUDIT_SERVICE=osv asks another one, if it can be reached." >&2
        status=1
    fi
    if ((found)); then
        grep -v "${unknown}" "${report}" | tail -n 20
        status=1
    fi
done
if ((status)); then
    echo "audit: not clean" >&2
else
    echo "audit: clean"
fi
exit "${status}"
