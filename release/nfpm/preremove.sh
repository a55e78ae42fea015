#!/bin/sh
# prerm of the package of SERVICE. An upgrade restarts the service afterwards; a removal stops it. Mounted volumes stay.
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now SERVICE.service
fi
exit 0
