#!/bin/bash
# fresh.sh - `make demo` and `make test` in a minimal Debian that has nothing but its base packages.
#
#   test/fresh.sh bookworm|trixie        TARGETS="demo test" by default
#
# A chroot made by debootstrap from the package sources this machine uses, with a clone of HEAD (or, with WORKTREE=1, of the files as they
# are now) in it. What was mounted for it is unmounted at the end; the chroot itself stays in build/fresh-DIST unless KEEP is empty.
set -euo pipefail

dist=${1:-bookworm}
targets=${TARGETS:-demo test}
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
chroot=${FRESH_DIR:-$root/build/fresh-$dist}

[ "$(id -u)" = 0 ] || { echo "fresh.sh needs root" >&2; exit 1; }
if [ -z "${FRESH_INSIDE:-}" ]; then
    FRESH_INSIDE=1 exec unshare --mount --propagation private bash "$0" "$@"
fi
command -v debootstrap > /dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap; }

# The mirror is whatever this machine's apt uses: the first line of either source format that is not a security archive.
mirror=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p'
           cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed -n 's/^URIs: *\([^ ]*\).*/\1/p'; } | grep -v security | head -1)
[ -n "$mirror" ] || { echo "fresh.sh: no package mirror found in /etc/apt" >&2; exit 1; }

rm -rf "$chroot"
mkdir -p "$chroot"
debootstrap --variant=minbase "$dist" "$chroot" "$mirror" > "$root/build/fresh-$dist.log" 2>&1 ||
    { tail -20 "$root/build/fresh-$dist.log"; exit 1; }
printf 'deb %s %s main\n' "$mirror" "$dist" > "$chroot/etc/apt/sources.list"
cp -a /etc/apt/apt.conf.d/. "$chroot/etc/apt/apt.conf.d/" 2>/dev/null || true
cp /etc/resolv.conf "$chroot/etc/resolv.conf" 2>/dev/null || true
cp /etc/hosts "$chroot/etc/hosts" 2>/dev/null || true
cp -a /usr/local/share/ca-certificates "$chroot/usr/local/share/" 2>/dev/null || true

mkdir -p "$chroot/src"
if [ -n "${WORKTREE:-}" ]; then
    tar --exclude=./build -cf - . | tar -xf - -C "$chroot/src"
else
    git archive HEAD | tar -xf - -C "$chroot/src"
fi

# a mount of its own, so that programs inside can change the propagation of "/"
mount --bind "$chroot" "$chroot"
mount -t proc proc "$chroot/proc"
mount --rbind /sys "$chroot/sys"
mount --rbind /dev "$chroot/dev"

# make is the one thing a bare machine needs to be told first
chroot "$chroot" sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends make' \
    >> "$root/build/fresh-$dist.log" 2>&1
status=0
for target in $targets; do
    echo "== make $target in a fresh $dist =="
    chroot "$chroot" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 make -C /src --no-print-directory "$target" || status=$?
done
exit $status
