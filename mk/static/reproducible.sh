#!/bin/bash
# reproducible.sh - builds the release's own code again in another directory and compares: the same commit must give the same bytes.
#
#   mk/static/reproducible.sh STATIC_BUILD STATIC_DEPS ARCH
#
# FULL=1 builds the libraries a second time as well, from the sources in STATIC_DEPS: minutes more.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
first=$(cd "$1" && pwd)
deps=$(cd "$2" && pwd)
arch=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

unset MAKEFLAGS MFLAGS MAKEOVERRIDES
commit=$(git -C "$root" rev-parse --short=12 HEAD)
epoch=$(git -C "$root" log -1 --format=%ct)
date=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)
mkdir -p "$work/somewhere/else"
(cd "$root" && git ls-files -z | tar --null --files-from=- -cf - --ignore-failed-read) | tar -xf - -C "$work/somewhere/else"
if [ -n "${FULL:-}" ]; then
    mkdir -p "$work/deps"
    cp -a "$deps/src" "$deps/packages" "$work/deps/"
    "$root/mk/static/build.sh" "$work/deps" "$arch"
    deps=$work/deps
fi
make -C "$work/somewhere/else" -j"$(nproc)" VARIANT=static ARCH="$arch" STATIC_DEPS="$deps" COMMIT="$commit" BUILD_DATE="$date" programs > "$work/log" 2>&1 ||
    { tail -20 "$work/log"; exit 1; }
status=0
for program in "$first"/bin/secrets-store-{driver,provider-azure,ctl}; do
    name=${program##*/}
    other=$(find "$work/somewhere/else/build" -path "*/bin/$name")
    if cmp -s "$program" "$other"; then
        echo "  same bytes: $name $(sha256sum "$program" | cut -c1-16)"
    else
        echo "  DIFFERENT: $name"
        status=1
    fi
done
exit $status
