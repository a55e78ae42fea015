"""The errors of failing mounts, row by row of the specification: the hop, the code, the cause and the remedy."""

import http.server
import json
import re
import threading

import pytest
from grpc import RpcError

from harness import rpc, tutorial
from harness.azure_mounts import Pods, mount_request, texts
from harness.process import free_port
from harness.programs import metric_sum
from harness.rpc import CODES

# A caller that waits so long sees two attempts: the pause before the third would pass its deadline, so the failure is returned at once.
SOON = 3
OBJECT = "failed to mount objects, error: failed to get objectType:secret, objectName:secret1, objectVersion:"


@pytest.fixture
def pods(azure):
    with Pods(azure.socket) as connected:
        yield connected


def failure(pods, request, timeout=30):
    response = pods.outcome(request, timeout)
    assert isinstance(response, RpcError), "the mount succeeded"
    assert "\n" not in response.details(), "more than one line"
    for value in (tutorial.CLIENT_SECRET, "Bearer ey", "eyJ"):
        assert value not in response.details()
    return response.code(), response.details()


def vault_body(code, message, inner=None):
    error = {"code": code, "message": message}
    if inner is not None:
        error["innererror"] = {"code": inner}
    return json.dumps({"error": error})


# ---- errors of the vault ---------------------------------------------------------------------------------------------------------

VAULT_ROWS = [
    # status, code, inner, message, gRPC code, text that the user has to read besides
    (400, "BadParameter", None, "The request URI contains an invalid name: x", CODES.INVALID_ARGUMENT,
     ["[hint: names in a vault have letters, digits and '-' only, at most 127]"]),
    (401, "Unauthorized", None, "AKV10000: Request is missing a Bearer or PoP token.", CODES.UNAUTHENTICATED, ["WWW-Authenticate"]),
    (401, "Unauthorized", None, "AKV10022: Invalid audience. Expected https://vault.azure.net, found: x.", CODES.UNAUTHENTICATED, ["cloudName"]),
    (401, "Unauthorized", None, "AKV10032: Invalid issuer. Expected one of x, found y.", CODES.UNAUTHENTICATED, ["tenantID"]),
    (403, "Forbidden", "AccessDenied", "The user, group or application 'x' does not have secrets get permission on key vault 'y'",
     CODES.PERMISSION_DENIED, ["access policy", "get"]),
    (403, "Forbidden", "ForbiddenByRbac", "Caller is not authorized to perform action on resource.", CODES.PERMISSION_DENIED, ["role", "minutes"]),
    (403, "Forbidden", "ForbiddenByFirewall", "Client address is not authorized and caller is not a trusted service", CODES.PERMISSION_DENIED, ["firewall"]),
    (403, "Forbidden", "ForbiddenByConnection", "Connection is not an approved private link and caller was ignored", CODES.PERMISSION_DENIED, ["firewall"]),
    (403, "Forbidden", "ForbiddenByPolicy", "The policy requires the caller 'x' to use on-behalf-of (OBO) flow.", CODES.PERMISSION_DENIED,
     ["names this identity together with an application"]),
    (403, "Forbidden", None, "Client address is not authorized and caller is not a trusted service.", CODES.PERMISSION_DENIED, ["firewall"]),
    (403, "Forbidden", "SecretDisabled", "Operation get is not allowed on a disabled secret.", CODES.PERMISSION_DENIED, ["version is disabled"]),
    (404, "SecretNotFound", None, "A secret with (name/id) x was not found in this key vault.", CODES.NOT_FOUND, ["check name, version, type and vault", "deleted"]),
    (404, "KeyNotFound", None, "A key with (name/id) x was not found in this key vault.", CODES.NOT_FOUND, ["check name"]),
    (404, "CertificateNotFound", None, "A certificate with (name/id) x was not found in this key vault.", CODES.NOT_FOUND, ["check name"]),
]


@pytest.mark.parametrize("status,code,inner,message,grpc_code,words", VAULT_ROWS, ids=lambda value: str(value)[:24] if not isinstance(value, list) else "")
def test_an_error_of_the_vault_arrives_in_one_line(pods, emulator, status, code, inner, message, grpc_code, words):
    emulator.add_fault("status", service="vault", status=status, body=vault_body(code, message + "\r\nsecond line", inner))
    got, text = failure(pods, mount_request())
    assert got == grpc_code
    assert text.startswith(OBJECT)
    said = f"{tutorial.VAULT.lower()}.vault.localhost returned HTTP {status} {code}" + (f"/{inner}" if inner else "")
    for word in [said, message, "second line", "(request id ", *words]:
        assert word in text, word


@pytest.mark.parametrize("status,grpc_code", [(408, CODES.UNAVAILABLE), (500, CODES.UNAVAILABLE),
                                              (502, CODES.UNAVAILABLE), (503, CODES.UNAVAILABLE), (504, CODES.UNAVAILABLE)])
def test_a_passing_error_is_retried_and_reported_with_the_number_of_attempts(pods, azure, emulator, status, grpc_code):
    emulator.add_fault("status", service="vault", status=status, retry_after=0, body=vault_body("Throttled", "slow down"))
    got, text = failure(pods, mount_request())
    assert got == grpc_code
    assert f"returned HTTP {status} after 4 tries Throttled: slow down" in text and "(request id " in text
    assert emulator.vault_requests == 4
    assert metric_sum(azure.metrics(), "azure_http_retries_total") == metric_sum(azure.metrics(), "azure_http_retries_total", service="vault") == 3


def test_a_vault_that_always_throttles_gets_few_requests(pods, emulator):
    """Four at once, since that is the Retry-After, then with pauses of 0.8 s or a little less, up to the deadline in 30 s, which may come while the
    last one is on its way."""
    emulator.add_fault("status", service="vault", status=429, retry_after=0, body=vault_body("Throttled", "slow down"))
    got, text = failure(pods, mount_request())
    assert got in (CODES.RESOURCE_EXHAUSTED, CODES.DEADLINE_EXCEEDED)
    assert got == CODES.DEADLINE_EXCEEDED or re.search(r"returned HTTP 429 after \d+ tries Throttled: slow down", text), text
    assert 4 < emulator.vault_requests < 4 + 30 / 0.5


def test_an_error_of_the_vault_cannot_forge_lines(pods, emulator):
    body = {"error": {"code": "X\nE0101 forged", "message": "a\r\nb\x1b[31m", "innererror": {"code": "Y\tz"}}}
    emulator.add_fault("status", service="vault", status=403, body=json.dumps(body))
    error = pods.outcome(mount_request())
    assert "HTTP 403 X E0101 forged/Y z: a  b [31m" in error.details()


def test_a_status_without_a_body_is_reported(pods, emulator):
    emulator.add_fault("status", service="vault", status=418, body="")
    code, text = failure(pods, mount_request())
    assert code == CODES.UNKNOWN and "returned HTTP 418" in text


def test_all_objects_that_fail_are_in_one_message(pods, emulator):
    emulator.add_fault("status", service="vault", path_contains="/forbidden", status=403, body=vault_body("Forbidden", "no", "AccessDenied"))
    code, text = failure(pods, mount_request(["missing-a", "secret1", "forbidden", "missing-b", "secret2"]))
    assert code == CODES.NOT_FOUND, "the code is that of the first"
    assert text.count("failed to mount objects, error") == 1
    assert text.count("SecretNotFound") >= 1 and text.count("AccessDenied") == 1
    for name in ("missing-a", "forbidden", "missing-b"):
        assert f"objectName:{name}" in text
    assert "objectName:secret1" not in text and "objectName:secret2" not in text


def test_many_failing_objects_are_counted_and_the_message_stays_short(pods):
    _, text = failure(pods, mount_request([f"missing-{i}" for i in range(200)]))
    assert "objectName:missing-0" in text and len(text) < 8192
    assert "more object" in text


def test_the_type_and_version_of_a_failing_object_are_reported(pods):
    objects = "array:\n  - |\n    objectName: secret1\n    objectType: secret\n    objectVersion: 00000000000000000000000000000000\n"
    code, text = failure(pods, mount_request(objects=objects))
    assert code == CODES.NOT_FOUND and "objectName:secret1, objectVersion:00000000000000000000000000000000" in text


# ---- errors of Entra -------------------------------------------------------------------------------------------------------------

AADSTS_ROWS = [
    # number, OAuth error, status, gRPC code, words of the hint
    (7000215, "invalid_client", 401, CODES.UNAUTHENTICATED, ["secret is wrong", "nodePublishSecretRef"]),
    (7000222, "invalid_client", 401, CODES.UNAUTHENTICATED, ["expired", "nodePublishSecretRef"]),
    (700016, "unauthorized_client", 400, CODES.UNAUTHENTICATED, ["clientid", "tenantID"]),
    (90002, "invalid_request", 400, CODES.UNAUTHENTICATED, ["tenant", "tenantID"]),
    (900023, "invalid_request", 400, CODES.UNAUTHENTICATED, ["tenantID"]),
    (70021, "invalid_client", 401, CODES.UNAUTHENTICATED, ["federated credential", "service account"]),
    (700211, "invalid_client", 401, CODES.UNAUTHENTICATED, ["issuer"]),
    (700212, "invalid_client", 401, CODES.UNAUTHENTICATED, ["audience"]),
    (700213, "invalid_client", 401, CODES.UNAUTHENTICATED, ["subject", "namespace"]),
    (90061, "invalid_request", 400, CODES.UNAVAILABLE, ["OIDC issuer", "public"]),
    (50166, "invalid_request", 400, CODES.UNAVAILABLE, ["OIDC issuer"]),
    (501661, "invalid_request", 400, CODES.UNAVAILABLE, ["OIDC issuer"]),
    (700024, "invalid_client", 401, CODES.UNAUTHENTICATED, ["clock"]),
    (700027, "invalid_client", 401, CODES.UNAUTHENTICATED, ["certificate", "not accepted"]),
    (700030, "invalid_client", 401, CODES.UNAUTHENTICATED, ["not registered"]),
    (500011, "invalid_resource", 400, CODES.UNAUTHENTICATED, ["cloudName"]),
    (50059, "invalid_request", 400, CODES.UNAUTHENTICATED, ["tenantID", "common"]),
    (90038, "invalid_request", 400, CODES.UNAUTHENTICATED, ["another cloud", "cloudName"]),
    (900382, "invalid_request", 400, CODES.UNAUTHENTICATED, ["another cloud", "cloudName"]),
    (900432, "invalid_request", 400, CODES.UNAUTHENTICATED, ["another cloud", "cloudName"]),
    (50049, "invalid_instance", 400, CODES.UNAUTHENTICATED, ["cloudName"]),
    (70011, "invalid_scope", 400, CODES.UNAUTHENTICATED, ["cloudName"]),
    (1002012, "invalid_scope", 400, CODES.UNAUTHENTICATED, ["cloudName"]),
    (500014, "invalid_resource", 400, CODES.UNAUTHENTICATED, ["disabled in this tenant"]),
    (50196, "invalid_grant", 400, CODES.UNAUTHENTICATED, ["too many identical"]),
]


@pytest.mark.parametrize("number,error,status,grpc_code,words", AADSTS_ROWS, ids=lambda value: str(value) if isinstance(value, int) else "")
def test_an_error_of_entra_has_its_number_and_a_hint(pods, emulator, number, error, status, grpc_code, words):
    description = f"AADSTS{number}: What Entra says about it. Trace ID: 1 Correlation ID: 2 Timestamp: 3"
    emulator.add_fault("status", service="entra", status=status,
                       body=json.dumps({"error": error, "error_description": description, "error_codes": [number]}))
    code, text = failure(pods, mount_request())
    assert code == grpc_code
    assert text.startswith(OBJECT)
    for word in ["service principal", f"AADSTS{number}", "What Entra says about it", *words]:
        assert word in text, word


def test_a_token_failure_is_reported_once_for_all_objects(pods):
    wrong = {**tutorial.CREDENTIALS, "clientsecret": "wrong"}
    code, text = failure(pods, mount_request(["secret1", "secret2"], credentials=wrong))
    assert code == CODES.UNAUTHENTICATED and text.count("AADSTS7000215") == 1
    assert "secret1" in text and "1 more object" in text


# ---- the hops before them --------------------------------------------------------------------------------------------------------


def cloud_file(scratch, emulator, **changes):
    cloud = json.loads((emulator.directory / "cloud.json").read_text())
    cloud.update(changes)
    path = scratch / "cloud.json"
    path.write_text(json.dumps(cloud))
    return {"cloudName": "AzureStackCloud", "cloudEnvFileName": str(path)}


@pytest.mark.parametrize("what", ["vault", "entra"])
def test_a_name_that_does_not_resolve_is_a_dns_failure(pods, emulator, scratch, what):
    changes = {"keyVaultDNSSuffix": "vault.invalid"} if what == "vault" else {"activeDirectoryEndpoint": "https://login.invalid/"}
    name = f"{tutorial.VAULT.lower()}.vault.invalid" if what == "vault" else "login.invalid"
    code, text = failure(pods, mount_request(**cloud_file(scratch, emulator, **changes)))
    assert code == CODES.UNAVAILABLE and text.startswith(OBJECT)
    assert f"dns lookup of '{name}' failed" in text.lower()


@pytest.mark.parametrize("what", ["vault", "entra"])
def test_a_closed_port_is_a_connection_failure(pods, emulator, scratch, what):
    port = free_port()
    changes = {"keyVaultDNSSuffix": f"vault.localhost:{port}"} if what == "vault" else {"activeDirectoryEndpoint": f"https://login.localhost:{port}/"}
    code, text = failure(pods, mount_request(**cloud_file(scratch, emulator, **changes)), timeout=SOON)
    assert code == CODES.UNAVAILABLE
    assert "connect to " in text and f":{port}" in text and "refused" in text and " tries: " in text


def test_a_peer_that_does_not_speak_tls_is_a_tls_failure(pods, emulator, scratch):
    port = emulator.control_port  # plain HTTP
    code, text = failure(pods, mount_request(**cloud_file(scratch, emulator, activeDirectoryEndpoint=f"https://login.localhost:{port}/")))
    assert code == CODES.UNAVAILABLE and "TLS handshake with login.localhost" in text


def test_a_certificate_of_another_name_is_a_tls_failure(pods, emulator, scratch):
    """The emulator's CA is trusted, but its certificate is for other names."""
    suffix = f"other.vault.localhost:{emulator.tls_port}"
    code, text = failure(pods, mount_request(**cloud_file(scratch, emulator, keyVaultDNSSuffix=suffix)))
    assert code == CODES.UNAVAILABLE and f"TLS handshake with {tutorial.VAULT}.other.vault.localhost" in text
    assert emulator.vault_requests == 0


@pytest.mark.parametrize("service,kind,words", [
    ("vault", "reset", ["no response from|send to", "vault.localhost", " tries: "]), ("entra", "close", ["no response from login.localhost", " tries: "]),
    ("vault", "truncate", ["response from", "broke off|HTTP/2 framing"]), ("vault", "garbage", ["vault's response is not JSON"]), ("entra", "garbage", ["not JSON"]),
])
def test_a_response_that_breaks_is_named(pods, emulator, service, kind, words):
    emulator.add_fault(kind, service=service)
    code, text = rpc.retry_deadline_exceeded(lambda: failure(pods, mount_request(), timeout=SOON))
    assert code == CODES.UNAVAILABLE and text.startswith(OBJECT)
    for word in words:
        assert any(alternative in text for alternative in word.split("|")), word


@pytest.mark.parametrize("service,host", [("vault", f"{tutorial.VAULT.lower()}.vault.localhost"), ("entra", "login.localhost")])
def test_the_callers_deadline_is_reported_with_the_peer_that_did_not_respond(pods, emulator, service, host):
    emulator.add_fault("blackhole", service=service)
    code, text = failure(pods, mount_request(), timeout=1.5)
    assert code == CODES.DEADLINE_EXCEEDED and text.startswith(OBJECT), "the reason has to be there before the caller gives up"
    assert f"no response from {host} within" in text.lower()


# ---- IMDS and NMI ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def metadata_service():
    """Responds to every GET with (status, body): set `.response`."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = self.server.response
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def node_pods(start_azure, metadata_service):
    url = f"http://127.0.0.1:{metadata_service.server_port}"
    azure = start_azure(f"--imds-endpoint={url}", f"--nmi-endpoint={url}")
    with Pods(azure.socket) as connected:
        yield connected


@pytest.mark.parametrize("status,body,grpc_code,words", [
    (400, {"error": "invalid_request", "error_description": "Identity not found"}, CODES.UNAUTHENTICATED, ["Identity not found", "HTTP 400"]),
    (400, {"error": "invalid_request", "error_description": "Multiple user assigned identities exist, please specify the clientId"},
     CODES.UNAUTHENTICATED, ["userAssignedIdentityID"]),
    (403, {"error": "forbidden", "error_description": "no"}, CODES.UNAUTHENTICATED, ["IMDS", "403"]),
])
def test_imds(node_pods, metadata_service, status, body, grpc_code, words):
    metadata_service.response = (status, json.dumps(body))
    code, text = failure(node_pods, mount_request(credentials=None, useVMManagedIdentity="true"))
    assert code == grpc_code and "VM managed identity" in text
    for word in words:
        assert word in text, word


@pytest.mark.parametrize("status", [404, 503])
def test_nmi(node_pods, metadata_service, status):
    metadata_service.response = (status, "no AzureAssignedIdentity found for pod:default/web")
    code, text = failure(node_pods, mount_request(credentials=None, usePodIdentity="true"))
    assert code == CODES.UNAVAILABLE
    assert f"nmi response failed with status code: {status}" in text and "no AzureAssignedIdentity found" in text


# ---- mistakes in the class -------------------------------------------------------------------------------------------------------


def item(**fields):
    return "array:\n  - |\n" + "".join(f"    {name}: {value}\n" for name, value in {"objectName": "secret1", "objectType": "secret", **fields}.items())


@pytest.mark.parametrize("request_,words", [
    (mount_request(credentials=None), ["nodePublishSecretRef secret is not set"]),
    (mount_request(credentials={"AZURE_CLIENT_ID": "an-id", "AZURE_CLIENT_SECRET": "x"}),
     ["could not find clientid in secrets [hint: the Secret has AZURE_CLIENT_ID, the key is clientid]"]),
    (mount_request(credentials={"clientid": "x", "client-secret": "x"}),
     ["could not find clientsecret in secrets [hint: the Secret has client-secret, the key is clientsecret]"]),
    (mount_request(credentials={"clientid": "x", "AZURE_CLIENT_CERTIFICATE": "x"}),
     ["could not find clientsecret in secrets [hint: the Secret has AZURE_CLIENT_CERTIFICATE, the key is clientcertificate]"]),
    (mount_request(objects="array:\n  - |\n    objectName: a\n    objectType: secret\n  - |\n"), ["[hint: item 2 of array has no objectName]"]),
    (mount_request(objects="array:\n  - |\n    ObjectName: a\n    objectType: secret\n"),
     ["[hint: item 1 of array has no objectName, but ObjectName]"]),
    (mount_request(objects="array:\n  - |\n    objectName: {{ .name }}\n"), ["[hint: there is {{ in it"]),
    (mount_request(credentials=None, clientID="x"), ["service account tokens not found"]),
    (mount_request(credentials=None, clientID="x", **{"csi.storage.k8s.io/serviceAccount.tokens": "{}"}),
     ["token for audience api://AzureADTokenExchange not found"]),
    (mount_request(objects="array:\n  - objectName: secret1\n    objectType: secret\n"), ["cannot unmarshal !!map into string"]),
    (mount_request(objects="Array:\n  - |\n    objectName: secret1\n"), ["array"]),
    (mount_request(objects=item(filePermission="0999")), ["secret1", "filePermission"]),
    (mount_request(objects=item(objectType="Secret1")), ["secret, key, or cert"]),
    (mount_request(objects=item(objectFormat="pfx", objectType="key")), ["PFX"]),
    (mount_request(objects=item(objectEncoding="SECRET_ALIAS")), ["SECRET_ALIAS"]),
    (mount_request(objects="array:\n  - |\n    objectName: a\n    objectType: secret\n    objectAlias: x\n"
                           "  - |\n    objectName: b\n    objectType: secret\n    objectAlias: x\n"), ["a", "b", "x"]),
], ids=["no-secret", "other-id", "other-secret", "other-certificate", "empty-item", "other-name", "template", "no-tokens", "no-audience", "map", "Array", "permission", "type", "format", "encoding", "duplicate"])
def test_a_mistake_in_the_class_is_reported_without_any_request(pods, emulator, request_, words):
    code, text = failure(pods, request_)
    assert code == CODES.INVALID_ARGUMENT and text.startswith("failed to mount objects, error: ")
    for word in words:
        assert word in text, word
    assert emulator.counters()["requests"] == 0


def test_latest_means_latest(pods):
    assert texts(pods.mount(mount_request(objects=item(objectVersion="latest"))))


def test_content_that_cannot_be_converted_names_object_and_place_not_the_content(pods, emulator):
    emulator.set_secret("secret1", "not-base64-@@-content")
    code, text = failure(pods, mount_request(objects=item(objectEncoding="base64")))
    assert code == CODES.FAILED_PRECONDITION and "objectName:secret1" in text
    assert "@@" not in text and "not-base64" not in text


def test_pem_that_is_taken_for_base64_is_named(pods, emulator):
    emulator.set_secret("secret1", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    code, text = failure(pods, mount_request(objects=item(objectEncoding="base64", objectFormat="pfx")))
    assert code == CODES.FAILED_PRECONDITION and "illegal base64 data at input byte 0 [hint: it is PEM, no base64]" in text


def test_versions_that_are_not_there_are_no_empty_volume(pods):
    code, text = failure(pods, mount_request(objects=item(objectVersionHistory="3", objectVersion="00000000000000000000000000000000")))
    assert code == CODES.NOT_FOUND and "secret1" in text
