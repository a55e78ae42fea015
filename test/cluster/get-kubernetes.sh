#!/bin/bash
# get-kubernetes.sh - builds programs of Kubernetes from its Go module, each once per machine, and prints the directory they are in.
#
#   test/cluster/get-kubernetes.sh kube-apiserver [kube-controller-manager] [kube-scheduler] [kubelet] [kubectl]
#   test/cluster/get-kubernetes.sh --version
#
# The module replaces its parts (k8s.io/api and so on) by directories that a published module does not carry. Their published counterparts have
# the same patch version with a 0 in front, so a go.mod of ours replaces them by those; the list is taken from the module's own go.mod.
#
# KUBERNETES      oldest (default): the oldest minor version that upstream supports; newest: the newest of the Go module proxy; or a version, v1.36.3
# KUBERNETES_DIR  where the programs go, or are already (kubernetes-VERSION-HASH in the cache directory, see test/tools/cache.sh)
set -euo pipefail

oldest=v1.34.4
newest=v1.37.2
case ${KUBERNETES:=oldest} in
oldest) version=$oldest ;;
newest) version=$newest ;;
v1.*.*) version=$KUBERNETES ;;
*) echo "get-kubernetes.sh: KUBERNETES is '$KUBERNETES'; set it to oldest, newest, or a version such as $newest" >&2; exit 2 ;;
esac
minor=${version#v1.}
minor=${minor%%.*}
parts_version=v0.${version#v1.}
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/test/tools/cache.sh"

go() { MODULE=$module nice -n 5 bash "$root/test/tools/go.sh" "$@"; }

missing() { # those of the arguments that are not built yet
    local program
    for program in "$@"; do [ -x "$out/$program" ] || echo "$program"; done
}

write_module() {
    local theirs
    mkdir -p "$module"
    printf 'module cluster\n\ngo 1.24.0\n' > "$module/go.mod"
    theirs=$(go mod download -json "k8s.io/kubernetes@$version" | tee "$module/download.json" |
        sed -n 's/^\t"GoMod": "\(.*\)",\{0,1\}$/\1/p') || cat "$module/download.json"
    [ -f "$theirs" ] || { echo "get-kubernetes.sh: the Go module k8s.io/kubernetes $version is not available" >&2; return 1; }
    {
        printf 'module cluster\n\nrequire k8s.io/kubernetes %s\n\n' "$version"
        sed -n '/^go [0-9.]*$/p; /^godebug /p' "$theirs"
        sed -n "s|^\t\(k8s\.io/[a-z-]*\) => \./staging/.*|replace \1 => \1 $parts_version|p" "$theirs"
    } > "$module/go.mod"
}

build() {
    local flags='-s -w' package program packages=()
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$minor -X $package.gitTreeState=clean"
        flags+=" -X $package.gitCommit=unknown -X $package.buildDate=1970-01-01T00:00:00Z"
    done
    for program in "$@"; do packages+=("k8s.io/kubernetes/cmd/$program"); done
    CGO_ENABLED=0 go build -mod=mod -trimpath -ldflags "$flags" -o "$module/" "${packages[@]}"
}

if [ "${1:-}" = --version ]; then
    echo "$version"
    exit
fi
[ $# -gt 0 ] || { echo "usage: get-kubernetes.sh PROGRAM..." >&2; exit 2; }
# as bash prints them: without comments
out=${KUBERNETES_DIR:-$cache/kubernetes-$version-$(cache_key "$version" "$(declare -f write_module build)")}
if [ -n "$(missing "$@")" ]; then
    cache_lock "kubernetes-$version"
    mapfile -t programs < <(missing "$@")
    if [ ${#programs[@]} -gt 0 ]; then
        mkdir -p "$out"
        module=$(mktemp -d "$out/new.XXXXXX")
        trap 'rm -rf "$module"' EXIT
        write_module >&2
        build "${programs[@]}" >&2
        for program in "${programs[@]}"; do mv "$module/$program" "$out/$program"; done
    fi
fi
echo "$out"
