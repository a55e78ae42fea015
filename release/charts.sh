#!/bin/bash
# charts.sh - packs the Helm charts, with the release's images pinned by digest in their values.
#
#   release/charts.sh VERSION DRIVER_IMAGE PROVIDER_IMAGE OUT       an image is REPOSITORY@DIGEST
#
# `helm package` stamps files with the time of now: the archive is made again with that of the commit (SOURCE_DATE_EPOCH).
set -euo pipefail

cd "$(dirname "$0")/.."
version=$1 driver=$2 provider=$3
out=$(cd "$4" && pwd)
helm=$(test/charts/get-helm.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pin() { # VALUES REPOSITORY IMAGE: exactly one image of this project is in it
    local lines
    lines=$(grep -n "repository: $2\( \|\$\)" "$1" | cut -d: -f1)
    [[ $lines =~ ^[0-9]+$ ]] || { echo "charts.sh: $1 has not one repository $2" >&2; exit 1; }
    sed -i "$lines s#repository: $2#repository: ${3%@*}#; $lines,$((lines + 3)) s#digest: \"\"#digest: \"${3#*@}\"#" "$1"
    grep -q "digest: \"${3#*@}\"" "$1" || { echo "charts.sh: $1 has no digest beside $2" >&2; exit 1; }
}

pack() { # DIRECTORY
    "$helm" package --version "$version" --app-version "$version" --destination "$work" "$1" > /dev/null
    local name archive
    name=$(basename "$1")
    archive=$name-$version.tgz
    mkdir -p "$work/again"
    tar -xf "$work/$archive" --warning=no-timestamp -C "$work/again"
    # only the tar's file list counts, not what helm's archive had as owners and times
    tar -C "$work/again" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -cf - "$name" |
        gzip -n9 > "$out/$archive"
}

cp -rL manifests/chart "$work/charts"
for values in "$work"/charts/secrets-store-csi-driver/values.yaml \
    "$work"/charts/csi-secrets-store-provider-azure/charts/secrets-store-csi-driver/values.yaml; do
    pin "$values" localhost/secrets-store-driver "$driver"
done
pin "$work/charts/csi-secrets-store-provider-azure/values.yaml" localhost/secrets-store-provider-azure "$provider"
# the charts' own versions, and that of the dependency
find "$work/charts" -name Chart.yaml -exec \
    sed -Ei "s/^( *)version: .*/\1version: $version/; s/^appVersion: .*/appVersion: \"$version\"/" {} +
for chart in secrets-store-csi-driver csi-secrets-store-provider-azure; do
    pack "$work/charts/$chart"
done
