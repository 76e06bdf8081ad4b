#!/bin/sh
# Build and run the example in C++: examples/cpp/run.sh
set -eu
. "$(dirname "$0")/../service.sh"
need_libcurl
need g++ g++
here="$root/examples/cpp"
g++ -std=c++17 -O2 -Wall -Wextra -Werror -o "$build/lorenz63" "$here/lorenz63.cpp" -lcurl
start_service
"$build/lorenz63" "$CCDM_URL"
