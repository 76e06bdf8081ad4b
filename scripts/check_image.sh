#!/usr/bin/env bash
# Build the container image and try it, without a Docker engine.
#
# Buildah runs the Dockerfile. The base image is pulled where a registry answers, else
# a Debian with Python is made by debootstrap. Wheels come from outside the build. The
# image is then started with its own user, command and environment on a read-only root
# file system (scripts/image_trial.py says what is tried). Needs root, or sudo.
set -euo pipefail
cd "$(dirname "$0")/.."

work="${CCDM_IMAGE_WORK:-${PWD}/.cache/image}"
base="${BASE_IMAGE:-python:3.12-slim-bookworm}"
python=".venv/bin/python"
say() { echo "image: $*" >&2; }
fail() { say "$*"; exit 1; }

[[ "$(uname -s)" == Linux ]] || fail "works on Linux only"
[[ "$(id -u)" == 0 ]] || fail "mounts file systems, so run it as root"

need() {
    command -v "$1" >/dev/null && return
    say "installing $1"
    command -v apt-get >/dev/null || fail "$1 is missing"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -qq update && apt-get -qq install --yes --no-install-recommends "$1"; } \
        >&2 || fail "$1 could not be installed"
}

need buildah
mkdir -p "${work}"
export BUILDAH_ISOLATION=chroot
builder=(buildah --root "${work}/storage" --runroot "${work}/run" --storage-driver vfs)

make_base() {
    base="localhost/ccdm-base:bookworm"
    "${builder[@]}" inspect --type image "${base}" >/dev/null 2>&1 && return
    need debootstrap
    say "no registry answers; making a Debian base with debootstrap"
    local root="${work}/debian" container
    rm -rf "${root}"
    debootstrap --variant=minbase \
        --include=python3,python3-venv,python3-pip,ca-certificates \
        bookworm "${root}" >"${work}/debootstrap.log" 2>&1 \
        || fail "debootstrap failed, see ${work}/debootstrap.log"
    ln -sf python3 "${root}/usr/bin/python"
    container="$("${builder[@]}" from scratch)"
    "${builder[@]}" copy --quiet "${container}" "${root}" / >/dev/null
    "${builder[@]}" commit --quiet --rm "${container}" "${base}" >/dev/null
    rm -rf "${root}"
}

timeout 120 "${builder[@]}" pull --quiet "${base}" >/dev/null 2>&1 || make_base

say "base ${base}"
container="$("${builder[@]}" from "${base}")"
version="$("${builder[@]}" run "${container}" -- python3 -c \
    'import sys; print(".".join(map(str, sys.version_info[:3])))')"
"${builder[@]}" rm "${container}" >/dev/null

say "wheels for Python ${version}"
rm -f deploy/wheelhouse/*.whl
for lock in requirements-build.lock requirements.lock; do
    "${python}" -m pip --quiet --disable-pip-version-check download \
        --require-hashes --only-binary :all: --python-version "${version}" \
        --dest deploy/wheelhouse -r "${lock}"
done

say "building"
"${builder[@]}" build --quiet --format docker --layers=false --build-arg BASE_IMAGE="${base}" \
    --build-arg VERSION="$("${python}" -c 'import ccdm_engine.version as v; print(v.__version__)')" \
    --tag localhost/ccdm:latest . >"${work}/build.log" 2>&1 \
    || { tail -n 40 "${work}/build.log" >&2; fail "the build failed"; }
rm -f deploy/wheelhouse/*.whl
# What an earlier build left without a name.
"${builder[@]}" rmi --prune >/dev/null 2>&1 || true

container="$("${builder[@]}" from localhost/ccdm:latest)"
root="$("${builder[@]}" mount "${container}")"
trap '"${builder[@]}" rm "${container}" >/dev/null' EXIT
"${builder[@]}" inspect --type image localhost/ccdm:latest >"${work}/image.json"
"${python}" scripts/image_trial.py "${root}" "${work}/image.json"
