#!/usr/bin/env bash
# Measures what the engine takes for a review with all rules on, in clusters of 10, 100 and 1,000 namespaces with ten
# policies each.
#
# Usage: benches/engine.sh [--quick] [--rounds N] [--rules] [--at-most MICROSECONDS] [--at-most-times RATIO]
#
#   --quick                 one short round, to see that it works
#   --rounds N              rounds (default 3)
#   --rules                 each rule by itself as well, with all reviews one after the other
#   --at-most MICROSECONDS  exit with 1 where the review that the bar is set for takes longer with 1,000 namespaces
#   --at-most-times RATIO   exit with 1 where it takes more than RATIO times as long with 1,000 as with 100
#
# One round measures each review in each cluster, one after the other in one process (engine.rs, by criterion). A figure
# is the median of the rounds' medians, a ratio the median of the rounds' ratios.
set -euo pipefail

usage() {
    sed -n '/^# Usage/,/^# One/ { /^# One/d; s/^# \{0,1\}//p }' "${BASH_SOURCE[0]}" >&2
    exit 2
}

# The reviews that the bar is set for.
readonly HELD=(create)
rounds=3 what=review at_most=0 at_most_times=0 criterion=()
while (($#)); do
    case $1 in
        --quick) rounds=1 criterion=(--warm-up-time 0.1 --measurement-time 0.2) ;;
        --rounds) rounds=${2:-} && shift ;;
        --rules) what='review|rule' ;;
        --at-most) at_most=${2:-} && shift ;;
        --at-most-times) at_most_times=${2:-} && shift ;;
        *) usage ;;
    esac
    shift || usage
done
readonly NUMBER='^[0-9]+(\.[0-9]+)?$'
[[ $rounds =~ ^[1-9][0-9]?$ && $at_most =~ $NUMBER && $at_most_times =~ $NUMBER ]] || usage

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
[[ -n ${HOME:-} && -d $HOME/.cargo/bin ]] && PATH=$PATH:$HOME/.cargo/bin
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

# Appends "review/create 1000 MICROSECONDS" for everything that was measured.
collect() {
    local file name
    for file in "$work"/*/*/new/estimates.json; do
        name=${file#"$work"/} name=${name%/new/estimates.json}
        sed -n 's|.*"median":{"confidence_interval":{[^}]*},"point_estimate":\([0-9.e+]*\).*|\1|p' "$file" |
            awk -v name="${name%/*}" -v size="${name#*/}" '{ sub("_", "/", name); print name, size, $1 / 1000 }'
    done >>"$work/figures"
}

# Median by name and size, and the median of the ratios of 1,000 to 100 namespaces.
table() {
    sort -s -k 1,1 "$work/figures" | awk '
        function median(list, n,  i, j, t) {
            for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j - 1] > list[j]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
            return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
        }
        !($1 in seen) { seen[$1]; order[++names] = $1 }
        { n[$1, $2]++; of[$1, $2, n[$1, $2]] = $3 }
        END {
            for (i = 1; i <= names; i++) {
                name = order[i]; line = name
                for (s = 10; s <= 1000; s *= 10) {
                    for (r = 1; r <= n[name, s]; r++) list[r] = of[name, s, r]
                    line = line sprintf(" %.1f", median(list, n[name, s]))
                }
                for (r = 1; r <= n[name, 1000]; r++) list[r] = of[name, 1000, r] / of[name, 100, r]
                print line sprintf(" %.2f", median(list, n[name, 1000]))
            }
        }'
}

printf '%s rounds; %s processors, load average %s before\n\n' "$rounds" "$(nproc)" "$(cut -d ' ' -f 1-3 /proc/loadavg)"
for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds" >&2
    CRITERION_HOME=$work cargo bench --quiet --locked --bench engine -- "^($what)/" --noplot "${criterion[@]}" >"$work/log" 2>&1 ||
        { cat "$work/log" >&2 && exit 1; }
    collect
done
table >"$work/table"
printf '%-36s %9s %9s %9s %7s\n' 'µs, by namespaces' 10 100 1,000 ratio
awk '{ printf "%-35s %9s %9s %9s %7s\n", $1, $2, $3, $4, $5 }' "$work/table"
awk -v at_most="$at_most" -v times="$at_most_times" -v held="${HELD[*]/#/review/}" '
    BEGIN { count = split(held, names, " "); for (i = 1; i <= count; i++) is_held[names[i]] }
    at_most > 0 && $1 in is_held && $4 > at_most { print $1 " takes more than " at_most " µs"; missed = 1 }
    times > 0 && $1 in is_held && $5 > times { print $1 " takes more than " times " times as long"; missed = 1 }
    END { exit missed }' "$work/table" >&2
