#!/bin/bash
# bundle.sh - the plain manifests as one file, with the release's images; the role for secretObjects as another.
#
#   release/bundle.sh DRIVER_IMAGE PROVIDER_IMAGE OUT SYNC_OUT
set -euo pipefail

cd "$(dirname "$0")/../manifests"
{
    for file in crds/*.yaml deploy/*.yaml; do
        [ "$file" != deploy/rbac-secretprovidersyncing.yaml ] || continue
        echo '---'
        sed '1{/^---$/d}' "$file"
    done
} | sed "s#REGISTRY/secrets-store-driver:VERSION#$1#; s#REGISTRY/secrets-store-provider-azure:VERSION#$2#" > "$3"
if grep -q 'REGISTRY/' "$3"; then
    echo "bundle.sh: an image has no name" >&2
    exit 1
fi
cp deploy/rbac-secretprovidersyncing.yaml "$4"
