#!/bin/bash
# network.sh - runs a command in a network and mount namespace of its own: loopback is all there is, the emulated cloud may have port 443,
# and the names of that cloud stand in a hosts file. Programs that know no better ask login.microsoftonline.com who their cloud is.
#
#   test/interop/network.sh COMMAND...
set -euo pipefail

hosts=$(mktemp)
trap 'rm -f "$hosts"' EXIT
cat > "$hosts" << END
127.0.0.1 localhost login.localhost vault.localhost login.microsoftonline.com
127.0.0.1 contosoKeyVault5.vault.localhost contosokeyvault5.vault.localhost othervault.vault.localhost benchvault.vault.localhost
127.0.0.1 vault0.vault.localhost vault1.vault.localhost vault2.vault.localhost rbacvault.vault.localhost firevault.vault.localhost nolistvault.vault.localhost
END
status=0
HOSTS=$hosts unshare --net --mount --propagation private bash -c '
    set -e
    ip link set lo up
    # where the identity service of a virtual machine is
    ip addr add 169.254.169.254/32 dev lo
    # kube-apiserver needs a default route, even when it listens on loopback
    ip link add eth0 type veth peer name eth1
    ip addr add 192.0.2.1/24 dev eth0
    ip link set eth0 up
    ip route add default via 192.0.2.2
    mount --bind "$HOSTS" /etc/hosts
    exec "$@"
' network "$@" || status=$?
exit $status
