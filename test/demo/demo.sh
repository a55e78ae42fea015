#!/bin/bash
# demo.sh - shows the whole path on one machine, in numbered steps: an embedded vault, the Azure provider, the driver, a pod's volume.
#
# Needs root (it mounts). Runs in a mount namespace and a directory of its own; at the end, or when interrupted, it removes everything.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$root/${BUILD:-build/release}/bin
[ -d "$bin" ] || bin=${BUILD}/bin

if [ "$(id -u)" != 0 ]; then
    echo "The demonstration mounts a tmpfs, which only root may do." >&2
    exit 1
fi
if [ -z "${DEMO_INSIDE:-}" ]; then
    DEMO_INSIDE=1 exec unshare --mount --propagation private bash "$0" "$@"
fi
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' plain=$'\e[0m'; else bold='' dim='' green='' plain=''; fi

work=$(mktemp -d /tmp/secrets-store-demo.XXXXXX)
chmod 0711 "$work"
pids=()

cleanup() {
    local pid
    trap - EXIT INT TERM
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    umount "$work"/kubelet/pods/*/volumes/*/*/mount 2>/dev/null || true
    rm -rf "$work"
}
finish() {
    local status=$?
    if [ "$status" != 0 ]; then
        echo
        echo "The demonstration stopped with status $status. Last lines of the logs:"
        tail -n 5 "$work"/*.log 2>/dev/null || true
    fi
    cleanup
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

number=0
step() { number=$((number + 1)); printf '\n%s%2d. %s%s\n' "$bold" "$number" "$1" "$plain"; }
note() { printf '    %s\n' "$1"; }
show() { printf '    %s$ %s%s\n' "$dim" "${*//"$work"/\$DEMO}" "$plain"; }
indent() { sed "s|$work|\$DEMO|g; s/^/    /"; }
run() { show "$(basename "$1")" "${@:2}"; "$@" 2>&1 | indent; }

now_us() { echo "${EPOCHREALTIME/[.,]/}"; }
timed() { # runs the rest, then prints how long it took
    local start
    start=$(now_us)
    "$@"
    note "${green}took $((($(now_us) - start) / 1000)).$(printf '%03d' $((($(now_us) - start) % 1000))) ms, start of the command included$plain"
}
expect_failure() {
    local output
    show "$(basename "$1")" "${@:2}"
    if output=$("$@" 2>&1); then
        echo "    this should have failed" >&2
        return 1
    fi
    fold -s -w 110 <<< "$output" | indent
}
wait_for() { # a path, at most 10 s
    local i
    for ((i = 0; i < 1000; i++)); do
        [ ! -e "$1" ] || return 0
        sleep 0.01
    done
    echo "    $1 did not appear" >&2
    return 1
}
memory() { awk '/^VmRSS/ { printf "%.1f MiB", $2 / 1024 }' "/proc/$1/status"; }

# The emulator's control port speaks plain HTTP; bash can do that.
control() { # METHOD PATH BODY
    local reply
    exec 3<> "/dev/tcp/127.0.0.1/$control_port"
    printf '%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' "$1" "$2" "${#3}" "$3" >&3
    read -r reply <&3
    exec 3>&-
    case $reply in *' 200 '*) ;; *) echo "    the emulator responded: $reply" >&2; return 1 ;; esac
}

echo "${bold}Secrets from a vault, mounted as files. Nothing here touches your system: it all lives in $work (\$DEMO).$plain"

step "The cloud: Key Vault and Entra ID, emulated on this machine"
"$bin/vault-emulator" --dir "$work/vault" > "$work/vault.log" 2>&1 &
pids+=($!)
wait_for "$work/vault/ready"
control_port=$(sed 's/.*"control":\([0-9]*\).*/\1/' "$work/vault/ports.json")
secret_value="s3cret-one"
control POST /entra/apps '{"tenant":"tenantID","client_id":"servicePrincipalClientID","client_secret":"top-secret-password"}'
control PUT /vaults/contosoKeyVault5 '{"tenant":"tenantID"}'
control PUT /vaults/contosoKeyVault5/policies '{"client_id":"servicePrincipalClientID","permissions":["get"]}'
control PUT /vaults/contosoKeyVault5/secrets/secret1 "{\"value\":\"$secret_value\"}"
control PUT /vaults/contosoKeyVault5/secrets/secret2 '{"value":"s3cret-two"}'
note "vault contosoKeyVault5 holds secret1 and secret2; the service principal servicePrincipalClientID may read them"

step "The Azure provider, as user nobody"
mkdir -m 0755 "$work/cloud"
install -m 0644 "$work/vault/ca.pem" "$work/vault/cloud.json" "$work/cloud/"
install -d -m 0755 -o 65534 -g 65534 "$work/providers"
start=$(now_us)
show secrets-store-provider-azure --endpoint=unix://"$work"/providers/azure.sock
start_provider() {
    # in the directory "/": an unprivileged process has no business in the checkout
    (cd / && exec env AZURE_ENVIRONMENT_FILEPATH="$work/cloud/cloud.json" SSL_CERT_FILE="$work/cloud/ca.pem" \
        setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --inh-caps=-all \
        "$bin/secrets-store-provider-azure" --endpoint="unix://$work/providers/azure.sock" --cloud-name=AzureStackCloud \
        --healthz-port=0 --prometheus-port=0 --republish-cache-ttl=1s) >> "$work/provider.log" 2>&1 &
    provider_pid=$!
    pids+=("$provider_pid")
    wait_for "$work/providers/azure.sock"
}
start_provider
note "serving after $((($(now_us) - start) / 1000)) ms; runs as $(awk '/^Uid/ { print "uid " $2 }' "/proc/$provider_pid/status") without capabilities"
run "$bin/secrets-store-ctl" version --endpoint="$work/providers/azure.sock"

step "The driver, without a Kubernetes API: classes are files in a directory"
mkdir -p "$work/classes" "$work/kubelet/pods"
start=$(now_us)
show secrets-store-driver --class-dir="$work"/classes --provider-volume="$work"/providers ...
"$bin/secrets-store-driver" --endpoint="unix://$work/csi.sock" --nodeid=demo --class-dir="$work/classes" \
    --provider-volume="$work/providers" --additional-provider-volume-paths= --enable-secret-rotation=true \
    --rotation-poll-interval=1s --metrics-addr=0 --health-addr=0 --registration-dir= > "$work/driver.log" 2>&1 &
driver_pid=$!
pids+=("$driver_pid")
wait_for "$work/csi.sock"
note "serving after $((($(now_us) - start) / 1000)) ms"
run "$bin/secrets-store-ctl" info --endpoint="$work/csi.sock"

step "The SecretProviderClass of the tutorial, and the service principal's credentials"
cp "$root/test/demo/tutorial-class.yaml" "$work/classes/azure-kvname.yaml"
mkdir -m 0700 "$work/secrets-store-creds"
printf servicePrincipalClientID > "$work/secrets-store-creds/clientid"
printf top-secret-password > "$work/secrets-store-creds/clientsecret"
grep -vE '^ *#|^ +#' "$work/classes/azure-kvname.yaml" | sed 's/ *\t* *#.*//' | indent

uid=11111111-2222-3333-4444-555555555555
pod=(--endpoint="$work/csi.sock" --kubelet-dir="$work/kubelet" --pod-uid="$uid")
publish=("$bin/secrets-store-ctl" publish "${pod[@]}" --class=azure-kvname --secrets-dir="$work/secrets-store-creds")
target=$work/kubelet/pods/$uid/volumes/kubernetes.io~csi/secrets-store/mount

step "A pod starts: publish its volume, as the kubelet does"
timed run "${publish[@]}"

step "What the pod sees"
run ls -la "$target"
for name in secret1 secret2; do
    show cat "$target/$name"
    note "$(cat "$target/$name")"
done
note "mounted: $(findmnt -n -o FSTYPE,OPTIONS "$target" | tr -s ' ' | fold -s -w 100 | sed '2,$s/^/             /')"
show touch "$target/x"
(touch "$target/x" 2>&1 || true) | indent

step "Memory"
note "driver   $(memory "$driver_pid")"
note "provider $(memory "$provider_pid")"

step "Rotation: secret1 changes in the vault; the kubelet's next call brings it"
control PUT /vaults/contosoKeyVault5/secrets/secret1 '{"value":"a new value"}'
for ((i = 0; i < 100; i++)); do
    "${publish[@]}" > /dev/null
    [ "$(cat "$target/secret1")" != "$secret_value" ] && break
    sleep 0.1
done
show cat "$target/secret1"
note "$(cat "$target/secret1")"
[ "$(cat "$target/secret1")" = "a new value" ]

step "A class with a mistake: the error names the object, and nothing is mounted"
sed 's/azure-kvname/mistake/; s/objectName: secret2/objectName: secret3/' "$work/classes/azure-kvname.yaml" > "$work/mistake.yaml"
mv "$work/mistake.yaml" "$work/classes/"
expect_failure "$bin/secrets-store-ctl" publish "${pod[@]}" --volume=other --class=mistake --secrets-dir="$work/secrets-store-creds"

step "The provider is stopped: a running pod keeps its files, a new one gets a quick and clear error"
kill "$provider_pid"
wait "$provider_pid" 2>/dev/null || true
"${publish[@]}" > /dev/null
note "the running pod: published again, secret1 is still '$(cat "$target/secret1")'"
start=$(now_us)
expect_failure "$bin/secrets-store-ctl" publish "${pod[@]}" --volume=other --class=azure-kvname --secrets-dir="$work/secrets-store-creds"
note "error after $((($(now_us) - start) / 1000)) ms"

step "The provider is back, and the retry works"
start_provider
"$bin/secrets-store-ctl" publish "${pod[@]}" --volume=other --class=azure-kvname --secrets-dir="$work/secrets-store-creds" | indent

step "The pods are deleted: unpublish leaves nothing behind"
run "$bin/secrets-store-ctl" unpublish "${pod[@]}" --volume=other
run "$bin/secrets-store-ctl" unpublish "${pod[@]}"
if findmnt -n "$target" > /dev/null || [ -n "$(ls -A "$work/kubelet/pods")" ]; then
    echo "    something was left behind" >&2
    exit 1
fi
note "no mount, no directory"

printf '\n%sThat was all. %s is removed now.%s\n' "$bold" "$work" "$plain"
