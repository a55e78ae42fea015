#!/bin/bash
# outage.sh - shows on one machine how pods start while a vault is away: what they get, what the logs say, what ends it.
#
# Needs root (it mounts). Runs in a mount namespace and a directory of its own; at the end, or when interrupted, it removes everything.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/test/demo/lib.sh"

vault=contosoKeyVault5 copy=contosoWest
allow() { # PERMISSIONS in both vaults
    local name
    for name in "$vault" "$copy"; do
        control PUT "/vaults/$name/policies" "{\"client_id\":\"servicePrincipalClientID\",\"permissions\":[$1]}"
    done
}
go_away() { control POST /faults "{\"kind\":\"blackhole\",\"id\":\"$1\",\"service\":\"vault\",\"host_contains\":\"${1,,}.\"}"; }
come_back() { control DELETE /faults ''; }

count=0
new_pod() { # each pod has its own uid; $pod and $target are its
    count=$((count + 1))
    local uid=11111111-2222-3333-4444-$(printf '%012d' "$count")
    pod=(--endpoint="$work/csi.sock" --kubelet-dir="$work/kubelet" --pod="web-$count" --pod-uid="$uid")
    target=$work/kubelet/pods/$uid/volumes/kubernetes.io~csi/secrets-store/mount
}
publish() { "$bin/secrets-store-ctl" publish "${pod[@]}" --class=azure-kvname --secrets-dir="$work/secrets-store-creds" --timeout=4s; }
start_pod() {
    new_pod
    show secrets-store-ctl publish --pod="web-$count" --class=azure-kvname ...
    timed publish > "$work/published"
    tail -n 1 "$work/published"
    note "secret1 is '$(cat "$target/secret1")'"
}
refuse_pod() {
    local output
    show secrets-store-ctl publish --pod="web-$count" --class=azure-kvname ...
    if output=$(publish 2>&1); then
        echo "    this should have failed" >&2
        return 1
    fi
    note "$(sed 's/^.*objectName/objectName/; s/: The user.*\[hint:/ ... [hint:/; s/ (request id.*//; s/ (the same for.*//' <<< "$output")"
}
logged() { # PROGRAM TEXT: the last line with this text, from its text on
    note "the log of the $1:"
    grep -F "$2" "$work/$1.log" | tail -n 1 | sed 's/^[^"]*//' | fold -s -w 106 | sed 's/^/      /'
}

versions() {
    note "its versions, as a status object has them:"
    grep -o '"id":"[^"]*","version":"[^"]*"' "$work/status/${pod[3]#*=}_secrets-store.json" | sed 's/"//g; s/^id:/  /; s/,version:/  /' | indent
}

echo "${bold}Pods that start while a vault is away. Nothing here touches your system: it all lives in $work (\$DEMO).$plain"

step "The cloud, emulated on this machine, the provider with outage mode, the driver"
start_vault
for name in "$vault" "$copy"; do
    control PUT "/vaults/$name" '{"tenant":"tenantID"}'
    control PUT "/vaults/$name/secrets/secret1" '{"value":"s3cret-one"}'
    control PUT "/vaults/$name/secrets/secret2" '{"value":"s3cret-two"}'
done
allow '"get"'
show secrets-store-provider-azure --serve-stale-max-age=1h
start_provider --serve-stale-max-age=1h
start_driver --status-dir="$work/status"
sed "/^ *keyvaultName:/a\\    fallbackKeyvaults: $copy" "$root/test/demo/tutorial-class.yaml" > "$work/class.yaml"
mv "$work/class.yaml" "$work/classes/azure-kvname.yaml"
grep -E 'keyvaultName|fallbackKeyvaults' "$work/classes/azure-kvname.yaml" | sed 's/ *\t* *#.*//' | indent
make_credentials

step "A pod starts: the provider reads the vault"
start_pod
first=("${pod[@]}") first_target=$target

step "The vault $vault goes away: it takes requests and never responds. A pod starts from the fallback vault"
go_away "$vault"
start_pod
logged driver "the provider warns"
versions

step "The fallback vault goes away, too. Meanwhile secret1 changes in both"
go_away "$copy"
control PUT "/vaults/$vault/secrets/secret1" '{"value":"a new value"}'
control PUT "/vaults/$copy/secrets/secret1" '{"value":"a new value"}'
note "$vault and $copy are black holes now"

step "A pod starts all the same, with what its identity read before. It waits for the vaults first: ten seconds, or half of its time"
start_pod
logged provider "serving the value that was kept"
logged driver "the provider warns"
versions

step "The provider is replaced meanwhile: the old process hands over what it keeps, when it is stopped"
old=$provider_pid
start_provider --serve-stale-max-age=1h
for ((i = 0; i < 1000; i++)); do
    [ "$(grep -c '"listening"' "$work/provider.log")" = 1 ] || break
    sleep 0.01
done
kill "$old"
wait "$old"
logged provider "given to the next process"
start_pod

step "The vaults are back, but the identity may not read them any more: one refusal ends what was kept"
come_back
allow ''
new_pod
refuse_pod
go_away "$vault"
go_away "$copy"
note "both go away again"
refuse_pod

step "The right is there again, and the vaults are back: the next rotation check brings the new value to the pods that run"
come_back
allow '"get"'
pod=("${first[@]}")
for ((i = 0; i < 300; i++)); do
    publish > /dev/null
    [ "$(cat "$first_target/secret1")" = "s3cret-one" ] || break
    sleep 0.1
done
note "the first pod: secret1 is '$(cat "$first_target/secret1")'"
[ "$(cat "$first_target/secret1")" = "a new value" ]

printf '\n%sThat was all. %s is removed now.%s\n' "$bold" "$work" "$plain"
