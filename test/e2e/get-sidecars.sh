#!/bin/bash
# get-sidecars.sh - builds the stand-ins for the upstream driver's sidecars (images/sidecars), once per machine, and prints the path of the program.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
source=$root/test/e2e/images/sidecars
. "$root/test/tools/cache.sh"

program=$cache/sidecars-$(cache_key "$(cat "$source"/*)")
if [ ! -x "$program" ]; then
    cache_lock sidecars
    work=$(mktemp -d "$program.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cp "$source"/* "$work/"
    MODULE=$work CGO_ENABLED=0 nice bash "$root/test/tools/go.sh" build -mod=mod -trimpath -ldflags '-s -w' -o "$work/program" . >&2
    mv "$work/program" "$program"
fi
echo "$program"
