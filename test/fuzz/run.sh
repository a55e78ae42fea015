#!/bin/bash
# run.sh - runs every fuzz target of $BUILD for $FUZZ_SECONDS seconds and prints how many inputs each tried.
#
# New inputs go to build/fuzz-corpus/<target>, which is kept between runs; a crash file is left in build/fuzz-crashes and makes this fail.
set -uo pipefail
cd "$(dirname "$0")/../.."

build=${BUILD:-build/fuzz-clang}
seconds=${FUZZ_SECONDS:-60}
status=0
mkdir -p build/fuzz-crashes
printf '%-32s %14s %10s\n' target executions result
for program in "$build"/fuzz/fuzz_*; do
    [ -f "$program" ] && [ -x "$program" ] || continue
    name=$(basename "$program")
    thing=${name#fuzz_}
    found=build/fuzz-corpus/$thing
    log=build/fuzz-crashes/$name.log
    mkdir -p "$found"
    seeds=test/fuzz/corpus/$thing
    result=ok
    "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="build/fuzz-crashes/$name-" "$found" $( [ -d "$seeds" ] && echo "$seeds" ) > "$log" 2>&1 ||
        { result=FAILED; status=1; }
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    printf '%-32s %14s %10s\n' "$name" "${executions:-?}" "$result"
    [ "$result" = ok ] || tail -30 "$log"
done
exit $status
