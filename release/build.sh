#!/bin/bash
# build.sh - collects everything that a release consists of. `make release` builds executables and images first, and calls it.
#
#   release/build.sh VERSION OUT
#
# REGISTRY      where the images will be: the charts and the bundle name them there, by digest
# RELEASE_KEY   a minisign secret key; without it nothing is signed
# SOURCE_DATE_EPOCH, REVISION: time and commit. The same commit, version and registry give the same bytes.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
version=$1
rm -rf "$2"
mkdir -p "$2"
out=$(cd "$2" && pwd)
registry=${REGISTRY:?}
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
images=build/images

step() { printf '  RELEASE  %s\n' "$1"; }

step 'images and parts lists'
for name in driver provider-azure ctl; do
    cp "$images/secrets-store-$name.tar" "$out/secrets-store-$name-$version.oci.tar"
    for arch in amd64 arm64; do
        for format in spdx cdx; do
            cp "$images/secrets-store-$name-$arch.$format.json" "$out/secrets-store-$name-$version-$arch.$format.json"
        done
    done
done

digest() { # PROGRAM: the digest of its index, which both architectures share
    tar -xOf "$images/secrets-store-$1.tar" ./index.json | grep -o 'sha256:[0-9a-f]\{64\}' | head -1
}
driver_image=$registry/secrets-store-driver@$(digest driver)
provider_image=$registry/secrets-store-provider-azure@$(digest provider-azure)

step 'charts'
release/charts.sh "$version" "$driver_image" "$provider_image" "$out"

step 'manifests'
release/bundle.sh "$driver_image" "$provider_image" "$out/secrets-store-csi-$version.yaml" "$out/secrets-store-csi-sync-$version.yaml"

step 'packages'
converter=$(test/tools/go-install.sh go-md2man v2.0.7 github.com/cpuguy83/go-md2man/v2)
BUILD=build/release PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=test/integration:test release/pages.py "$version" "$converter" "$work/pages"
for arch in amd64 arm64; do
    release/packages.sh "$version" "$arch" "$(release/executables.sh "$arch")" "$work/pages" "$out"
done

step 'sources'
git archive --format=tar --prefix="secrets-store-csi-$version/" HEAD | gzip -n9 > "$out/secrets-store-csi-$version.tar.gz"

step 'provenance and sums'
packages=$(make -s --no-print-directory print-static-packages)
release/provenance.py --version "$version" --revision "${REVISION:?}" --registry "$registry" --packages "$packages" "$out" \
    > "$work/provenance" && mv "$work/provenance" "$out/provenance-$version.intoto.json"
(cd "$out" && find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort | xargs sha256sum > SHA256SUMS)
if [ -n "${RELEASE_KEY:-}" ]; then
    minisign -S -s "$RELEASE_KEY" -t "secrets-store-csi $version" -m "$out/SHA256SUMS" > /dev/null
    step "signed with $RELEASE_KEY"
else
    step 'not signed: RELEASE_KEY names no key'
fi
release/artifacts.py "$version" "$out"
