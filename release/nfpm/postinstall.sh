#!/bin/sh
# postinst of the package of SERVICE: makes its user and directories. Whoever installs it starts it, after the settings.
set -e
command -v systemd-sysusers > /dev/null && [ -e /usr/lib/sysusers.d/SERVICE.conf ] && systemd-sysusers /usr/lib/sysusers.d/SERVICE.conf
command -v systemd-tmpfiles > /dev/null && systemd-tmpfiles --create /usr/lib/tmpfiles.d/SERVICE.conf || :
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart SERVICE.service
fi
exit 0
