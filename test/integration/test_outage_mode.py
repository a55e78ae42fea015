"""Outage mode: vaults go away while pods start, rights are revoked meanwhile, the provider is replaced meanwhile."""

import json
import secrets as random_source
import signal
import subprocess
import time

import pytest

from harness import mounts, rpc, tutorial
from harness.azure_mounts import Pods, item, mount, mount_failure, mount_request, objects_of, texts, versions_of
from harness.identities import TOKENS, Issuer, subject_of, tokens_json
from harness.kube import spc
from harness.memory import memory_contains, traces
from harness.process import PATIENCE, SANITIZED, wait_until
from harness.programs import metric_sum

ON = ("--serve-stale-max-age=1h", "--republish-cache-ttl=0")
OLD = tutorial.SECRETS["secret1"]
SHORT = 6 if SANITIZED else 3  # seconds of a mount: the vault is waited for for half of it


def age_of(response):
    """Seconds, from the warning."""
    (text,) = response.warnings
    assert text.startswith("the vault could not answer, objects are as they were read up to ")
    return int(text.split(" s ago")[0].split()[-1])


def black_hole(emulator):
    emulator.add_fault("blackhole", id="away", service="vault")


def refuses(client, **more):
    """A mount fails, and that because of the vault."""
    _, text = mount_failure(client, timeout=SHORT, **more)
    assert "contosokeyvault5.vault.localhost" in text.lower(), text


@pytest.fixture
def azure(start_azure):
    return start_azure(*ON)


def test_pods_start_while_the_vault_is_a_black_hole_until_the_values_are_too_old(start_azure, emulator):
    """A second stands for six minutes: the age is 10 s, pods start for longer than that."""
    azure = start_azure("--serve-stale-max-age=10s", "--republish-cache-ttl=0")
    with rpc.Client(azure.socket) as client:
        version = dict(versions_of(mount(client, pod="first")))["secret/secret1"]
        read, ages = time.monotonic(), []
        black_hole(emulator)
        while time.monotonic() - read < 5:
            response = mount(client, pod=f"pod{len(ages)}", timeout=SHORT)
            assert texts(response) == {"secret1": OLD}
            assert dict(versions_of(response))["secret/secret1"] == version
            assert "kept/secret/secret1" in dict(versions_of(response))
            ages.append(age_of(response))
        assert ages == sorted(ages) and len(ages) >= 2
        wait_until(lambda: time.monotonic() - read > 10.1, what="the values to be too old")
        refuses(client, pod="late")
        assert metric_sum(azure.metrics(), "azure_stale_served_total") == len(ages)
        assert metric_sum(azure.metrics(), "azure_stale_kept_values") == 0
        emulator.clear_faults()
        response = mount(client, pod="after")
        assert response.warnings == [] and list(dict(versions_of(response))) == ["secret/secret1"]
    assert OLD not in azure.log
    assert f"the vault cannot answer, serving the value that was kept" in azure.log


def test_a_vault_that_returns_500_or_resets_is_away_and_one_that_refuses_is_not(azure, client, emulator):
    mount(client)
    emulator.add_fault("status", id="away", status=400, service="vault")
    mount_failure(client, timeout=SHORT)
    for fault in ({"kind": "status", "status": 503}, {"kind": "reset"}, {"kind": "status", "status": 429, "retry_after": 600}):
        emulator.clear_faults()
        emulator.add_fault(**fault, id="away", service="vault")
        assert texts(mount(client, pod=fault["kind"], timeout=SHORT)) == {"secret1": OLD}


def test_the_pod_gets_an_event_and_the_status_object_says_when_it_was_read(node, start_in_cluster, cluster, emulator, azure, client):
    mount(client)
    cluster.add("secretproviderclasses", spc(provider="azure", parameters={
        key: value for key, value in tutorial.attributes(("secret1",)).items() if "csi.storage" not in key}))
    driver, target = start_in_cluster(), node.target()
    black_hole(emulator)
    request = rpc.publish_request(target)
    request.secrets.update(tutorial.CREDENTIALS)
    driver.publish(request, timeout=2 * SHORT)
    assert mounts.contents(target) == {"secret1": OLD.encode()}
    (event,) = wait_until(lambda: [event for event in cluster.all("events") if event["reason"] == "ProviderWarning"], what="the event")
    assert event["type"] == "Warning" and "the vault could not answer" in event["message"] and "secret/secret1" in event["message"]
    cluster.wait_for_status(lambda status: "kept/secret/secret1" in [entry["id"] for entry in status["status"]["objects"]])
    assert OLD not in event["message"] + driver.log + azure.log


# --- revoked ---

def test_one_refusal_ends_what_was_kept(azure, client, emulator):
    mount(client)
    emulator.set_policy(permissions=["list"])
    assert "403" in mount_failure(client, pod="revoked")[1]
    black_hole(emulator)
    refuses(client, pod="late")
    assert metric_sum(azure.metrics(), "azure_stale_served_total") == 0


def test_a_refusal_of_one_principal_does_not_end_what_another_one_read(azure, client, emulator):
    other = {"clientid": "other", "clientsecret": "other-secret"}
    emulator.add_app(tutorial.TENANT, other["clientid"], other["clientsecret"])
    emulator.set_policy(client_id="other", permissions=["get"])
    mount(client)
    mount(client, credentials=other)
    emulator.set_policy(client_id="other", permissions=[])
    mount_failure(client, credentials=other)
    black_hole(emulator)
    assert texts(mount(client, timeout=SHORT)) == {"secret1": OLD}
    refuses(client, credentials=other)


def test_a_right_that_is_revoked_during_the_outage_counts_when_the_vault_is_back(azure, client, emulator):
    mount(client)
    black_hole(emulator)
    emulator.set_policy(permissions=[])
    assert texts(mount(client, timeout=SHORT)) == {"secret1": OLD}
    emulator.clear_faults()
    assert "403" in mount_failure(client)[1]
    black_hole(emulator)
    refuses(client)


def test_a_deleted_secret_is_not_served(azure, client, emulator):
    mount(client, "secret1", "secret2")
    emulator.control("DELETE", f"/vaults/{tutorial.VAULT}/secrets/secret1")
    assert "404" in mount_failure(client)[1]
    black_hole(emulator)
    refuses(client)
    assert texts(mount(client, "secret2", timeout=SHORT)) == {"secret2": tutorial.SECRETS["secret2"]}


# --- Entra ID ---

def test_without_entra_valid_tokens_go_on_and_a_new_pods_token_is_missed(azure, client, emulator):
    issuer = Issuer()
    issuer.register(emulator)
    workload = "22222222-aaaa-4bbb-8ccc-dddddddddddd"
    emulator.control("POST", "/entra/apps", {"tenant": tutorial.TENANT, "client_id": workload, "federated": [
        {"issuer": issuer.url, "subject": subject_of("default", "web"), "audience": "api://AzureADTokenExchange"}]})
    emulator.set_policy(client_id=workload, permissions=["get"])

    def pod_token():  # each pod has one of its own
        return {"credentials": {}, "clientID": workload, TOKENS: tokens_json(workload=issuer.token(subject_of("default", "web")))}
    running = pod_token()
    mount(client)
    mount(client, **running)
    emulator.add_fault("reset", service="entra")
    assert texts(mount(client, pod="second")) == {"secret1": OLD}
    assert texts(mount(client, **running)) == {"secret1": OLD}
    assert "token" in mount_failure(client, pod="second", timeout=SHORT, **pod_token())[1]
    black_hole(emulator)
    assert texts(mount(client, pod="third", timeout=SHORT)) == {"secret1": OLD}
    assert texts(mount(client, timeout=SHORT, **running)) == {"secret1": OLD}


# --- the provider is replaced ---

def start_successor(start_azure, flags=ON):
    """A process that has taken the path from the one before."""
    new = start_azure(*flags, name="successor")
    wait_until(lambda: '"listening"' in new.log, what="the successor to serve")
    return new


def replace(start_azure, old, flags, surge=True):
    """A rolling update with surge: the new process serves the path, then the old one is stopped."""
    if surge:
        new = start_successor(start_azure, flags)
        old.assert_clean(old.stop())
    else:
        old.kill(signal.SIGKILL)
        new = start_azure(*flags, name="successor")
    return new


def test_a_rolling_update_hands_the_values_over(start_azure, emulator):
    old = start_azure(*ON)
    objects = objects_of(item("secret1"), item("secret2"), item("key1", "key"), item("secret1", objectAlias="old", objectVersionHistory=2),
                         {"objectTags": "env=prod", "objectType": "secret", "objectAlias": "tagged/*"})
    emulator.set_secret("secret1", "second value")
    emulator.set_secret("tagged1", "tagged value", tags={"env": "prod"})
    emulator.set_key("key1", {"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
                              "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"})
    with rpc.Client(old.socket) as client:
        before = mount(client, objects=objects)
        mount(client)
    new = replace(start_azure, old, ON)
    assert f"values that were kept for outages given to the next process" in old.log
    assert metric_sum(new.metrics(), "azure_stale_kept_values") == 8
    assert metric_sum(new.metrics(), "azure_stale_kept_bytes") > 0
    assert 0 < time.time() - metric_sum(new.metrics(), "azure_stale_kept_oldest_timestamp_seconds") < 60 * PATIENCE
    black_hole(emulator)
    with rpc.Client(new.socket) as client:
        after = mount(client, objects=objects, timeout=4 * SHORT)
        assert texts(after) == texts(before)
        kept = dict(versions_of(after))
        assert {name: version for name, version in kept.items() if not name.startswith("kept/")} == dict(versions_of(before))
        assert {name for name in kept if name.startswith("kept/")} == {
            "kept/secret/secret1", "kept/secret/secret2", "kept/key/key1", "kept/secret/secret1/0", "kept/secret/secret1/1",
            "kept/secret/tagged1"}
        assert "second value" not in new.log + old.log


def test_what_the_successor_was_refused_is_not_taken_over(start_azure, emulator):
    old = start_azure(*ON)
    with rpc.Client(old.socket) as client:
        mount(client)
        mount(client, "secret2")
    new = start_successor(start_azure)
    with rpc.Client(new.socket) as client:
        emulator.control("DELETE", f"/vaults/{tutorial.VAULT}/secrets/secret1")
        assert "404" in mount_failure(client)[1]
        old.assert_clean(old.stop())
        black_hole(emulator)
        refuses(client)
        assert texts(mount(client, "secret2", timeout=SHORT)) == {"secret2": tutorial.SECRETS["secret2"]}


@pytest.mark.parametrize("flags, surge", [(ON, False), (("--republish-cache-ttl=0",), True)], ids=["killed", "off in the successor"])
def test_without_a_handover_nothing_is_served(start_azure, emulator, flags, surge):
    old = start_azure(*ON)
    with rpc.Client(old.socket) as client:
        mount(client)
    new = replace(start_azure, old, flags, surge)
    assert surge == ("no process takes over the values that were kept for outages" in old.log)
    black_hole(emulator)
    with rpc.Client(new.socket) as client:
        refuses(client)


def test_a_process_of_another_user_hands_nothing_over(azure, emulator):
    """The test is root as the provider is here, so that a child of another user makes the call."""
    script = (f"import sys, grpc; channel = grpc.insecure_channel('unix://{azure.socket}'); "
              "call = channel.unary_unary('/handover.v1.Handover/Put'); call(b'', timeout=10)")
    azure.socket.chmod(0o777)
    azure.socket.parent.chmod(0o777)
    for user, word in ((0, ""), (65534, "PERMISSION_DENIED")):
        done = subprocess.run(["/usr/bin/python3", "-c", script], user=user, capture_output=True, text=True, check=False, timeout=60)
        assert word in done.stderr and (word != "") == (done.returncode != 0), done.stderr
    assert "the process runs as user 65534, not as 0" in azure.log


# --- memory, requests ---

@pytest.mark.release_only  # a sanitizer keeps what libraries free
@pytest.mark.parametrize("age", ["3s", "0"])
def test_a_value_is_in_memory_while_it_is_kept_and_no_longer(start_azure, emulator, age):
    canary = "C9" + random_source.token_hex(24)
    emulator.set_secret("secret1", canary)
    emulator.set_secret("secret2", "x" * 20000)
    azure = start_azure(f"--serve-stale-max-age={age}", "--republish-cache-ttl=0")
    read = time.monotonic()
    with rpc.Client(azure.socket) as client:
        assert texts(mount(client)) == {"secret1": canary}
        for _ in range(3):  # libcurl keeps the last response of an open connection, until the next ones have overwritten it
            mount(client, "secret2")
    in_memory = memory_contains(azure.pid, traces(canary))
    assert time.monotonic() - read > 3 or bool(in_memory) == (age != "0")
    wait_until(lambda: time.monotonic() - read > 3.2, what="the age")
    wait_until(lambda: not memory_contains(azure.pid, traces(canary)), timeout=5, what="the value to be gone from memory", pause=0.2)


def test_the_vault_gets_the_same_requests_with_and_without(start_azure, emulator):
    requests = []
    for flags in ((), ON[:1]):
        azure = start_azure(*flags, name=f"azure{len(requests)}", socket_name=f"azure{len(requests)}")
        emulator.reset_counters()
        with Pods(azure.socket, in_flight=1) as pods:
            for round_ in range(3):
                versions = [("secret/secret1", "x")] if round_ else []
                pods.mount_all([mount_request(("secret1", "secret2"), pod=f"pod{n}", versions=versions) for n in range(4)])
            outcome = pods.outcome(mount_request(("absent",)))
            assert "404" in str(outcome)
        requests.append(json.dumps(sorted((route["route"], route["status"], route["count"]) for route in emulator.counters()["routes"])))
    assert requests[0] == requests[1]
