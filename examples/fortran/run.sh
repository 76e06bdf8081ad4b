#!/bin/sh
# Build and run the example in Fortran, twice: examples/fortran/run.sh
set -eu
. "$(dirname "$0")/../service.sh"
need gfortran gfortran
need curl curl
here="$root/examples/fortran"
flags="-std=f2008 -O2 -Wall -Wextra -Werror -J$build"
cd "$build"
gfortran $flags -o files "$here/ccdm_files.f90" "$here/lorenz63.F90"
start_service
echo "Fortran, over files and curl:"
./files "$CCDM_URL" "$build"
if ! command -v gcc >/dev/null || ! has_libcurl; then
    echo "not run over libcurl: gcc is missing, or $no_libcurl"
    exit 0
fi
echo "Fortran, over libcurl:"
gcc -std=c99 -D_DEFAULT_SOURCE -O2 -c -o ccdm.o "$root/examples/c/ccdm.c"
gfortran $flags -DLIBCURL -o libcurl "$here/ccdm_libcurl.f90" "$here/lorenz63.F90" \
    ccdm.o -lcurl
./libcurl "$CCDM_URL" "$build"
