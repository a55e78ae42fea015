#!/bin/bash
# fresh.sh - `make demo`, `make test`, `make e2e` in a minimal Debian that has nothing but its base packages.
#
#   test/fresh.sh bookworm|trixie
#
# TARGETS         what to make there ("demo test"); with e2e the Kubernetes programs are built, too, which takes its time
# KUBERNETES_DIR  programs of Kubernetes that are built already: they are copied in (none)
# WORKTREE        if set, the files as they are now; otherwise a clone of HEAD
# FRESH_DIR       where the machine is made (build/fresh-DIST), each time a new one; it stays there for inspection
#
# debootstrap makes it from the package sources this machine uses. It gets a mount namespace of its own and becomes the root there (a chroot
# would not do: mounts made in a chroot do not spread to containers, and that is what a CSI driver is for). All mounts go with the namespace.
set -euo pipefail

dist=${1:-bookworm}
targets=${TARGETS:-demo test}
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
machine=${FRESH_DIR:-$root/build/fresh-$dist}

[ "$(id -u)" = 0 ] || { echo "fresh.sh needs root" >&2; exit 1; }
if [ -z "${FRESH_INSIDE:-}" ]; then
    FRESH_INSIDE=1 exec unshare --mount --propagation private bash "$0" "$@"
fi
command -v debootstrap > /dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap; }

# "deb" lines as an installed Debian has them, with updates and security fixes, from the archives of this machine's apt
host=$(. /etc/os-release && echo "$VERSION_CODENAME")
sources=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | sort -u |
    awk -v host="$host" -v dist="$dist" 'sub("^" host, dist, $2) && $2 ~ "^" dist "(-updates|-security)?$" { print "deb", $1, $2, "main" }')
mirror=$(awk -v dist="$dist" '$3 == dist { print $2; exit }' <<< "$sources")
[ -n "$mirror" ] || { echo "fresh.sh: this machine's apt has no source for '$host'" >&2; exit 1; }

rm -rf "$machine"
mkdir -p "$machine"
debootstrap --variant=minbase "$dist" "$machine" "$mirror" > "$root/build/fresh-$dist.log" 2>&1 ||
    { tail -20 "$root/build/fresh-$dist.log"; exit 1; }
echo "$sources" > "$machine/etc/apt/sources.list"
cp -a /etc/apt/apt.conf.d/. "$machine/etc/apt/apt.conf.d/" 2>/dev/null || true
cp /etc/resolv.conf "$machine/etc/resolv.conf" 2>/dev/null || true
cp /etc/hosts "$machine/etc/hosts" 2>/dev/null || true
cp -a /usr/local/share/ca-certificates "$machine/usr/local/share/" 2>/dev/null || true

mkdir -p "$machine/src"
if [ -n "${WORKTREE:-}" ]; then
    tar --exclude=./build -cf - . | tar -xf - -C "$machine/src"
else
    git clone --quiet --no-hardlinks "$root" "$machine/src"
fi

[ -z "${KUBERNETES_DIR:-}" ] || cp -r "$KUBERNETES_DIR" "$machine/root/kubernetes"

mount --bind "$machine" "$machine"
mount -t proc proc "$machine/proc"
mount --rbind /sys "$machine/sys"
mount --rbind /dev "$machine/dev"

# make is the one thing that a bare machine needs first
chroot "$machine" sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends make' \
    >> "$root/build/fresh-$dist.log" 2>&1

cd "$machine"
pivot_root . mnt
umount -l /mnt
status=0
for target in $targets; do
    echo "== make $target in a fresh $dist =="
    env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 ${KUBERNETES_DIR:+KUBERNETES_DIR=/root/kubernetes} \
        make -C /src --no-print-directory "$target" || status=$?
done
exit $status
