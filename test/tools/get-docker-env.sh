#!/bin/bash
# get-docker-env.sh - builds the reader of docker's env files (test/integration/peers/docker_env), once per machine, and prints the path of the program.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
source=$here/../integration/peers/docker_env
. "$here/cache.sh"

program=$cache/docker-env-$(cache_key "$(cat "$source"/*)")
if [ ! -x "$program" ]; then
    cache_lock docker-env
    work=$(mktemp -d "$program.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cp "$source"/* "$work/"
    MODULE=$work CGO_ENABLED=0 nice bash "$here/go.sh" build -mod=mod -trimpath -ldflags '-s -w' -o "$work/program" . >&2
    mv "$work/program" "$program"
fi
echo "$program"
