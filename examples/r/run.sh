#!/bin/sh
# Run the example in R: examples/r/run.sh
set -eu
. "$(dirname "$0")/../service.sh"
need Rscript r-base-core
Rscript -e 'quit(status = !requireNamespace("curl", quietly = TRUE))' || {
    echo "not run: the R package curl is missing (Debian package: r-cran-curl)"
    exit 77
}
start_service
Rscript "$root/examples/r/lorenz63.R" "$CCDM_URL"
