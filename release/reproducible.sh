#!/bin/bash
# reproducible.sh - makes the release of HEAD twice, in different folders and under different conditions, and compares every byte.
#
#   release/reproducible.sh VERSION REGISTRY       each time in a clone of HEAD
#
# KEEP   a directory for both releases; without it they are removed
# OTHER  a release made elsewhere, on another Debian for example, to compare with: only one is made then
#
# A file that differs must be in release/exceptions, with the reason; so must a pattern there still be needed when OTHER is given.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
commit=$(git -C "$root" rev-parse HEAD) # the checkout may move on meanwhile
version=$1 registry=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL

make_in() { # DIRECTORY [environment]
    local directory=$1
    shift
    mkdir -p "$(dirname "$directory")"
    git clone --quiet --no-hardlinks "$root" "$directory"
    git -C "$directory" checkout --quiet --detach "$commit"
    echo "  RELEASE  in $directory"
    env "$@" make -C "$directory" --no-print-directory release VERSION="$version" REGISTRY="$registry" RELEASE_KEY= > "$work/log" 2>&1 ||
        { tail -30 "$work/log"; exit 1; }
}

make_in "$work/first"
first=$work/first/build/release-$version
if [ -n "${OTHER:-}" ]; then
    second=$(cd "$OTHER" && pwd)
else
    (umask 077 && make_in "$work/another-folder/with-a-longer-name" TZ=Pacific/Kiritimati LC_ALL=C LANG=C USER=nobody)
    second="$work/another-folder/with-a-longer-name/build/release-$version"
fi
[ -z "${KEEP:-}" ] || { mkdir -p "$KEEP" && cp -r "$first" "$KEEP/first" && cp -r "$second" "$KEEP/second"; }
"$root/release/compare.py" --exceptions "$root/release/exceptions" ${OTHER:+--another-debian} "$first" "$second"
