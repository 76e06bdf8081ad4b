#!/bin/sh
# Run the example in JavaScript: examples/javascript/run.sh
set -eu
. "$(dirname "$0")/../service.sh"
need node nodejs
node -e 'process.exit(typeof fetch === "function" ? 0 : 1)' || {
    echo "not run: node $(node --version) is too old (wanted 18 or later)"
    exit 77
}
start_service
node "$root/examples/javascript/lorenz63.mjs" "$CCDM_URL"
