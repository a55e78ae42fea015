#!/bin/bash
# get-peers.sh - builds the programs that ours are tested against from their Go modules, each once, and prints the folder they are in.
#
#   test/interop/get-peers.sh [driver] [azure]        default: both
#   test/interop/get-peers.sh driver-source           builds nothing, prints the folder of the driver's module
#
# PEERS_DIR  where the programs go, or are already (build/interop/peers)
#
# Each is an ordinary dependency of a module of our own that holds nothing else.
set -euo pipefail

driver_module=sigs.k8s.io/secrets-store-csi-driver
driver_version=v1.6.0
azure_module=github.com/Azure/secrets-store-csi-driver-provider-azure
azure_version=v1.8.2
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${PEERS_DIR:-$root/build/interop/peers}

# The Go driver needs a small logging library that not every module proxy has: without it, ours of test/interop/mlog takes its place.
stand_in() { # FOLDER
    local at
    at=$(realpath --relative-to="$1" "$here/mlog")
    if ! MODULE=$1 bash "$root/test/tools/go.sh" mod download monis.app/mlog 2> /dev/null; then
        echo "get-peers.sh: monis.app/mlog can not be had; test/interop/mlog takes its place" >&2
        printf '\nreplace monis.app/mlog => %s\n' "$at" >> "$1/go.mod"
    fi
}

fetch() { # MODULE@VERSION FOLDER: prints where it is
    local theirs
    theirs=$(MODULE=$2 bash "$root/test/tools/go.sh" mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')
    [ -d "$theirs" ] || { echo "get-peers.sh: the Go module $1 can not be had" >&2; return 1; }
    echo "$theirs"
}

build() { # NAME MODULE VERSION PACKAGE VERSION-VARIABLE
    local name=$1 module=$2 version=$3 package=$4 variable=$5 folder=$root/build/interop/module-$1
    local program=$out/$name-$version theirs
    if [ ! -x "$program" ]; then
        mkdir -p "$folder" "$out"
        printf 'module interop/%s\n\ngo 1.25.0\n\nrequire %s %s\n' "$name" "$module" "$version" > "$folder/go.mod"
        # its own list of checksums: a checksum database does not know every module that it needs
        theirs=$(fetch "$module@$version" "$folder")
        install -m 0644 "$theirs/go.sum" "$folder/go.sum"
        [ "$name" != driver ] || stand_in "$folder"
        MODULE=$folder CGO_ENABLED=0 nice bash "$root/test/tools/go.sh" build -mod=mod -trimpath \
            -ldflags "-s -w -X $variable=$version" -o "$program" "$package" >&2
    fi
    ln -sfn "$name-$version" "$out/$name"
}

[ $# -gt 0 ] || set -- driver azure
mkdir -p "$root/build/interop"
exec 9> "$root/build/interop/lock"
flock 9
if [ "$1" = driver-source ]; then
    folder=$root/build/interop/module-source
    mkdir -p "$folder"
    printf 'module interop/source\n\ngo 1.25.0\n' > "$folder/go.mod"
    fetch "$driver_module@$driver_version" "$folder"
    exit
fi
for peer in "$@"; do
    case $peer in
    driver) build driver "$driver_module" "$driver_version" "$driver_module/cmd/secrets-store-csi-driver" "$driver_module/pkg/version.BuildVersion" ;;
    azure) build azure "$azure_module" "$azure_version" "$azure_module/cmd" "$azure_module/pkg/version.BuildVersion" ;;
    *) echo "get-peers.sh: unknown peer '$peer' (driver, azure)" >&2; exit 2 ;;
    esac
done
echo "$out"
