# CCDM from a POSIX shell with curl. Copy this file and source it. Arrays are CSV files
# without a header, one member a line; an empty cell or NaN in an observation means that
# nothing came in. Wants CCDM_URL, and CCDM_API_KEY unless on loopback.

# ccdm_call ACCEPT METHOD PATH [curl arguments]: the answer on standard output. A service
# that is away is asked again for half a minute; a refusal is shown and returned.
ccdm_call() {
    accept=$1 method=$2 path=$3
    shift 3
    reply=$(mktemp)
    status=$(curl --silent --show-error --output "$reply" --write-out '%{http_code}' \
        --retry 15 --retry-delay 2 --retry-connrefused --max-time 300 \
        ${CCDM_API_KEY:+--header "X-API-Key: $CCDM_API_KEY"} \
        --header "Accept: $accept" --request "$method" "$@" "$CCDM_URL$path") || status=000
    case $status in
        2*) cat "$reply"; rm "$reply" ;;
        *) echo "$method $path: $status $(cat "$reply")" >&2; rm "$reply"; return 1 ;;
    esac
}

# ccdm_csv METHOD PATH [curl arguments]: samples as CSV, less the header.
ccdm_csv() {
    samples=$(ccdm_call text/csv "$@") || return 1
    printf '%s\n' "$samples" | tr -d '\r' | tail -n +2
}

# ccdm_rows FILE: a CSV of numbers as JSON rows, [[1,2],[3,4]].
ccdm_rows() {
    awk -F, 'BEGIN { printf "[" }
        { printf (NR > 1 ? ",[" : "[")
          for (i = 1; i <= NF; i++) {
              if (i > 1) printf ","
              printf "%s", ($i ~ /^ *([Nn][Aa][Nn])? *$/ ? "null" : $i)
          }
          printf "]" }
        END { printf "]" }' "$1"
}

# ccdm_create JSON: begin a session, print its id.
ccdm_create() {
    created=$(ccdm_call application/json POST /v1/sessions \
        --header 'Content-Type: application/json' --data "$1") || return 1
    printf '%s' "$created" | sed 's/^{.*"id": *"\([^"]*\)".*/\1/'
}

# ccdm_analysis ID CYCLE: samples as CSV without a header; cycle 0 is the beginning.
ccdm_analysis() {
    ccdm_csv GET "/v1/sessions/$1/cycles/$2/analysis"
}

# ccdm_cycle ID CYCLE STATES SIMULATED OBSERVATION: three CSV files in, samples out.
# A cycle may be sent again: the service answers as it did the first time.
ccdm_cycle() {
    {
        printf '{"forecast_states":%s,' "$(ccdm_rows "$3")"
        printf '"simulated_measurements":%s,' "$(ccdm_rows "$4")"
        printf '"observation":%s}' "$(ccdm_rows "$5" | sed 's/^\[//; s/\]$//')"
    } | ccdm_csv PUT "/v1/sessions/$1/cycles/$2" \
        --header 'Content-Type: application/json' --data-binary @-
}

# ccdm_delete ID: have the service forget the session, which it keeps otherwise.
ccdm_delete() {
    ccdm_call application/json DELETE "/v1/sessions/$1"
}
