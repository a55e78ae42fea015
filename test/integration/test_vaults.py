"""Objects of several vaults in one class, and fallback vaults: what a mount reads from where, over both versions of HTTP."""

import json
import os
import time

import grpc
import pytest
import yaml

from harness import kube, mounts, rpc, tutorial
from harness.azure_mounts import files, item, mount, mount_failure, objects_of, versions_of
from harness.ctl import ctl
from harness.process import ROOT, wait_until
from harness.programs import metric_sum
from harness.rpc import CODES

EAST, WEST, NORTH = "contosoKeyVault5", "contoso-west", "contoso-north"
NOWHERE = "contoso-nowhere"  # the emulator hangs up, as if its name did not resolve
HOSTS = {name: f"{name.lower()}.vault.localhost" for name in (EAST, WEST, NORTH, NOWHERE)}
CANNOT_ANSWER = [
    {"kind": "status", "status": 503, "retry_after": 61}, {"kind": "status", "status": 500}, {"kind": "status", "status": 429, "retry_after": 61},
    {"kind": "reset"}, {"kind": "close"}, {"kind": "blackhole"}, {"kind": "truncate"}]
ANSWERS = [{"kind": "status", "status": 401}, {"kind": "status", "status": 403}, {"kind": "status", "status": 404},
           {"kind": "status", "status": 400}, {"kind": "garbage"}]


def fault_name(fault):
    return f"{fault['kind']}-{fault['status']}" if "status" in fault else fault["kind"]


@pytest.fixture(params=["h2", "http/1.1"])
def protocol(request, emulator):
    emulator.set_http(protocols=[request.param])
    return request.param


@pytest.fixture
def vaults(emulator):
    """Secret `secret1` in three vaults, in each with another value."""
    for vault in (WEST, NORTH):
        emulator.add_vault(vault)
        emulator.set_secret("secret1", f"in {vault}", vault=vault)
    return emulator


def break_vault(emulator, vault, **fault):
    emulator.add_fault(**fault, service="vault", host_contains=HOSTS[vault])


def hosts_requested(emulator):
    return [request["host"].split(":")[0] for request in emulator.requests("vault")]


def url_of(emulator, host):
    return f"https://{host}:{emulator.tls_port}/"


# --- several vaults ---

def test_one_class_reads_three_vaults_and_a_managed_hsm(protocol, client, vaults):
    vaults.add_vault("contoso-hsm", hsm=True)
    vaults.set_key("signing", {"kty": "EC-HSM", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                               "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}, vault="contoso-hsm")
    objects = objects_of(item("secret1"), item("secret1", keyvaultName=WEST, objectAlias="west"),
                         item("secret1", keyvaultURL=url_of(vaults, HOSTS[NORTH]), objectAlias="north"),
                         item("signing", "key", keyvaultURL=url_of(vaults, "contoso-hsm.managedhsm.localhost")))
    response = mount(client, objects=objects)
    found = files(response)
    assert found.pop("signing").startswith(b"-----BEGIN PUBLIC KEY-----")
    assert found == {"secret1": tutorial.SECRETS["secret1"].encode(), "west": b"in contoso-west", "north": b"in contoso-north"}
    assert [name for name, _ in versions_of(response)] == [
        "secret/secret1", f"secret/secret1@{HOSTS[WEST]}", f"secret/secret1@{HOSTS[NORTH]}", "key/signing@contoso-hsm.managedhsm.localhost"]
    assert all(version and "@" not in version for _, version in versions_of(response))
    assert not response.warnings
    assert vaults.counters()["tokens_issued"] == 2  # one for all vaults, one for the Managed HSM
    assert len(vaults.requests("vault")) == 4
    assert not [route for route in vaults.counters()["routes"] if route["status"] == 401]


def test_the_example(client, vaults):
    """manifests/examples/several-vaults.yaml, in an outage of its first vault."""
    vaults.add_vault("contoso-shared")
    vaults.set_secret("secret1", "shared", vault="contoso-shared")
    parameters = yaml.safe_load((ROOT / "manifests/examples/several-vaults.yaml").read_text())["spec"]["parameters"]
    assert parameters.pop("tenantID") and parameters["keyvaultName"] == EAST
    break_vault(vaults, EAST, kind="status", status=503, retry_after=61)
    response = mount(client, **parameters)
    assert files(response) == {"secret1": b"in contoso-west", "shared/secret1": b"shared"}


def test_a_slow_vault_does_not_hold_the_others_up(client, vaults):
    vaults.add_fault("latency", service="vault", latency_ms=700)
    started = time.monotonic()
    mount(client, objects=objects_of(*[item("secret1", keyvaultName=vault, objectAlias=vault) for vault in (EAST, WEST, NORTH)]))
    assert time.monotonic() - started < 2.1  # one after the other; the rest is for a busy machine


def test_objects_of_other_vaults_have_versions_selections_and_options(client, vaults):
    for second in range(3):
        vaults.set_secret("history", f"v{second}", vault=WEST, created=1_700_000_000 + second)
    objects = objects_of(item("history", objectVersionHistory=2, keyvaultName=WEST),
                         {"objectNamePattern": "secret*", "objectType": "secret", "objectAlias": "all", "keyvaultName": NORTH},
                         item("missing", objectOptional="true", keyvaultName=WEST))
    response = mount(client, objects=objects)
    assert files(response) == {"history/0": b"v2", "history/1": b"v1", "history/2": b"v0", "all/secret1": b"in contoso-north"}
    names = dict(versions_of(response))
    assert set(names) == {f"secret/history/{k}@{HOSTS[WEST]}" for k in range(3)} | {
        f"secret/secret1@{HOSTS[NORTH]}", f"secret/missing@{HOSTS[WEST]}"}
    assert names[f"secret/missing@{HOSTS[WEST]}"] == ""


def test_one_path_of_two_vaults_is_refused(client, vaults):
    code, message = mount_failure(client, objects=objects_of(item("secret1"), item("secret1", keyvaultName=WEST)))
    assert code == CODES.INVALID_ARGUMENT and "secret1" in message
    assert vaults.requests() == []


def test_the_error_of_an_object_names_its_vault(client, vaults):
    objects = objects_of(item("secret1"), item("gone", keyvaultName=WEST), item("gone", keyvaultName=NORTH, objectAlias="north"))
    code, message = mount_failure(client, objects=objects)
    assert code == CODES.NOT_FOUND
    assert f"objectName:gone, objectVersion:: {HOSTS[WEST]} returned HTTP 404" in message
    assert f"{HOSTS[NORTH]} returned HTTP 404" in message


def test_an_identity_without_rights_in_one_vault_gets_nothing(client, vaults):
    vaults.set_policy(vault=WEST, permissions=["list"])
    code, message = mount_failure(client, objects=objects_of(item("secret1"), item("secret1", keyvaultName=WEST, objectAlias="west")))
    assert code == CODES.PERMISSION_DENIED and HOSTS[WEST] in message and EAST.lower() not in message


@pytest.mark.parametrize("field", ["keyvaultURL", "fallbackKeyvaults"])
@pytest.mark.parametrize("url", ["https://kv1.vault.azure.net", "https://kv1.vault.localhost:{port}/secrets", "https://kv1.vault.localhost",
                                 "https://kv1.vault.localhost:{port}@evil.example", "https://127.0.0.1:{port}", "https://vault.localhost:{port}"])
def test_an_item_outside_of_the_cloud_is_refused_before_any_request(client, emulator, field, url):
    code, message = mount_failure(client, objects=objects_of(item("secret1", **{field: url.format(port=emulator.tls_port)})))
    assert code == CODES.INVALID_ARGUMENT and "objectName:secret1" in message
    assert emulator.counters()["requests"] == 0


def test_a_misspelled_parameter_is_named(client, emulator):
    code, message = mount_failure(client, keyvaultName="no", fallbackKeyVaults=WEST)
    assert code == CODES.INVALID_ARGUMENT
    assert "[hint: parameter fallbackKeyVaults is not known, fallbackKeyvaults is]" in message
    assert emulator.counters()["requests"] == 0


# --- fallback vaults ---

@pytest.mark.parametrize("fault", CANNOT_ANSWER, ids=fault_name)
def test_a_vault_that_cannot_answer_is_replaced(protocol, azure, client, vaults, fault):
    break_vault(vaults, EAST, **fault)
    started = time.monotonic()
    response = mount(client, fallbackKeyvaults=f"{WEST}, {NORTH}", timeout=10)
    assert time.monotonic() - started < 9  # 2.5 s, and what a busy machine needs; the deadline is at 10 s
    assert files(response) == {"secret1": b"in contoso-west"}
    [(name, version)] = versions_of(response)
    assert name == "secret/secret1" and version.endswith(f"@{HOSTS[WEST]}") and len(version) > len(HOSTS[WEST]) + 10
    assert list(response.warnings) == [f"{HOSTS[EAST]} cannot answer, the fallback vault {HOSTS[WEST]} serves secret/secret1"]
    assert HOSTS[NORTH] not in hosts_requested(vaults)
    [line] = [line for line in azure.log.splitlines() if "a fallback vault serves objects" in line]
    assert HOSTS[EAST] in line and HOSTS[WEST] in line
    assert metric_sum(azure.metrics(), "azure_fallback_reads_total", outcome="served") == 1


def test_a_vault_whose_name_leads_nowhere_is_replaced(protocol, client, vaults):
    response = mount(client, keyvaultName=NOWHERE, fallbackKeyvaults=url_of(vaults, HOSTS[WEST]), timeout=10)
    assert files(response) == {"secret1": b"in contoso-west"}


@pytest.mark.parametrize("fault", ANSWERS, ids=fault_name)
def test_any_response_of_the_vault_counts(protocol, client, vaults, fault):
    break_vault(vaults, EAST, **fault)
    rpc.failure(mount, client, fallbackKeyvaults=WEST)
    assert set(hosts_requested(vaults)) == {HOSTS[EAST]}


def test_a_missing_object_and_missing_rights_are_responses(client, vaults):
    vaults.set_secret("only-west", "x", vault=WEST)
    code, _ = mount_failure(client, "only-west", fallbackKeyvaults=WEST)
    assert code == CODES.NOT_FOUND
    vaults.set_policy(vault=EAST, permissions=["list"])
    code, _ = mount_failure(client, fallbackKeyvaults=WEST)
    assert code == CODES.PERMISSION_DENIED
    assert HOSTS[WEST] not in hosts_requested(vaults)


def test_without_trouble_a_fallback_vault_gets_no_request(protocol, azure, client, vaults):
    for _ in range(3):
        response = mount(client, fallbackKeyvaults=f"{WEST}, {NORTH}")
        assert files(response) == {"secret1": tutorial.SECRETS["secret1"].encode()} and not response.warnings
    assert hosts_requested(vaults) == [HOSTS[EAST]] * 3
    assert metric_sum(azure.metrics(), "azure_fallback_reads_total") == 0


def test_a_slow_vault_is_preferred_to_a_fast_fallback_vault(protocol, azure, client, vaults):
    vaults.add_fault("latency", service="vault", host_contains=HOSTS[EAST], latency_ms=3500)
    response = mount(client, fallbackKeyvaults=WEST)
    assert files(response) == {"secret1": tutorial.SECRETS["secret1"].encode()} and not response.warnings
    assert HOSTS[WEST] in hosts_requested(vaults)
    assert metric_sum(azure.metrics(), "azure_fallback_reads_total", outcome="unused") == 1


def test_a_pause_that_ends_in_time_is_waited_for(client, vaults):
    break_vault(vaults, EAST, kind="status", status=429, retry_after=4, count=1)
    response = mount(client, fallbackKeyvaults=WEST)
    assert files(response) == {"secret1": tutorial.SECRETS["secret1"].encode()}
    assert HOSTS[WEST] not in hosts_requested(vaults)


def test_many_objects_of_a_silent_vault_come_in_time(protocol, client, vaults):
    for number in range(150):
        for vault in (EAST, WEST):
            vaults.set_secret(f"many{number}", f"{vault} {number}", vault=vault)
    break_vault(vaults, EAST, kind="blackhole")
    started = time.monotonic()
    response = mount(client, *[f"many{number}" for number in range(150)], fallbackKeyvaults=WEST)
    assert time.monotonic() - started < 12  # twice 2.5 s, whatever their number; each batch would wait for itself otherwise
    assert files(response) == {f"many{number}": f"{WEST} {number}".encode() for number in range(150)}
    assert len(response.warnings) == 1 and "and 145 more" in response.warnings[0]


def test_the_error_names_all_vaults(client, vaults):
    break_vault(vaults, EAST, kind="status", status=503, retry_after=61)
    break_vault(vaults, WEST, kind="blackhole")
    code, message = mount_failure(client, fallbackKeyvaults=WEST, timeout=4)
    assert code == CODES.UNAVAILABLE
    assert f"{HOSTS[EAST]} returned HTTP 503" in message and f"fallback vault {WEST}: no response from {HOSTS[WEST]}" in message


def test_a_class_without_it_sends_what_it_always_sent(client, vaults):
    """In an outage, too: the number of tries and the text of the error."""
    break_vault(vaults, EAST, kind="status", status=503, retry_after=1)
    code, message = mount_failure(client)
    assert code == CODES.UNAVAILABLE and "returned HTTP 503 after 4 tries" in message and "fallback" not in message
    assert hosts_requested(vaults) == [HOSTS[EAST]] * 4


# --- rotation ---

def test_a_rotation_returns_to_the_vault_and_changes_nothing(protocol, synced, vaults, start_azure):
    """An outage between two rotation checks is seen in versions, log, Events and metrics, and not in the volume."""
    for vault in (EAST, WEST):
        vaults.set_secret("same", "the same in both", vault=vault)
    azure = start_azure("--republish-cache-ttl=0")
    parameters = {"keyvaultName": EAST, "fallbackKeyvaults": WEST, "tenantId": tutorial.TENANT, "objects": tutorial.objects_yaml(["same"])}
    synced.add("secretproviderclasses", kube.spc(provider="azure", parameters=parameters))
    driver = synced.start("--enable-secret-rotation=true", "--rotation-poll-interval=1s")
    request = synced.request()
    request.secrets.update(tutorial.CREDENTIALS)

    def version():
        return {entry["id"]: entry["version"] for entry in synced.status()["status"]["objects"]}["secret/same"]

    def check(what, done):
        def checked():
            driver.publish(request)
            return done()
        wait_until(checked, timeout=30, what=what)

    def events(reason):
        return [event for event in synced.all("events") if event["reason"] == reason]

    driver.publish(request)
    data = os.readlink(f"{request.target_path}/..data")
    synced.written_status()
    own = version()
    assert "@" not in own and events("ProviderWarning") == []
    vaults.add_fault("close", id="outage", service="vault", host_contains=HOSTS[EAST])
    check("a version of the fallback vault", lambda: version().endswith(f"@{HOSTS[WEST]}"))
    [event] = wait_until(lambda: events("ProviderWarning"), what="the event")
    assert event["type"] == "Warning" and HOSTS[EAST] in event["message"] and HOSTS[WEST] in event["message"]
    assert event["source"]["component"] == "csi-secrets-store-rotation"
    vaults.control("DELETE", "/faults/outage")
    check("the vault's own version", lambda: version() == own)
    assert os.readlink(f"{request.target_path}/..data") == data
    assert mounts.contents(request.target_path) == {"same": b"the same in both"}
    assert events("MountRotationComplete") == [] and events("MountRotationFailed") == []
    assert metric_sum(azure.metrics(), "azure_fallback_reads_total", outcome="served") >= 1
    vaults.set_secret("same", "rotated")
    check("the new value", lambda: mounts.contents(request.target_path) == {"same": b"rotated"})


def test_the_client_shows_the_warning(node, azure, vaults):
    break_vault(vaults, EAST, kind="status", status=503, retry_after=61)
    class_file = node.directory / "class.yaml"
    class_file.write_text(json.dumps(kube.spc(provider="azure", parameters={
        "keyvaultName": EAST, "fallbackKeyvaults": WEST, "tenantId": tutorial.TENANT, "objects": tutorial.objects_yaml(["secret1"])})))
    secrets = node.directory / "credentials"
    secrets.mkdir()
    for key, value in tutorial.CREDENTIALS.items():
        (secrets / key).write_text(value)
    done = ctl("mount", "--class", class_file, "--secrets-dir", secrets, "--json", endpoint=azure.socket)
    assert json.loads(done.stdout)["warnings"] == [
        f"{HOSTS[EAST]} cannot answer, the fallback vault {HOSTS[WEST]} serves secret/secret1"]


def test_a_mount_that_is_cancelled_leaves_nothing_behind(azure, client, vaults):
    break_vault(vaults, EAST, kind="blackhole")
    break_vault(vaults, WEST, kind="blackhole")
    for _ in range(5):
        with pytest.raises(grpc.RpcError):
            mount(client, fallbackKeyvaults=f"{WEST}", timeout=0.5)
    vaults.clear_faults()
    assert files(mount(client, fallbackKeyvaults=WEST)) == {"secret1": tutorial.SECRETS["secret1"].encode()}
    assert azure.alive
