#!/bin/sh
# Run the examples of all languages that this machine has, against one service; or of
# those named: examples/run_all.sh [c cpp fortran ...]. Exits with 0 when every example
# that ran reached its score, and says which were not run.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/examples/service.sh"
[ $# -gt 0 ] || set -- shell python c cpp fortran javascript r octave julia
start_service
ran='' failed='' missed=''
for language in "$@"; do
    echo "== $language"
    status=0
    "$root/examples/$language/run.sh" >"$build/output" 2>&1 || status=$?
    cat "$build/output"
    case $status in
        0) ran="$ran $language" ;;
        77) missed="$missed
    $language: $(sed -n 's/^not run: //p' "$build/output")" ;;
        *) failed="$failed $language" ;;
    esac
done
echo "== reached their score:${ran:- none}"
[ -z "$missed" ] || echo "== not run:$missed"
[ -z "$failed" ] || { echo "== failed:$failed"; exit 1; }
