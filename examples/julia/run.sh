#!/bin/sh
# Run the example in Julia: examples/julia/run.sh
set -eu
. "$(dirname "$0")/../service.sh"
need julia 'none; see julialang.org'
start_service
julia --startup-file=no "$root/examples/julia/lorenz63.jl" "$CCDM_URL"
