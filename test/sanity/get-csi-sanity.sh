#!/bin/bash
# get-csi-sanity.sh - builds csi-sanity, the conformance suite of the CSI specification, once, and prints its path.
set -euo pipefail

version=v5.4.0
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
tools=${TOOLS_DIR:-$root/build/tools}
binary=$tools/csi-sanity-$version

if [ ! -x "$binary" ]; then
    mkdir -p "$tools/bin"
    GOBIN=$tools/bin TOOLS_DIR=$tools "$root/test/tools/go.sh" install -trimpath "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@$version" >&2
    mv "$tools/bin/csi-sanity" "$binary"
fi
echo "$binary"
