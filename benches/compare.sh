#!/usr/bin/env bash
# Compares portcullis with the limit server (limit_server.rs) under the same load, in turn.
#
# Usage: benches/compare.sh [--quick] [--rounds N] [--at-least RATIO]
#
#   --quick           two short rounds, to see that it works
#   --rounds N        rounds (default 5)
#   --at-least RATIO  exit with 1 where portcullis answers fewer than RATIO times the reviews a second of the limit server
#
# One round drives each server once, one after the other, and every round counts: there is no warm-up and no outlier is
# left out. Portcullis runs twice: with PORTCULLIS_LOG=warn, which is the fair comparison because the limit server logs no
# review, and with its usual log line a review, written to /dev/null. Everything listens on the loopback interface.
set -euo pipefail

usage() {
    sed -n '/^# Usage/,/^# One/ { /^# One/d; s/^# \{0,1\}//p }' "${BASH_SOURCE[0]}" >&2
    exit 2
}

fail() {
    printf 'compare.sh: %s\n' "$*" >&2
    exit 1
}

rounds=5 small=20000 large=3000 at_least=0
while (($#)); do
    case $1 in
        --quick) rounds=2 small=2000 large=300 ;;
        --rounds) rounds=${2:-} && shift ;;
        --at-least) at_least=${2:-} && shift ;;
        *) usage ;;
    esac
    shift || usage
done
[[ $rounds =~ ^[1-9][0-9]?$ && $at_least =~ ^[0-9](\.[0-9]+)?$ ]] || usage

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
exec </dev/null
[[ -n ${HOME:-} && -d $HOME/.cargo/bin ]] && PATH=$PATH:$HOME/.cargo/bin
readonly CLIENTS=8 STREAMS=4
target=${CARGO_TARGET_DIR:-target}
servers=(limit warn info)
declare -A title=([limit]="limit server" [warn]="portcullis, log at warn" [info]="portcullis, log at info")
declare -A pid=() webhook=() operations=() sent=()
work=$(mktemp -d)

clean_up() {
    local server
    for server in "${!pid[@]}"; do
        # Twice asked, it stops at once.
        kill "${pid[$server]}" 2>/dev/null || true
        kill "${pid[$server]}" 2>/dev/null || true
        wait "${pid[$server]}" 2>/dev/null || true
    done
    rm -rf -- "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

install_tools() {
    command -v h2load >/dev/null && command -v nghttp >/dev/null && return
    command -v apt-get >/dev/null || fail "install h2load and nghttp (Debian package nghttp2-client), then run this again"
    local root=()
    ((EUID == 0)) || root=(sudo --)
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends nghttp2-client
}

# In one command, so that both are built from the same dependencies with the same features.
build() {
    cargo build --locked --release --bin portcullis --example limit_server
}

# review UID NAME SPEC: what an API server sends. A dry run, because the inventory in memory learns from any other, which
# no cluster's does.
review() {
    printf '%s' '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"'"$1"'",' \
        '"kind":{"group":"networking.k8s.io","version":"v1","kind":"NetworkPolicy"},' \
        '"resource":{"group":"networking.k8s.io","version":"v1","resource":"networkpolicies"},' \
        '"requestKind":{"group":"networking.k8s.io","version":"v1","kind":"NetworkPolicy"},' \
        '"requestResource":{"group":"networking.k8s.io","version":"v1","resource":"networkpolicies"},' \
        '"name":"'"$2"'","namespace":"shop","operation":"CREATE","userInfo":{"username":"anna@example.com",' \
        '"groups":["developers","system:authenticated"]},"object":{"kind":"NetworkPolicy",' \
        '"apiVersion":"networking.k8s.io/v1","metadata":{"name":"'"$2"'","namespace":"shop",' \
        '"creationTimestamp":"2026-01-01T00:00:00Z","labels":{"app.kubernetes.io/name":"'"$2"'"}},' \
        '"spec":'"$3"'},"oldObject":null,"dryRun":'"$4"',' \
        '"options":{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1","fieldManager":"kubectl-client-side-apply"}}}'
}

# spec RULES: a policy with as many rules in, from pods, and as many out, to public addresses and back to pods.
spec() {
    awk -v rules="$1" 'BEGIN {
        printf "{\"podSelector\":{\"matchLabels\":{\"app\":\"web\"}},\"policyTypes\":[\"Ingress\",\"Egress\"],\"ingress\":["
        for (i = 0; i < rules; i++) {
            printf "%s{\"from\":[{\"namespaceSelector\":{\"matchLabels\":{\"kubernetes.io/metadata.name\":\"team-%d\"}},", i ? "," : "", i
            printf "\"podSelector\":{\"matchExpressions\":[{\"key\":\"tier\",\"operator\":\"In\",\"values\":[\"a%d\",\"b\"]}]}}],", i
            printf "\"ports\":[{\"protocol\":\"TCP\",\"port\":%d}]}", 8000 + i
        }
        printf "],\"egress\":[{\"ports\":[{\"protocol\":\"UDP\",\"port\":53},{\"protocol\":\"TCP\",\"port\":53}]}"
        for (i = 0; i < rules; i++) {
            printf ",{\"to\":[{\"ipBlock\":{\"cidr\":\"203.%d.%d.0/24\",\"except\":[\"203.%d.%d.128/25\"]}},", i / 256, i % 256, i / 256, i % 256
            printf "{\"podSelector\":{\"matchLabels\":{\"app\":\"db-%d\"}}}],\"ports\":[{\"protocol\":\"TCP\",\"port\":443}]}", i
        }
        printf "]}"
    }'
}

start() {
    local server=$1 program out=$work/$1.out errors=$work/$1.err log=$1
    shift
    case $server in
        limit) program=$target/release/examples/limit_server log=off ;;
        info) program=$target/release/portcullis errors=/dev/null ;;
        *) program=$target/release/portcullis ;;
    esac
    # Nothing that is set around here may change how a server runs.
    env -i PATH="$PATH" PORTCULLIS_LOG="$log" "$program" "$@" --listen 127.0.0.1:0 --ops-listen 127.0.0.1:0 \
        --cert-dir "$work/certs-$server" >"$out" 2>"$errors" &
    pid[$server]=$!
    for _ in {1..100}; do
        webhook[$server]=$(sed -n 's|^ *webhook *\(https://[^ ]*\).*|\1|p' "$out")
        operations[$server]=$(sed -n 's|^ *operations *http://\([^ ]*\).*|\1|p' "$out")
        [[ -n ${operations[$server]} ]] && return
        kill -0 "${pid[$server]}" 2>/dev/null || break
        sleep 0.1
    done
    cat "$out" "$work/$server.err" >&2 2>/dev/null || true
    fail "${title[$server]} does not start"
}

# ask SERVER FILE: the answer to one review.
ask() {
    timeout 10 nghttp --data="$2" -H "content-type: application/json" "${webhook[$1]}" 2>/dev/null
}

# expect SERVER FILE TEXT…: the answer has the uid of the review and each text.
expect() {
    local server=$1 file=$2 answer text
    shift 2
    answer=$(ask "$server" "$file") || fail "${title[$server]} does not answer"
    for text in '"uid":"'"$(basename "$file" .json)"'"' "$@"; do
        [[ $answer == *"$text"* ]] || fail "${title[$server]} answers $(basename "$file") without $text: $answer"
    done
}

# load SERVER BODY REQUESTS: one measurement, appended to SERVER.BODY.rate (req/s) and SERVER.BODY.times (microseconds).
load() {
    local server=$1 body=$2 requests=$3 report
    report=$(timeout 120 h2load -n "$requests" -c "$CLIENTS" -m "$STREAMS" -d "$work/$body.json" \
        -H "content-type: application/json" --log-file="$work/log" "${webhook[$server]}?timeout=10s") ||
        fail "h2load against ${title[$server]} failed: $report"
    [[ $report == *" $requests succeeded, 0 failed, 0 errored, 0 timeout"* && $report == *"$requests 2xx"* ]] ||
        fail "not every review was answered by ${title[$server]}: $report"
    sed -n 's|^finished in .*, \([0-9.]*\) req/s.*|\1|p' <<<"$report" >>"$work/$server.$body.rate"
    cut -f 3 "$work/log" >>"$work/$server.$body.times"
    rm -f -- "$work/log"
    sent[$server]=$((${sent[$server]:-0} + requests))
}

# quantile Q: of the numbers on stdin.
quantile() {
    sort -n | awk -v q="$1" '{ v[NR] = $1 } END { i = int(q * (NR - 1) + 0.5) + 1; print v[i] }'
}

# ratio SERVER BODY: to the limit server. The median over the rounds, because neighbours in time share the noise.
ratio() {
    paste "$work/$1.$2.rate" "$work/limit.$2.rate" | awk '{ print $1 / $2 }' | quantile 0.5
}

table() {
    local body server rate times bytes
    printf '%-10s %-24s %10s %19s %9s %9s %7s\n' body server "req/s" "(min … max)" "p50 ms" "p99 ms" ratio
    for body in small large; do
        bytes=$(wc -c <"$work/$body.json")
        for server in "${servers[@]}"; do
            rate=$work/$server.$body.rate times=$work/$server.$body.times
            printf '%-10s %-24s %10.0f %19s %9s %9s %7.2f\n' "$bytes B" "${title[$server]}" "$(quantile 0.5 <"$rate")" \
                "$(printf '(%.0f … %.0f)' "$(quantile 0 <"$rate")" "$(quantile 1 <"$rate")")" \
                "$(quantile 0.5 <"$times" | awk '{ printf "%.2f", $1 / 1000 }')" \
                "$(quantile 0.99 <"$times" | awk '{ printf "%.2f", $1 / 1000 }')" "$(ratio "$server" "$body")"
        done
    done
}

# Says whether portcullis itself has counted every review of the load as allowed, none as anything else.
counted() {
    local server=$1 line outcome number=0
    exec 3<>"/dev/tcp/${operations[$server]%:*}/${operations[$server]##*:}"
    printf 'GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
    while IFS= read -r -t 10 line; do
        [[ $line == portcullis_admission_requests_total*'dry_run="true"'* ]] || continue
        line=${line%$'\r'}
        ((${line##* } > 0)) || continue
        outcome=${line#*outcome=\"}
        # One denial is the question that was asked before there was a default deny.
        [[ ${outcome%%\"*} == denied && ${line##* } == 1 ]] && continue
        [[ ${outcome%%\"*} == allowed ]] || fail "${title[$server]} did not allow every review: $line"
        number=$((number + ${line##* }))
    done <&3
    exec 3>&-
    ((number == sent[$server])) || fail "${title[$server]} has counted $number reviews, and ${sent[$server]} were sent"
}

# Each server gives the right answers, and portcullis judges: what is measured was denied before.
prepare() {
    local server
    review deny deny '{"podSelector":{},"policyTypes":["Ingress","Egress"]}' false >"$work/deny.json"
    review small web "$(spec 3)" true >"$work/small.json"
    review large web "$(spec 255)" true >"$work/large.json"
    for server in "${servers[@]}"; do
        if [[ $server == limit ]]; then start limit; else start "$server" serve --inventory memory; fi
        if [[ $server != limit ]]; then
            expect "$server" "$work/small.json" '"allowed":false' missing-default-deny
            expect "$server" "$work/deny.json" '"allowed":true'
            expect "$server" "$work/small.json" '"decision":"allowed"'
            expect "$server" "$work/large.json" '"decision":"allowed"'
        fi
        expect "$server" "$work/small.json" '"allowed":true'
        expect "$server" "$work/large.json" '"allowed":true'
    done
    # Asked twice each, by the loop above.
    sent[warn]=4 sent[info]=4
}

install_tools
build
prepare
printf '%s rounds of %s and %s reviews, %s connections with %s streams each; %s processors, load average %s before\n\n' \
    "$rounds" "$small" "$large" "$CLIENTS" "$STREAMS" "$(nproc)" "$(cut -d ' ' -f 1-3 /proc/loadavg)"
for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds" >&2
    for server in "${servers[@]}"; do load "$server" small "$small"; done
    for server in "${servers[@]}"; do load "$server" large "$large"; done
done
counted warn
counted info
table
status=0
for body in small large; do
    if ! awk -v is="$(ratio warn "$body")" -v least="$at_least" 'BEGIN { exit !(is >= least) }'; then
        echo "portcullis is below $at_least of the limit server with the $body review" >&2
        status=1
    fi
done
((status == 0))
