# Sourced by every run.sh. Sets CCDM_URL; starts a service of its own, for as long as the
# script runs, where none is given. Works in any POSIX shell.
root=${root:-$(cd "$(dirname "$0")/../.." && pwd)}
ccdm="$root/.venv/bin/ccdm"
[ -x "$ccdm" ] || ccdm=ccdm
if [ -z "${CCDM_URL:-}" ] && ! command -v "$ccdm" >/dev/null 2>&1; then
    name=$(basename "$(cd "$(dirname "$0")" && pwd)")
    [ "$name" = examples ] || name="example-$name"
    echo "CCDM is not set up here. In $root," >&2
    echo "'make $name' does that, and then runs this; or set CCDM_URL to a service." >&2
    exit 1
fi
build=$(mktemp -d)

# need TOOL PACKAGE: leave with status 77, "not run", where a tool is missing.
need() {
    command -v "$1" >/dev/null 2>&1 && return
    echo "not run: $1 is missing (Debian package: $2)"
    exit 77
}

# need_libcurl: the same for the headers of libcurl, and a compiler of C to try them.
need_libcurl() {
    need gcc gcc
    has_libcurl && return
    echo "not run: $no_libcurl"
    exit 77
}

no_libcurl='the headers of libcurl are missing (Debian package: libcurl4-openssl-dev)'
has_libcurl() {
    printf '#include <curl/curl.h>\nint main(void) { return 0; }\n' >"$build/probe.c"
    gcc -o "$build/probe" "$build/probe.c" -lcurl 2>/dev/null
}

# need_python PACKAGE HOW: sets python, CCDM's own where there is one; the same where it
# lacks a package.
need_python() {
    python="$root/.venv/bin/python"
    [ -x "$python" ] || python=python3
    need "$python" python3
    "$python" -c "import $1" 2>/dev/null && return
    echo "not run: the Python package $1 is missing ($2)"
    exit 77
}

finish() {
    [ -z "${service:-}" ] || { kill "$service" 2>/dev/null; wait "$service" 2>/dev/null || :; }
    rm -rf "$build"
}
trap finish EXIT
trap 'exit 130' INT TERM

start_service() {
    [ -z "${CCDM_URL:-}" ] || return 0
    : >"$build/service.log"
    "$ccdm" serve --port 0 --store "sqlite:///$build/sessions.sqlite" \
        >"$build/service.log" 2>&1 &
    service=$!
    tries=0
    while ! grep -q 'Listening on' "$build/service.log"; do
        tries=$((tries + 1))
        if [ "$tries" -gt 600 ] || ! kill -0 "$service" 2>/dev/null; then
            cat "$build/service.log"
            echo "the service did not start; 'make serve' sets it up, or set CCDM_URL" >&2
            exit 1
        fi
        sleep 0.1
    done
    CCDM_URL=$(sed -n 's/^Listening on *//p' "$build/service.log" | head -n 1)
    export CCDM_URL
}
