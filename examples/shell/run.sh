#!/bin/sh
# Run the example in a POSIX shell, with curl and awk: examples/shell/run.sh
set -eu
. "$(dirname "$0")/../service.sh"
need curl curl
need awk mawk
start_service
sh "$root/examples/shell/lorenz63.sh"
