#!/bin/bash
# go-install.sh - builds one program from its Go module, once per machine, and prints its path.
#
#   test/tools/go-install.sh helm v3.17.3 helm.sh/helm/v3/cmd/helm
set -euo pipefail

name=$1 version=$2 package=$3
here=$(cd "$(dirname "$0")" && pwd)
. "$here/cache.sh"
binary=$cache/$name-$version-$(cache_key "$package")

if [ ! -x "$binary" ]; then
    cache_lock "$name"
    if [ ! -x "$binary" ]; then
        new=$(mktemp -d "$cache/new.XXXXXX")
        trap 'rm -rf "$new"' EXIT
        GOBIN=$new nice -n 5 "$here/go.sh" install -trimpath "$package@$version" >&2
        mv "$new/$name" "$binary"
    fi
fi
echo "$binary"
