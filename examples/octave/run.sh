#!/bin/sh
# Run the example in GNU Octave: examples/octave/run.sh. In MATLAB, on a machine with curl:
#   matlab -batch "addpath('examples/octave'); lorenz63('http://127.0.0.1:8000')"
set -eu
. "$(dirname "$0")/../service.sh"
need octave-cli octave
need curl curl
start_service
cd "$root/examples/octave"
octave-cli --no-window-system --quiet --eval "lorenz63('$CCDM_URL');"
