#!/bin/bash
# demo.sh - shows the whole path on one machine, in numbered steps: an embedded vault, the Azure provider, the driver, a pod's volume.
#
# Needs root (it mounts). Runs in a mount namespace and a directory of its own; at the end, or when interrupted, it removes everything.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/test/demo/lib.sh"

memory() { awk '/^VmRSS/ { printf "%.1f MiB", $2 / 1024 }' "/proc/$1/status"; }

echo "${bold}Secrets from a vault, mounted as files. Nothing here touches your system: it all lives in $work (\$DEMO).$plain"

step "The cloud: Key Vault and Entra ID, emulated on this machine"
start_vault
secret_value="s3cret-one"
control PUT /vaults/contosoKeyVault5 '{"tenant":"tenantID"}'
control PUT /vaults/contosoKeyVault5/policies '{"client_id":"servicePrincipalClientID","permissions":["get"]}'
control PUT /vaults/contosoKeyVault5/secrets/secret1 "{\"value\":\"$secret_value\"}"
control PUT /vaults/contosoKeyVault5/secrets/secret2 '{"value":"s3cret-two"}'
note "vault contosoKeyVault5 holds secret1 and secret2; the service principal servicePrincipalClientID may read them"

step "The Azure provider, as user nobody"
start=$(now_us)
show secrets-store-provider-azure --endpoint=unix://"$work"/providers/azure.sock
start_provider
note "serving after $((($(now_us) - start) / 1000)) ms; runs as $(awk '/^Uid/ { print "uid " $2 }' "/proc/$provider_pid/status") without capabilities"
run "$bin/secrets-store-ctl" version --endpoint="$work/providers/azure.sock"

step "The driver, without a Kubernetes API: classes are files in a directory"
start=$(now_us)
show secrets-store-driver --class-dir="$work"/classes --provider-volume="$work"/providers ...
start_driver
note "serving after $((($(now_us) - start) / 1000)) ms"
run "$bin/secrets-store-ctl" info --endpoint="$work/csi.sock"

step "The SecretProviderClass of the tutorial, and the service principal's credentials"
cp "$root/test/demo/tutorial-class.yaml" "$work/classes/azure-kvname.yaml"
make_credentials
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

step "Memory, most of it pages of the system's libraries (the static release needs a sixth: docs/performance.md)"
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
