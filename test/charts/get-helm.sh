#!/bin/bash
# get-helm.sh - builds Helm, once, and prints its path.
set -euo pipefail

version=v3.17.3
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
tools=${TOOLS_DIR:-$root/build/tools}
binary=$tools/helm-$version

if [ ! -x "$binary" ]; then
    mkdir -p "$tools/bin"
    GOBIN=$tools/bin TOOLS_DIR=$tools "$root/test/tools/go.sh" install -trimpath "helm.sh/helm/v3/cmd/helm@$version" >&2
    mv "$tools/bin/helm" "$binary"
fi
echo "$binary"
