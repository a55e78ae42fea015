#!/bin/bash
# merge.sh [TARGET...] - adds to the committed corpora what `make fuzz` has found (build/fuzz-corpus): as few files as reach everything.
#
# Files that are there stay, because their names say what they are for. BUILD names the fuzz build (build/fuzz-clang).
set -euo pipefail
cd "$(dirname "$0")/../.."

build=${BUILD:-build/fuzz-clang}
for target in "${@:-}"; do
    for program in "$build"/fuzz/fuzz_${target:-*}; do
        thing=$(basename "$program")
        thing=${thing#fuzz_}
        [ -x "$program" ] && [ -d "build/fuzz-corpus/$thing" ] || continue
        mkdir -p "test/fuzz/corpus/$thing"
        "$program" -merge=1 -use_counters=0 -timeout=10 "test/fuzz/corpus/$thing" "build/fuzz-corpus/$thing" 2>/dev/null
        printf '%-32s %5d files\n' "$thing" "$(find "test/fuzz/corpus/$thing" -type f | wc -l)"
    done
done
