#!/bin/bash
# sandbox.sh - inside the namespaces that run.sh made: makes them like a machine, then runs pytest. Not to be started by hand.
#
# Places that a kubelet uses by name (/var/lib/kubelet, /run, /etc/kubernetes, ...) are covered by a tmpfs or by an overlay whose changes go to
# the tmpfs of the run. The network is the loopback device, which also has the address of the node and that of the Kubernetes service.
set -euo pipefail

scratch=$TEST_SCRATCH
mkdir -p "$scratch"
mount -t tmpfs -o mode=0755 scratch "$scratch"
mount -t proc proc /proc

cover() { # an overlay over $1
    local name=${1//\//-}
    mkdir -p "$scratch/cover$name/upper" "$scratch/cover$name/work"
    mount -t overlay -o "lowerdir=$1,upperdir=$scratch/cover$name/upper,workdir=$scratch/cover$name/work" overlay "$1"
}
cover /etc
cover /var/lib
cover /var/log
mount -t tmpfs -o mode=0755 run /run
mkdir -p /var/lib/kubelet /etc/kubernetes /run/lock
mount -t tmpfs -o mode=0755 kubelet /var/lib/kubelet
mount --make-rshared /

# cgroups as seen from here: this namespace's root is the cgroup that run.sh made
if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
    umount /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    # a cgroup with children that have limits cannot have processes of its own
    mkdir /sys/fs/cgroup/sandbox
    echo 0 > /sys/fs/cgroup/sandbox/cgroup.procs
    sed 's/[a-z]*/+&/g' /sys/fs/cgroup/cgroup.controllers > /sys/fs/cgroup/cgroup.subtree_control
else
    mapfile -t hierarchies < <(awk '$3 == "cgroup" { print $2 " " $4 }' /proc/self/mounts | sort -u)
    mount -t tmpfs -o mode=0755 cgroup /sys/fs/cgroup
    for hierarchy in "${hierarchies[@]}"; do
        path=${hierarchy% *} options=${hierarchy#* }
        options=$(tr , '\n' <<< "$options" | grep -vxE 'rw|ro|relatime|nosuid|nodev|noexec' | paste -sd,)
        case $options in *name=*) options=none,$options ;; esac
        mkdir -p "$path"
        mount -t cgroup -o "$options" cgroup "$path"
    done
fi

hostname node-1
ip link set lo up
ip address add 10.96.0.1/32 dev lo       # the Kubernetes service
ip address add 10.96.0.10/32 dev lo      # the cluster's name server
ip address add 10.97.0.1/32 dev lo       # the node
ip address add 169.254.169.254/32 dev lo # the instance metadata service of a node in Azure
echo 1 > /proc/sys/net/ipv4/ip_forward

status=0
timeout --kill-after=10 "${E2E_TIMEOUT:-2400}" /usr/bin/python3 -m pytest -p no:cacheprovider "$@" || status=$?

rm -rf "$E2E_LOGS"
mkdir -p "$E2E_LOGS"
cp "$scratch"/*.log "$scratch"/*/*.log "$E2E_LOGS"/ 2>/dev/null || true
cp -r /var/log/pods "$E2E_LOGS"/ 2>/dev/null || true
exit $status
