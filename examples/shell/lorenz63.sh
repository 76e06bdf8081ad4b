#!/bin/sh
# A simulator of its own: Lorenz-63 in awk, driven by a POSIX shell. All three variables
# are observed with errors of standard deviation 2 every 0.1 time units. The service sees
# states, simulated measurements and observations; the model stays here.
set -eu
. "$(dirname "$0")/ccdm.sh"
CYCLES=220 SPIN_UP=20 ERROR=2.0 BOUND=1.0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# forecast: states from standard input, one a line, an observation interval later.
forecast() {
    awk -F, '{
        x = $1; y = $2; z = $3
        for (step = 0; step < 10; step++) {
            dx = 10 * (y - x); dy = x * (28 - z) - y; dz = x * y - 8 / 3 * z
            x += 0.01 * dx; y += 0.01 * dy; z += 0.01 * dz
        }
        printf "%.17g,%.17g,%.17g\n", x, y, z
    }'
}

# disturb SEED: add the error of the instrument (Box and Muller).
disturb() {
    awk -F, -v seed="$1" -v error="$ERROR" '
        function normal() {
            return sqrt(-2 * log(1 - rand())) * cos(6.283185307179586 * rand())
        }
        BEGIN { srand(seed); rand() }
        { printf "%.17g,%.17g,%.17g\n", $1 + error * normal(), $2 + error * normal(),
                 $3 + error * normal() }'
}

# The measurement of a member is its state: exact, so measurement_error says how precise
# the instrument is. The service draws the initial ensemble.
id=$(ccdm_create '{"state_dim": 3, "measurement_dim": 3, "seed": 1, "members": 100,
    "initial_mean": [0, 0, 25], "initial_std": 5,
    "options": {"measurement_error": '"$ERROR"'}}')
echo 1,2,24 >"$work/truth"
ccdm_analysis "$id" 0 >"$work/analysis"
k=1
while [ "$k" -le "$CYCLES" ]; do
    forecast <"$work/truth" >"$work/next" && mv "$work/next" "$work/truth"
    disturb "$k" <"$work/truth" >"$work/observation"
    forecast <"$work/analysis" >"$work/states"
    ccdm_cycle "$id" "$k" "$work/states" "$work/states" "$work/observation" \
        >"$work/analysis"
    # Error of the ensemble's mean, one line a cycle.
    awk -F, 'NR == FNR { for (j = 1; j <= 3; j++) truth[j] = $j; next }
        { n++; for (j = 1; j <= 3; j++) sum[j] += $j }
        END { for (j = 1; j <= 3; j++) square += (sum[j] / n - truth[j]) ^ 2 / 3
              print sqrt(square) }' "$work/truth" "$work/analysis" >>"$work/errors"
    k=$((k + 1))
done
ccdm_delete "$id"
awk -v skip="$SPIN_UP" -v bound="$BOUND" -v error="$ERROR" '
    NR > skip { sum += $1; n++ }
    END { printf "score: RMSE %.3f, wanted below %s; the observations'"'"' own is %s\n",
                 sum / n, bound, error
          exit !(sum / n < bound) }' "$work/errors"
