#!/usr/bin/env bash
# Install what the examples are built and run with, from Debian's packages, as root.
# What cannot be installed is named; its examples are then skipped by name. With --check
# nothing is installed: ends with 1 where something is missing.
set -euo pipefail

declare -A package=(
    [gcc]=gcc [g++]=g++ [gfortran]=gfortran [curl]=curl [node]=nodejs
    [octave-cli]=octave [Rscript]=r-base-core
)
missing=()
for tool in "${!package[@]}"; do
    # More than one package may belong to a tool.
    # shellcheck disable=SC2206
    command -v "${tool}" >/dev/null || missing+=(${package[${tool}]})
done
Rscript -e 'quit(status = !requireNamespace("curl", quietly = TRUE))' 2>/dev/null \
    || missing+=(r-cran-curl)
[[ -e /usr/include/curl/curl.h || -n "$(ls /usr/include/*/curl/curl.h 2>/dev/null)" ]] \
    || missing+=(libcurl4-openssl-dev)
[[ ${#missing[@]} -gt 0 ]] || { echo "examples: everything is there"; exit 0; }
if [[ "${1:-}" == --check ]]; then
    echo "examples: missing ${missing[*]}" >&2
    exit 1
fi

echo "examples: installing ${missing[*]}"
if [[ "$(id -u)" != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "examples: this takes root and apt-get; install them by other means" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install --yes --no-install-recommends "${missing[@]}" >/dev/null
