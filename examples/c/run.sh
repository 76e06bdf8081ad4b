#!/bin/sh
# Build and run the example in C: examples/c/run.sh
set -eu
. "$(dirname "$0")/../service.sh"
need_libcurl
here="$root/examples/c"
gcc -std=c99 -D_DEFAULT_SOURCE -O2 -Wall -Wextra -Werror -o "$build/lorenz63" \
    "$here/lorenz63.c" "$here/ccdm.c" -lcurl -lm
start_service
"$build/lorenz63" "$CCDM_URL"
