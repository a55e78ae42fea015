#!/bin/bash
# run.sh - runs the tests of test/interop: ours and the Go programs of others, side by side.
#
#   test/interop/run.sh [pytest arguments]        default: test/interop
#
# BUILD      where our programs are (build/release)
# PEERS_DIR  where theirs are (get-peers.sh)
#
# Everything happens in a network and mount namespace of its own: loopback is all there is, the emulated cloud may have port 443, and the
# names of that cloud stand in a hosts file of the run. Programs that know no better ask login.microsoftonline.com who their cloud is.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
PEERS_DIR=$("$root/test/interop/get-peers.sh")
export PEERS_DIR
[ $# -gt 0 ] || set -- test/interop -q
hosts=$(mktemp)
trap 'rm -f "$hosts"' EXIT
cat > "$hosts" << END
127.0.0.1 localhost login.localhost vault.localhost login.microsoftonline.com kubernetes.default.svc
127.0.0.1 contosoKeyVault5.vault.localhost contosokeyvault5.vault.localhost othervault.vault.localhost benchvault.vault.localhost
END
HOSTS=$hosts ROOT=$root unshare --net --mount --propagation private bash -c '
    set -e
    ip link set lo up
    # kube-apiserver wants a default route to look at, even when told to listen on loopback
    ip link add eth0 type veth peer name eth1
    ip addr add 192.0.2.1/24 dev eth0
    ip link set eth0 up
    ip route add default via 192.0.2.2
    mount --bind "$HOSTS" /etc/hosts
    exec "$ROOT/test/integration/run.sh" "$@"
' interop "$@"
