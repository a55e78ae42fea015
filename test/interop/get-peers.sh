#!/bin/bash
# get-peers.sh - builds the programs that ours are tested against from their Go modules, each once per machine, and prints the directory they are in.
#
#   test/interop/get-peers.sh [driver] [azure]        default: both
#   test/interop/get-peers.sh driver-source           builds nothing, prints the directory of the driver's module; azure-source: of the provider's
#   test/interop/get-peers.sh charts                  builds nothing, prints the directory of both modules' Helm charts: driver/ and azure/
#
# PEERS_DIR  where the programs go, or are already (peers-HASH in the cache directory, see test/tools/cache.sh)
#
# Each is an ordinary dependency of a module of our own that holds nothing else.
set -euo pipefail

driver_module=sigs.k8s.io/secrets-store-csi-driver
driver_version=v1.6.1
azure_module=github.com/Azure/secrets-store-csi-driver-provider-azure
azure_version=v1.8.2
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$root/test/tools/cache.sh"

# The Go driver needs a small logging library that not every module proxy has: without it, ours of test/interop/mlog takes its place.
stand_in() { # DIRECTORY
    local at
    at=$(realpath --relative-to="$1" "$here/mlog")
    if ! MODULE=$1 bash "$root/test/tools/go.sh" mod download monis.app/mlog 2> /dev/null; then
        echo "get-peers.sh: monis.app/mlog is not available; test/interop/mlog takes its place" >&2
        printf '\nreplace monis.app/mlog => %s\n' "$at" >> "$1/go.mod"
    fi
}

fetch() { # MODULE@VERSION DIRECTORY: prints where it is
    local theirs
    theirs=$(MODULE=$2 bash "$root/test/tools/go.sh" mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')
    [ -d "$theirs" ] || { echo "get-peers.sh: the Go module $1 is not available" >&2; return 1; }
    echo "$theirs"
}

build() { # NAME MODULE VERSION PACKAGE VERSION-VARIABLE
    local name=$1 module=$2 version=$3 package=$4 variable=$5 theirs
    [ ! -x "$out/$name" ] || return 0
    printf 'module interop/%s\n\ngo 1.25.0\n\nrequire %s %s\n' "$name" "$module" "$version" > "$work/go.mod"
    # its own list of checksums: a checksum database does not know every module that it needs
    theirs=$(fetch "$module@$version" "$work")
    install -m 0644 "$theirs/go.sum" "$work/go.sum"
    [ "$name" != driver ] || stand_in "$work"
    MODULE=$work CGO_ENABLED=0 nice bash "$root/test/tools/go.sh" build -mod=mod -trimpath \
        -ldflags "-s -w -X $variable=$version" -o "$work/$name" "$package" >&2
    mv "$work/$name" "$out/$name"
}

if [ "${1:-}" = charts ]; then
    charts=$cache/charts-$(cache_key "$driver_version" "$azure_version")
    if [ ! -d "$charts" ]; then
        cache_lock charts
        work=$(mktemp -d "$charts.XXXXXX")
        trap 'rm -rf "$work"' EXIT
        printf 'module interop/source\n\ngo 1.25.0\n' > "$work/go.mod"
        mkdir "$work/new"
        cp -r "$(fetch "$driver_module@$driver_version" "$work")/charts/secrets-store-csi-driver" "$work/new/driver"
        cp -r "$(fetch "$azure_module@$azure_version" "$work")/charts/csi-secrets-store-provider-azure" "$work/new/azure"
        chmod -R u+w "$work/new"
        [ -d "$charts" ] || mv "$work/new" "$charts"
    fi
    echo "$charts"
    exit
fi
[ $# -gt 0 ] || set -- driver azure
out=${PEERS_DIR:-$cache/peers-$(cache_key "$driver_version" "$azure_version" "$(declare -f stand_in build)" "$(cat "$here"/mlog/*)")}
mkdir -p "$out"
cache_lock peers
work=$(mktemp -d "$out/new.XXXXXX")
trap 'rm -rf "$work"' EXIT
case $1 in *-source)
    printf 'module interop/source\n\ngo 1.25.0\n' > "$work/go.mod"
    if [ "$1" = azure-source ]; then fetch "$azure_module@$azure_version" "$work"; else fetch "$driver_module@$driver_version" "$work"; fi
    exit
    ;;
esac
for peer in "$@"; do
    case $peer in
    driver) build driver "$driver_module" "$driver_version" "$driver_module/cmd/secrets-store-csi-driver" "$driver_module/pkg/version.BuildVersion" ;;
    azure) build azure "$azure_module" "$azure_version" "$azure_module/cmd" "$azure_module/pkg/version.BuildVersion" ;;
    *) echo "get-peers.sh: unknown peer '$peer' (driver, azure)" >&2; exit 2 ;;
    esac
done
echo "$out"
