#!/bin/bash
# go.sh - runs the go command, in a version that is new enough for what the tests build, with its caches in the cache directory (cache.sh).
#
#   test/tools/go.sh version
#   test/tools/go.sh mod download -json k8s.io/kubelet@v0.34.0
#   MODULE=DIRECTORY test/tools/go.sh build ./...                  in the module of that directory
#
# Debian 12's Go is too old for them. A whole Go toolchain is itself a Go module, so any Go that can download modules can get a
# newer one by name. GO names the go to start from; without it the usual places are searched.
set -euo pipefail

need_minor=26                 # go.mod of Kubernetes 1.37; the peers of test/interop need 25
toolchain=go1.26.8            # fetched when nothing new enough is installed
. "$(dirname "$0")/cache.sh"
tools=$cache/go

unset GOROOT GOFLAGS
export GOTOOLCHAIN=local GO111MODULE=on GOFLAGS='-modcacherw -buildvcs=false'
export GOCACHE=$tools/go-cache GOMODCACHE=$tools/go-modules GOPATH=$tools/go-path

minor_of() { # "go version go1.24.7 linux/amd64" -> 24
    "$1" version 2>/dev/null | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p'
}

find_go() { # the newest go of the machine
    local best='' best_minor=0 candidate minor
    for candidate in ${GO:-"$(command -v go || true)" /usr/local/go/bin/go /usr/lib/go-*/bin/go}; do
        [ -x "$candidate" ] || continue
        minor=$(minor_of "$candidate")
        if [ "${minor:-0}" -gt "$best_minor" ]; then
            best=$candidate best_minor=$minor
        fi
    done
    echo "$best"
}

fetch_toolchain() { # by the old go $1; prints the new go
    local arch dir
    arch=$("$1" env GOARCH)
    mkdir -p "$tools/bootstrap"
    [ -f "$tools/bootstrap/go.mod" ] || printf 'module bootstrap\n\ngo 1.17\n' > "$tools/bootstrap/go.mod"
    dir=$(cd "$tools/bootstrap" && "$1" mod download -json "golang.org/toolchain@v0.0.1-$toolchain.linux-$arch" |
        sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')
    # files of a module never have the executable bit
    chmod +x "$dir"/bin/* "$dir"/pkg/tool/*/*
    echo "$dir/bin/go"
}

mkdir -p "$tools"
go=$(find_go)
if [ -z "$go" ]; then
    echo "go.sh: no go command found; install golang-go" >&2
    exit 1
fi
if [ "$(minor_of "$go")" -lt "$need_minor" ]; then
    new=$(cat "$tools/command-$toolchain" 2>/dev/null || true)
    if [ ! -x "$new" ]; then
        new=$(fetch_toolchain "$go")
        echo "$new" > "$tools/command-$toolchain.$$"
        mv "$tools/command-$toolchain.$$" "$tools/command-$toolchain"
    fi
    go=$new
fi
# a go.mod of our own: commands outside a module refuse some things
module=${MODULE:-$tools/module}
mkdir -p "$module"
[ -f "$module/go.mod" ] || printf 'module tools\n\ngo 1.17\n' > "$module/go.mod"
cd "$module"
exec "$go" "$@"
