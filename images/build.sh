#!/bin/bash
# build.sh - builds the images with Debian's buildah, without a container daemon. `make images` calls it for each architecture.
#
#   images/build.sh STATIC_BUILD ARCH OUT      STATIC_BUILD has bin/ (make static); writes OUT/<name>-<ARCH>.tar, OCI archives that
#                                              `ctr images import`, `podman load`, `skopeo copy oci-archive:` and kind accept
#
# IMAGE_PREFIX  prefix of the name (localhost)
# IMAGE_TAG     the tag (content of VERSION)
# VERSION       for a label (content of VERSION)
# REVISION, SOURCE_DATE_EPOCH: commit and time, for labels and time stamps. The same input gives the same bytes.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
static=$(cd "$1" && pwd)
arch=$2
out=$(mkdir -p "$3" && cd "$3" && pwd)
prefix=${IMAGE_PREFIX:-localhost}
version=${VERSION:-$(cat "$root/VERSION")}
tag=${IMAGE_TAG:-$version}
epoch=${SOURCE_DATE_EPOCH:-0}

context=$static/context
rm -rf "$context"
mkdir -p "$context"
install -m 0755 "$static"/bin/secrets-store-{driver,provider-azure,ctl} "$context/"
# Only the certificates of the package: the machine's own bundle may contain private ones.
find /usr/share/ca-certificates/mozilla -name '*.crt' -print0 | LC_ALL=C sort -z | xargs -0 cat > "$context/ca-certificates.crt"
[ -s "$context/ca-certificates.crt" ] || { echo "build.sh: the package ca-certificates is missing" >&2; exit 1; }
chmod 0644 "$context/ca-certificates.crt"

# A storage of its own, in plain directories: it needs no kernel features, and leaves nothing in the machine's storage.
store=$(mktemp -d)
trap 'rm -rf "$store"' EXIT
buildah=(buildah --root "$store/root" --runroot "$store/run" --storage-driver vfs)
for name in driver provider-azure ctl; do
    image=$prefix/secrets-store-$name:$tag
    archive=$out/secrets-store-$name-$arch.tar
    "${buildah[@]}" bud --quiet --isolation chroot --format oci --arch "$arch" --timestamp "$epoch" --file "$root/images/$name.Dockerfile" \
        --build-arg VERSION="$version" --build-arg REVISION="${REVISION:-unknown}" \
        --build-arg CREATED="$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)" --tag "$image" "$context" > /dev/null
    "${buildah[@]}" push --quiet "$image" "oci:$store/$name:$image"
    tar -C "$store/$name" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -cf "$archive" .
    printf '  IMAGE    %s (%s), %s KiB, %s\n' "$image" "$arch" "$(du -k "$archive" | cut -f1)" \
        "$(grep -o 'sha256:[0-9a-f]*' "$store/$name/index.json" | head -1)"
done
