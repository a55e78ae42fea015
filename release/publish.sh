#!/bin/bash
# publish.sh - puts images and charts of a release into its registry. `make release-publish` calls it.
#
#   release/publish.sh VERSION DIRECTORY REGISTRY
#
# Log in before: `skopeo login`, `helm registry login`. INSECURE=1: a registry without TLS, on loopback.
set -euo pipefail

cd "$(dirname "$0")/.."
version=$1 directory=$2 registry=$3
helm=$(test/charts/get-helm.sh)
copy=(skopeo copy --quiet --all --preserve-digests) push=("$helm" push)
if [ -n "${INSECURE:-}" ]; then
    copy+=(--dest-tls-verify=false) push+=(--plain-http)
fi
for name in driver provider-azure ctl; do
    "${copy[@]}" "oci-archive:$directory/secrets-store-$name-$version.oci.tar" "docker://$registry/secrets-store-$name:$version"
    echo "  PUSHED   $registry/secrets-store-$name:$version"
done
for chart in secrets-store-csi-driver csi-secrets-store-provider-azure; do
    "${push[@]}" "$directory/$chart-$version.tgz" "oci://$registry/charts" > /dev/null 2>&1 ||
        { "${push[@]}" "$directory/$chart-$version.tgz" "oci://$registry/charts"; exit 1; }
    echo "  PUSHED   oci://$registry/charts/$chart:$version"
done
