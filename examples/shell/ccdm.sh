# CCDM from a POSIX shell with curl. Copy this file and source it. Arrays are CSV files
# without a header, one member a line; an empty cell or NaN in an observation means that
# nothing came in. Wants CCDM_URL, and CCDM_API_KEY unless on loopback.

# ccdm_call ACCEPT METHOD PATH [curl arguments]: the answer on standard output. A service
# that is away is asked again for half a minute; a refusal is shown and returned. A body
# comes from a file: standard input could not be sent again.
ccdm_call() {
    accept=$1 method=$2 path=$3 tries=1
    shift 3
    answer=$(mktemp -d)
    while :; do
        rm -f "$answer"/*
        code=0
        status=$(curl --silent --show-error --output "$answer/reply" \
            --dump-header "$answer/heads" --write-out '%{http_code}' --max-time 300 \
            ${CCDM_API_KEY:+--header "X-API-Key: $CCDM_API_KEY"} \
            --header "Accept: $accept" --request "$method" "$@" "$CCDM_URL$path" \
            2>"$answer/trouble") || code=$?
        ccdm_again && [ "$tries" -lt 15 ] || break
        tries=$((tries + 1))
        sleep "$pause"
    done
    failed=1
    case $code:$status in
        0:2*) failed=0; [ ! -f "$answer/reply" ] || cat "$answer/reply" ;;
        0:*) echo "$method $path: $status $(cat "$answer/reply" 2>/dev/null)" >&2 ;;
        *) echo "$method $path: no answer from $CCDM_URL: $(cat "$answer/trouble")" >&2 ;;
    esac
    rm -r "$answer"
    return "$failed"
}

# Is it to be asked again, and after which pause? Yes if no whole answer came, by curl's
# exit status (--retry-connrefused knows 7 alone), or if the answer says later.
ccdm_again() {
    pause=$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9]\{1,2\}\)[^0-9]*$/\1/p' \
        "$answer/heads" 2>/dev/null | tail -n 1)
    case $code:$status:$pause in
        6:* | 7:* | 18:* | 28:* | 35:* | 52:* | 55:* | 56:* | 92:*) ;;
        0:50[234]:* | 0:429:?*) ;;
        *) return 1 ;;
    esac
    pause=${pause:-2}
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
    body=$(mktemp)
    {
        printf '{"forecast_states":%s,' "$(ccdm_rows "$3")"
        printf '"simulated_measurements":%s,' "$(ccdm_rows "$4")"
        printf '"observation":%s}' "$(ccdm_rows "$5" | sed 's/^\[//; s/\]$//')"
    } >"$body"
    failed=0
    ccdm_csv PUT "/v1/sessions/$1/cycles/$2" --header 'Content-Type: application/json' \
        --data-binary "@$body" || failed=1
    rm "$body"
    return "$failed"
}

# ccdm_delete ID: have the service forget the session, which it keeps otherwise.
ccdm_delete() {
    ccdm_call application/json DELETE "/v1/sessions/$1"
}
