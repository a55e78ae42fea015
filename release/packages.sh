#!/bin/bash
# packages.sh - the Debian packages of one architecture, made by nfpm; needs no root.
#
#   release/packages.sh VERSION ARCH EXECUTABLES DOCUMENTS OUT
#
# EXECUTABLES is bin/ of the static build, DOCUMENTS what release/pages.py wrote. SOURCE_DATE_EPOCH gives the time stamps, MAINTAINER and
# HOMEPAGE name the project's. The same input gives the same bytes.
set -euo pipefail

cd "$(dirname "$0")/.."
export VERSION=$1 ARCH=$2 MTIME
executables=$3 documents=$4 out=$5
export MAINTAINER=${MAINTAINER:-the maintainers of secrets-store-csi <root@localhost>} HOMEPAGE=${HOMEPAGE:-https://localhost/}
MTIME=$(date -u -d "@${SOURCE_DATE_EPOCH:-0}" +%Y-%m-%dT%H:%M:%SZ)
export STAGE
STAGE=$(mktemp -d)
trap 'rm -rf "$STAGE"' EXIT

nfpm=$(test/tools/go-install.sh nfpm v2.43.0 github.com/goreleaser/nfpm/v2/cmd/nfpm)
cp "$executables"/secrets-store-{driver,provider-azure,ctl} "$documents"/* "$STAGE/"
gzip -n9 "$STAGE"/*.[18]
for name in driver provider-azure; do
    for script in postinstall preremove; do
        sed "s/SERVICE/secrets-store-$name/g" "release/nfpm/$script.sh" > "$STAGE/$name.$script"
    done
done
for name in driver provider-azure ctl; do
    # nfpm replaces variables only in some fields
    envsubst '$ARCH $VERSION $MAINTAINER $HOMEPAGE $MTIME $STAGE' < "release/nfpm/$name.yaml" > "$STAGE/$name.yaml"
    "$nfpm" package --config "$STAGE/$name.yaml" --packager deb --target "$out/secrets-store-${name}_${VERSION}_$ARCH.deb" > /dev/null
done
