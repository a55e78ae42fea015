#!/bin/bash
# sizes.sh - prints the sizes of both daemons: file, shared objects, resident memory after the start, image.
#
#   test/bench/sizes.sh BUILD STATIC_BUILD IMAGES
set -euo pipefail

dynamic=$1 static=$2 images=$3
arch=$(dpkg --print-architecture)
work=$(mktemp -d /tmp/ssz.XXXXXX)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir "$work/classes" "$work/providers"

kib() { echo $((($(stat -c %s "$1") + 1023) / 1024)); }
objects() { grep -oE '/[^ ]*\.so[^ ]*$' "/proc/$1/maps" | sort -u | wc -l; }
start() { # NAME PROGRAM
    rm -f "$work/sock"
    case $1 in
    driver) "$2" --endpoint="unix://$work/sock" --nodeid=n --class-dir="$work/classes" --provider-volume="$work/providers" \
        --metrics-addr=0 > /dev/null 2>&1 & ;;
    provider-azure) "$2" --endpoint="unix://$work/sock" --healthz-port=0 --prometheus-port=0 > /dev/null 2>&1 & ;;
    esac
    pid=$!
    for ((i = 0; i < 5000; i++)); do [ ! -S "$work/sock" ] || break; sleep 0.001; done
    sleep 0.2
}
printf '%-34s %10s %10s %12s %12s\n' program 'file, KiB' 'objects' 'memory, KiB' 'image, KiB'
for name in driver provider-azure; do
    for build in "$dynamic" "$static"; do
        program=$build/bin/secrets-store-$name
        start "$name" "$program"
        image=-
        [ "$build" != "$static" ] || image=$(kib "$images/secrets-store-$name-$arch.tar")
        cp "$program" "$work/program"
        strip "$work/program"
        printf '%-34s %10s %10s %12s %12s\n' "$name ($(basename "$build"))" "$(kib "$work/program")" "$(objects "$pid")" \
            "$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")" "$image"
        kill "$pid"
        wait "$pid" 2>/dev/null || true
        pid=
    done
done
