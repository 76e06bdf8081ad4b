#!/usr/bin/env bash
# Get what the tests use where it is there: a browser for the dashboard, a proxy for two
# replicas, certificates' tool, compilers and interpreters for the examples. From Debian's
# packages, as root, within minutes.
#
# Nothing fails here. What is still missing afterwards is skipped by name, and the last
# lines of the run count and name what was not tested. With --all it ends with 1 where
# something is still missing.
set -euo pipefail
cd "$(dirname "$0")/.."

SECONDS_EACH=300
say() { echo "test tools: $*" >&2; }

has_browser() {
    local name
    for name in "${CHROMIUM:-chromium}" chromium-browser google-chrome \
        google-chrome-stable; do
        command -v "${name}" >/dev/null && return
    done
    return 1
}

has_nginx() { PATH="${PATH}:/usr/sbin" command -v nginx >/dev/null; }
has_openssl() { command -v openssl >/dev/null; }
finish() {
    [[ "${1:-}" == --all ]] || exit 0
    has_browser && has_nginx && has_openssl && scripts/example_tools.sh --check >&2
    exit
}

# Elsewhere a package of this name may be something else (on Ubuntu it needs snap).
can_install() {
    [[ "$(id -u)" == 0 ]] && command -v apt-get >/dev/null \
        && grep -qs '^ID=debian' /etc/os-release
}

# Of nginx only the program is wanted: at runlevel 1 no service is started.
get() {
    say "installing $1"
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    timeout "${SECONDS_EACH}" apt-get -qq update \
        && timeout "${SECONDS_EACH}" apt-get -qq install --yes \
            --no-install-recommends "$1" >/dev/null
}

if ! can_install; then
    say "not root on Debian, so only what is there is used"
    finish "$@"
fi
has_browser || get chromium >&2 || say "chromium could not be installed"
has_nginx || get nginx >&2 || say "nginx could not be installed"
has_openssl || get openssl >&2 || say "openssl could not be installed"
timeout "${SECONDS_EACH}" scripts/example_tools.sh >&2 \
    || say "some of the examples' tools could not be installed"
finish "$@"
