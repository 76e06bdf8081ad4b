#!/bin/sh
# Run all examples that this machine has the tools for, against one service; or those
# named: examples/run_all.sh [c cpp fortran ...]. Exits with 0 when every example that ran
# reached its score, and says which were not run.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/examples/service.sh"
[ $# -gt 0 ] || set -- shell python c cpp fortran javascript r octave julia \
    cluster reactor water
start_service
ran='' failed='' missed=''
for example in "$@"; do
    echo "== $example"
    status=0
    "$root/examples/$example/run.sh" >"$build/output" 2>&1 || status=$?
    cat "$build/output"
    case $status in
        0) ran="$ran $example" ;;
        77) missed="$missed
    $example: $(sed -n 's/^not run: //p' "$build/output")" ;;
        *) failed="$failed $example" ;;
    esac
done
echo "== reached their score:${ran:- none}"
[ -z "$missed" ] || echo "== not run:$missed"
[ -z "$failed" ] || { echo "== failed:$failed"; exit 1; }
