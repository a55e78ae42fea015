"""The Azure provider driven directly over its socket, against the emulated cloud."""

import json
import time

import pytest
from proto import health_pb2, provider_pb2

from harness import rpc, tutorial
from harness.azure_mounts import files, item, mount, mount_failure, mount_request, objects_of, texts
from harness.process import PATIENCE, wait_until
from harness.rpc import CODES


def test_version_names_the_provider(client):
    response = client.call("/v1alpha1.CSIDriverProvider/Version", provider_pb2.VersionRequest(version="v1alpha1"))
    assert response.version == "v1alpha1"
    assert response.runtime_name == "secrets-store-csi-driver-provider-azure"
    assert response.runtime_version


def test_health_is_serving_for_any_service(client):
    for service in ("", "v1alpha1.CSIDriverProvider", "whatever"):
        response = client.call("/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest(service=service))
        assert response.status == health_pb2.HealthCheckResponse.SERVING


def test_a_mount_returns_files_modes_and_versions(client, emulator):
    version = emulator.set_secret("secret1", "newest")
    response = mount(client, "secret1", "secret2")
    assert files(response) == {"secret1": b"newest", "secret2": tutorial.SECRETS["secret2"].encode()}
    assert {file.mode for file in response.files} == {0o644}
    versions = {item.id: item.version for item in response.object_version}
    assert versions["secret/secret1"] == version
    assert response.error.code == ""


def test_alias_version_permission_and_encoding_are_honoured(client, emulator):
    old = emulator.set_secret("versioned", "old")
    emulator.set_secret("versioned", "new")
    emulator.set_secret("encoded", "aGVsbG8=")
    emulator.set_secret("hexed", "00ff10")
    objects = ("array:\n"
               f"  - |\n    objectName: versioned\n    objectType: secret\n    objectVersion: {old}\n    objectAlias: dir/old\n"
               "  - |\n    objectName: versioned\n    objectType: secret\n    objectAlias: new\n    filePermission: \"0600\"\n"
               "  - |\n    objectName: encoded\n    objectType: secret\n    objectEncoding: base64\n"
               "  - |\n    objectName: hexed\n    objectType: secret\n    objectEncoding: hex\n")
    response = mount(client, objects=objects)
    assert files(response) == {"dir/old": b"old", "new": b"new", "encoded": b"hello", "hexed": b"\x00\xff\x10"}
    assert {file.path: file.mode for file in response.files}["new"] == 0o600


def test_a_history_gives_one_more_version_unless_the_class_sets_it_exact(client, emulator):
    for second, value in enumerate(("v1", "v2", "v3", "v4")):
        emulator.set_secret("history", value, created=1_700_000_000 + second)
    objects = "array:\n  - |\n    objectName: history\n    objectType: secret\n    objectVersionHistory: 2\n"
    assert files(mount(client, objects=objects)) == {"history/0": b"v4", "history/1": b"v3", "history/2": b"v2"}
    response = mount(client, objects=objects, objectVersionHistoryExact="true")
    assert files(response) == {"history/0": b"v4", "history/1": b"v3"}
    assert [item.id for item in response.object_version] == ["secret/history/0", "secret/history/1"]


@pytest.mark.parametrize("value", ["", "x" * 25000, "line\nline\n", "ünïcödé ✓", "\"quotes\" \\ backslash", "<html>&amp;", " spaces "],
                         ids=["empty", "long", "lines", "unicode", "quotes", "html", "spaces"])
def test_secret_values_arrive_byte_for_byte(client, emulator, value):
    emulator.set_secret("value", value)
    assert files(mount(client, "value")) == {"value": value.encode()}


def test_one_token_serves_many_mounts(client, emulator):
    for _ in range(20):
        mount(client, "secret1", "secret2")
    assert emulator.counters()["tokens_issued"] == 1
    assert emulator.token_requests == 1


def test_a_mount_of_ten_objects_makes_exactly_ten_vault_requests(client, emulator):
    names = [f"s{i}" for i in range(10)]
    for name in names:
        emulator.set_secret(name, name)
    mount(client, *names)
    counters = emulator.counters()
    assert counters["by_service"]["vault"] == 10
    assert {route["status"] for route in counters["routes"]} == {200}, "a probe without a token was sent"


def test_connections_are_kept(client, emulator):
    for _ in range(10):
        mount(client, "secret1")
    assert emulator.counters()["connections"] <= 4


def test_a_first_mount_never_sees_an_old_value(client, emulator):
    mount(client, "secret1")
    emulator.set_secret("secret1", "changed")
    assert files(mount(client, "secret1")) == {"secret1": b"changed"}


def test_a_missing_secret_is_not_found_by_name(client):
    code, message = mount_failure(client, "secret1", "no-such-secret")
    assert code == CODES.NOT_FOUND
    assert "no-such-secret" in message
    assert tutorial.VAULT.lower() in message.lower()


def test_all_failing_objects_are_named(client):
    _, message = mount_failure(client, "missing-one", "secret1", "missing-two")
    assert "missing-one" in message and "missing-two" in message


def test_a_disabled_secret_is_named_as_disabled(client, emulator):
    emulator.control("PATCH", f"/vaults/{tutorial.VAULT}/secrets/secret1/latest", {"enabled": False})
    code, message = mount_failure(client, "secret1")
    assert code == CODES.PERMISSION_DENIED
    assert "disabled" in message.lower()


def test_a_wrong_client_secret_shows_the_aadsts_code_and_a_hint(client):
    code, message = mount_failure(client, credentials={**tutorial.CREDENTIALS, "clientsecret": "Zq7~mistyped"})
    assert code in (CODES.UNAUTHENTICATED, CODES.PERMISSION_DENIED)
    assert "AADSTS7000215" in message
    assert "mistyped" not in message


def test_an_expired_client_secret_shows_its_aadsts_code(client, emulator):
    emulator.add_app(tutorial.TENANT, tutorial.CLIENT_ID, tutorial.CLIENT_SECRET, secret_expired=True)
    _, message = mount_failure(client)
    assert "AADSTS7000222" in message


def test_an_unknown_application_and_an_unknown_tenant_are_distinguished(client):
    _, message = mount_failure(client, credentials={**tutorial.CREDENTIALS, "clientid": "nobody"})
    assert "AADSTS700016" in message
    _, message = mount_failure(client, tenantId="no-such-tenant.example")
    assert "AADSTS90002" in message


def test_a_missing_permission_names_the_permission(client, emulator):
    emulator.add_vault("locked", permissions=())
    emulator.set_secret("secret1", "x", vault="locked")
    code, message = mount_failure(client, keyvaultName="locked")
    assert code == CODES.PERMISSION_DENIED
    assert "locked" in message and "get" in message.lower()


def test_a_firewall_is_distinguished_from_a_missing_permission(client, emulator):
    emulator.add_vault("walled", firewall=True)
    emulator.set_secret("secret1", "x", vault="walled")
    code, message = mount_failure(client, keyvaultName="walled")
    assert code == CODES.PERMISSION_DENIED
    assert "firewall" in message.lower() or "not authorized" in message.lower() or "network" in message.lower()


def test_a_revoked_token_is_renewed_after_the_challenge(client, emulator):
    mount(client, "secret1")
    emulator.control("POST", "/entra/revoke-tokens")
    assert files(mount(client, "secret1"))["secret1"]
    counters = emulator.counters()
    assert counters["tokens_issued"] == 2
    assert [route for route in counters["routes"] if route["status"] == 401]


def test_a_short_lived_token_is_renewed(client, emulator):
    emulator.control("POST", "/entra/token-lifetime", {"seconds": 1})
    mount(client, "secret1")
    time.sleep(1.2)
    mount(client, "secret1")
    assert emulator.counters()["tokens_issued"] >= 2


def test_a_class_without_items_mounts_nothing_and_is_logged(client, azure, emulator):
    response = mount(client, objects="array:")
    assert not response.files and not response.object_version and emulator.token_requests == 0
    assert "objects has no items" in azure.log


@pytest.mark.parametrize("overrides,word", [
    ({"keyvaultName": None}, "keyvaultName is not provided"),
    ({"tenantId": None}, "tenantId is not provided"),
    ({"objects": ""}, "objects is not set"),
    ({"usePodIdentity": "tru"}, "usePodIdentity"),
    ({"usePodIdentity": "true", "useVMManagedIdentity": "true"}, "only one identity mode can be enabled at a time"),
    ({"keyvaultName": "a"}, "must be between 3 and 24 chars"),
    ({"keyvaultName": "bad_name"}, "must match [-a-zA-Z0-9]{3,24}"),
    ({"cloudName": "MoonCloud"}, "MoonCloud"),
    ({"csi.storage.k8s.io/pod.name": None}, "pod name is not provided"),
    ({"csi.storage.k8s.io/pod.namespace": None}, "pod namespace is not provided"),
    ({"objects": "array:\n  - |\n    objectName: x\n    objectType: certificate\n"}, "secret, key, or cert"),
    ({"objects": "array:\n  - |\n    objectName: x\n    objectType: secret\n    objectAlias: ../x\n"}, "must not contain '..'"),
    ({"objects": "array:\n  - |\n    objectName: x\n    objectType: secret\n    objectAlias: /x\n"}, "must be a relative path"),
    ({"objects": "array: {\n"}, "yaml"),
    ({"objects": "array:\n  - objectName: x\n"}, "yaml"),
])
def test_a_wrong_parameter_is_named_without_a_request_to_the_cloud(client, emulator, overrides, word):
    code, message = mount_failure(client, **overrides)
    assert code == CODES.INVALID_ARGUMENT
    assert word.lower() in message.lower()
    assert emulator.counters()["requests"] == 0


@pytest.mark.parametrize("credentials,word", [
    (None, "nodePublishSecretRef secret is not set"), ({"clientsecret": "x"}, "clientid"), ({"clientid": "x"}, "clientsecret")])
def test_missing_credentials_are_named(client, emulator, credentials, word):
    _, message = mount_failure(client, credentials=credentials)
    assert word in message
    assert emulator.counters()["requests"] == 0


def test_credential_keys_are_matched_without_case(client):
    assert mount(client, credentials={"ClientID": tutorial.CLIENT_ID, "CLIENTSECRET": tutorial.CLIENT_SECRET}).files


@pytest.mark.parametrize("field,value", [("attributes", ""), ("attributes", "[]"), ("attributes", '{"a":1}'), ("secrets", "x"),
                                         ("permission", '"420"'), ("permission", "-1"), ("permission", "")])
def test_requests_that_cannot_be_decoded_are_refused(client, emulator, field, value):
    request = mount_request()
    setattr(request, field, value)
    code, message = rpc.failure(client.call, rpc.MOUNT, request)
    assert code == CODES.INVALID_ARGUMENT
    assert "failed to unmarshal" in message
    assert emulator.counters()["requests"] == 0


def test_identical_mounts_at_the_same_time_all_succeed(client, emulator):
    emulator.add_fault("latency", service="vault", latency_ms=50)
    futures = [client.future(rpc.MOUNT, mount_request(("secret1", "secret2"))) for _ in range(50)]
    for future in futures:
        assert files(future.result(timeout=60))["secret1"] == tutorial.SECRETS["secret1"].encode()
    assert emulator.counters()["tokens_issued"] == 1


def test_a_resource_that_entra_does_not_know_is_replaced_by_the_one_of_the_vaults_challenge(start_azure, emulator, scratch):
    cloud = json.loads((emulator.directory / "cloud.json").read_text())
    (scratch / "cloud.json").write_text(json.dumps({**cloud, "keyVaultEndpoint": "https://vault.unknown.example/"}))
    azure = start_azure(env={"AZURE_ENVIRONMENT_FILEPATH": str(scratch / "cloud.json")})
    with rpc.Client(azure.socket) as client:
        assert texts(mount(client)) == {"secret1": tutorial.SECRETS["secret1"]}
    assert "AADSTS500011" not in azure.log
    assert f'resource="https://vault.unknown.example" vaultResource="{emulator.vault_resource}"' in azure.log
    assert [(request["service"], request["status"]) for request in emulator.requests()] == [
        ("entra", 400), ("vault", 401), ("entra", 200), ("vault", 200)]


# ---- faults of the cloud ---------------------------------------------------------------------------------------------------------


def test_throttling_with_retry_after_is_waited_for(client, emulator):
    emulator.add_fault("status", service="vault", status=429, retry_after=1, count=1)
    started = time.monotonic()
    assert mount(client).files
    assert time.monotonic() - started >= 0.9


@pytest.mark.parametrize("header", ["retry-after-ms", "x-ms-retry-after-ms"])
def test_a_pause_in_milliseconds_is_taken_as_such(client, emulator, header):
    """Longer than the provider's own first pause (1 s at most), far below the same number of seconds."""
    emulator.add_fault("status", service="vault", status=503, count=1, **{header: 1700})
    started = time.monotonic()
    assert mount(client).files
    assert 1.6 <= time.monotonic() - started < 1.7 + 1 + 5 * PATIENCE


@pytest.mark.parametrize("service, kind, rule", [
    *[("vault", "status", {"status": status, "count": 2}) for status in (500, 502, 503, 504)], ("entra", "status", {"status": 503, "count": 2}),
    *[(service, kind, {"count": 1}) for service in ("vault", "entra") for kind in ("reset", "close", "truncate")],
], ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else value)
def test_a_fault_that_passes_is_retried(client, emulator, service, kind, rule):
    emulator.add_fault(kind, service=service, **rule)
    assert mount(client).files
    assert emulator.control("GET", "/faults")[0]["fired"] == rule["count"]


@pytest.mark.parametrize("service, kind, rule, wanted", [
    ("vault", "status", {"status": 503}, CODES.UNAVAILABLE), ("entra", "status", {"status": 500}, CODES.UNAVAILABLE),
    ("vault", "reset", {}, CODES.UNAVAILABLE), ("entra", "close", {}, CODES.UNAVAILABLE), ("vault", "truncate", {}, CODES.UNAVAILABLE),
    ("vault", "garbage", {}, CODES.UNAVAILABLE), ("entra", "garbage", {}, CODES.UNAVAILABLE),  # a 200 that is no JSON is not retried
    ("vault", "blackhole", {}, CODES.DEADLINE_EXCEEDED), ("entra", "blackhole", {}, CODES.DEADLINE_EXCEEDED),
    ("vault", "drip", {"drip_ms": 500}, CODES.DEADLINE_EXCEEDED),
    ("vault", "status", {"status": 429, "retry_after": 3600}, CODES.RESOURCE_EXHAUSTED),
], ids=lambda value: str(value).replace(" ", "") if not isinstance(value, CODES) else value.name.lower())
def test_a_lasting_fault_ends_by_the_deadline_with_an_error_that_names_the_hop(client, emulator, service, kind, rule, wanted):
    emulator.add_fault(kind, service=service, **rule)

    def fail():
        started = time.monotonic()
        failure = mount_failure(client, timeout=4)
        assert time.monotonic() - started < 4 + 2 * PATIENCE
        return failure
    code, message = fail() if wanted == CODES.DEADLINE_EXCEEDED else rpc.retry_deadline_exceeded(fail)
    assert code == wanted
    assert ("token for the service principal" in message) == (service == "entra")
    assert ("vault" if service == "vault" else "login.localhost" if kind in ("close", "blackhole") else "Entra") in message
    emulator.clear_faults()
    if "retry_after" in rule:  # the vault requested a pause of an hour from every client: another request would be wrong
        emulator.reset_counters()
        code, message = mount_failure(client, timeout=4)
        assert code == CODES.RESOURCE_EXHAUSTED and emulator.vault_requests == 0
    else:
        assert mount(client).files, "the provider did not recover"


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_a_cancelled_mount_lets_go_of_the_vault(client, emulator, protocol):
    emulator.set_http(protocols=[protocol])
    mount(client)
    emulator.add_fault("blackhole", service="vault", count=1)
    call = client.future(rpc.MOUNT, mount_request())
    wait_until(lambda: emulator.counters()["in_flight"] >= 1, what="the request to arrive")
    call.cancel()
    if protocol == "h2":
        mount(client, pod="next")  # libcurl sends the RST_STREAM together with the next request of the connection
    wait_until(lambda: emulator.counters()["in_flight"] == 0, timeout=20, what="the request to be dropped")


def test_sensitive_requests_never_follow_a_foreign_host(client, emulator):
    """A vault that does not exist is a DNS or vault error, not a token sent elsewhere."""
    code, message = mount_failure(client, keyvaultName="no-such-vault", timeout=10)
    assert code == CODES.UNAVAILABLE
    assert "no-such-vault.vault.localhost" in message


@pytest.mark.parametrize("status,body,word", [
    (302, "", "a proxy in between?"), (307, "<html>moved</html>", "a proxy in between?"), (403, "\n <!DOCTYPE html>", "a proxy in between?"),
    (502, "<html>bad gateway</html>", "a proxy in between?"), (404, "<html>", "check keyvaultURL and proxies"),
    (403, "blocked by policy 5", "a proxy in between?"), (418, '{"error": "teapot"}', "a proxy in between?"), (503, '{"message": "no upstream"}', "a proxy in between?"),
    (403, '{"error": {"code": "Forbidden", "message": "Public network access is disabled and request is not from a trusted service nor via an '
          'approved private link.", "innererror": {"code": "ForbiddenByConnection"}}}', "private DNS"),
    (403, '{"error": {"code": "Forbidden", "message": "Client address is not authorized", "innererror": {"code": "ForbiddenByFirewall"}}}', "firewall"),
])
def test_an_error_of_the_vault_suggests_its_cause(client, emulator, status, body, word):
    emulator.add_fault("status", service="vault", status=status, body=body)
    _, message = mount_failure(client, timeout=5)
    assert f"HTTP {status}" in message and word in message


@pytest.mark.parametrize("endpoint", [None, "", "N/A"])
def test_a_cloud_file_may_lack_the_endpoint_of_vaults(start_azure, emulator, scratch, endpoint):
    cloud = json.loads((emulator.directory / "cloud.json").read_text())
    assert cloud.pop("keyVaultEndpoint").rstrip("/") == f"https://{cloud['keyVaultDNSSuffix']}", "the emulator's vaults want the usual audience"
    if endpoint is not None:
        cloud["keyVaultEndpoint"] = endpoint
    path = scratch / "cloud.json"
    path.write_text(json.dumps(cloud))
    with rpc.Client(start_azure(env={"AZURE_ENVIRONMENT_FILEPATH": str(path)}).socket) as client:
        assert mount(client, "secret1").files


# ---- parameters that are not known ------------------------------------------------------------------------------------------------


def mistake_lines(azure):
    return [line for line in azure.log.splitlines() if "mistakes that fail no mount" in line]


def test_mistakes_are_logged_once_for_each_content_of_a_class(client, azure):
    for _ in range(3):
        mount(client, "secret1", secretObjects="x", cloudname="AzureCloud")
    lines = mistake_lines(azure)
    assert len(lines) == 1
    assert "unknown-parameter: cloudname is not known in spec.parameters, cloudName is; unknown-parameter: secretObjects is not known" in lines[0]
    mount(client, "secret1", secretObjects="y", cloudname="AzureCloud")
    assert len(mistake_lines(azure)) == 2
    mount(client, "secret1", secretObjects="x", cloudname="AzureCloud")
    assert len(mistake_lines(azure)) == 2
    mount(client, "secret1", resourceGroup="r", subscriptionId="s")
    assert len(mistake_lines(azure)) == 2, "old classes have these"
    mount(client, objects=objects_of(item("secret1", objectColour="blue")))
    assert len(mistake_lines(azure)) == 3 and "unknown-field: objectColour" in mistake_lines(azure)[-1]


def test_the_first_mount_that_succeeds_tells_of_the_mistakes(client):
    """The driver makes an Event of it."""
    wrong = {"cloudname": "AzureCloud", "objects": objects_of(item("secret1", objectColour="blue"))}
    mount_failure(client, credentials={"clientid": "x", "clientsecret": "y"}, **wrong)
    assert list(mount(client, **wrong).warnings) == [
        "mistakes in the class: unknown-parameter: cloudname is not known in spec.parameters, cloudName is; "
        "unknown-field: objectColour is not known in an item of objects, it has no effect"]
    assert list(mount(client, **wrong).warnings) == [] == list(mount(client, pod="other", **wrong).warnings)
    assert len(mount(client, **{**wrong, "cloudname": "x"}).warnings) == 1, "another content of the class"
    assert list(mount(client, "secret1").warnings) == []
    assert list(mount(client, objects=objects_of(item("secret1", objectFormat="pfx"))).warnings) == [], "a note is for lint alone"


@pytest.mark.parametrize("overrides,word", [
    ({"keyvaultName": None, "keyVaultName": "v"}, "parameter keyVaultName is not known, keyvaultName is"),
    ({"tenantId": None, "tenantid": "t"}, "parameter tenantid is not known, tenantID is"),
    ({"clientId": "c", "tenantId": "no-such"}, "parameter clientId is not known, clientID is"),
    ({"usePodIdentiy": "true", "keyvaultName": "a"}, "parameter usePodIdentiy is not known, usePodIdentity is"),
])
def test_an_error_names_a_misspelled_parameter(client, overrides, word):
    _, message = mount_failure(client, **overrides)
    assert f"[hint: {word}]" in message
