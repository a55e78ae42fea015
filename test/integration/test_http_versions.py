"""HTTP/2 and HTTP/1.1 to the same servers: what a mount needs works over both, and the faults of each version cost time and no mount."""

import contextlib
import socket
import ssl
import time

import grpc
import pytest

from harness import http2, kube, mounts, rpc, tutorial
from harness.azure_mounts import Pods, files, item, mount, mount_failure, mount_request, objects_of
from harness.identities import BINDING_AUDIENCE, TOKENS, Certificate, Issuer, subject_of, tokens_json
from harness.process import PATIENCE, wait_until
from harness.rpc import CODES
from harness.scripted_provider import mount_response

APP = "00000000-aaaa-4bbb-8ccc-dddddddddddd"
SECRET1 = {"secret1": tutorial.SECRETS["secret1"].encode()}
NAMES = [f"s{number}" for number in range(50)]
ALL = {name: f"value of {name}".encode() for name in NAMES}


@pytest.fixture(params=["h2", "http/1.1"])
def protocol(request, emulator):
    emulator.set_http(protocols=[request.param])
    return request.param


@pytest.fixture
def h2(emulator):
    """Sets how the emulator speaks HTTP/2, which it speaks alone."""
    def settings(**values):
        emulator.set_http(protocols=["h2"], **values)
    settings()
    return settings


@pytest.fixture
def fifty(emulator):
    for name, value in ALL.items():
        emulator.set_secret(name, value.decode())


def protocols_of(emulator):
    return {request["protocol"] for request in emulator.requests() if request["service"] not in ("imds", "nmi")}


# --- both versions ---

def test_a_mount_its_status_its_secret_and_a_rotation(protocol, synced, emulator, start_azure):
    """Class, pod, status object and Secret at the API server, token and secrets in the cloud."""
    start_azure("--republish-cache-ttl=1s")
    parameters = {"keyvaultName": tutorial.VAULT, "tenantId": tutorial.TENANT, "objects": tutorial.objects_yaml(["secret1"])}
    synced.add("secretproviderclasses", kube.spc(provider="azure", parameters=parameters, secret_objects=[
        {"secretName": "synced", "type": "Opaque", "data": [{"objectName": "secret1", "key": "key"}]}]))
    synced.start("--enable-secret-rotation=true", "--rotation-poll-interval=1s")
    request = synced.request()
    request.secrets.update(tutorial.CREDENTIALS)
    synced.driver.publish(request)
    assert mounts.contents(request.target_path) == SECRET1
    assert synced.data() == {"key": SECRET1["secret1"]}
    assert synced.status()["status"]["mounted"] is True
    emulator.set_secret("secret1", "rotated")

    def rotated():
        synced.driver.publish(request)
        return synced.data() == {"key": b"rotated"}
    wait_until(rotated, what="the new value in the Secret")
    assert mounts.contents(request.target_path) == {"secret1": b"rotated"}
    assert protocols_of(emulator) == {protocol}


def certificate(emulator):
    made = Certificate()
    emulator.control("POST", "/entra/apps", {"tenant": tutorial.TENANT, "client_id": APP, "certificates": [made.certificate_pem]})
    return {"credentials": {"clientid": APP, "clientcertificate": made.pem()}}


def federated(emulator, audience="api://AzureADTokenExchange"):
    issuer = Issuer()
    issuer.register(emulator)
    subject = subject_of("default", "web")
    emulator.control("POST", "/entra/apps", {"tenant": tutorial.TENANT, "client_id": APP, "federated": [
        {"issuer": issuer.url, "subject": subject, "audience": audience}]})
    return issuer.token(subject, audience=audience)


def workload(emulator):
    return {"credentials": {}, "clientID": APP, TOKENS: tokens_json(workload=federated(emulator))}


def bound(emulator):
    token = federated(emulator, BINDING_AUDIENCE)
    return {"credentials": {}, "clientID": APP, "useAzureTokenProxy": "true", TOKENS: tokens_json(binding=token)}


def of_the_node(emulator):
    emulator.set_imds(APP)
    return {"credentials": {}, "useVMManagedIdentity": "true"}


def of_the_pod(emulator):
    emulator.bind_pod("default", "web", APP)
    return {"credentials": {}, "usePodIdentity": "true"}


@pytest.mark.parametrize("identity", [certificate, workload, bound, of_the_node, of_the_pod], ids=lambda make: make.__name__)
def test_every_identity(protocol, start_azure, emulator, identity):
    node = f"http://127.0.0.1:{emulator.node_port}"
    azure = start_azure(f"--imds-endpoint={node}", f"--nmi-endpoint={node}",
                        f"--token-proxy-url=https://localhost:{emulator.tls_port}", f"--api-server=127.0.0.1:{emulator.tls_port}",
                        f"--token-proxy-ca-file={emulator.directory / 'ca.pem'}")
    emulator.set_policy(client_id=APP, permissions=["get"])
    with rpc.Client(azure.socket) as client:
        assert files(mount(client, **identity(emulator))) == SECRET1
    assert protocols_of(emulator) == {protocol}


def test_keys_certificates_and_versions_of_any_size(protocol, client, emulator):
    emulator.set_secret("large", "x" * 25000)
    for second in range(30):  # two pages
        emulator.set_secret("history", f"v{second}", created=1_700_000_000 + second)
    objects = objects_of(item("large"), item("history", objectVersionHistory=2))
    assert files(mount(client, objects=objects)) == {"large": b"x" * 25000, "history/0": b"v29", "history/1": b"v28", "history/2": b"v27"}


def test_a_burst_of_distinct_secrets_uses_few_connections(protocol, azure, emulator):
    pods = 40
    for number in range(pods):
        for name in NAMES[:5]:
            emulator.set_secret(f"{name}-{number}", f"{name} of {number}")
    emulator.add_fault("latency", service="vault", latency_ms=100)
    with Pods(azure.socket, in_flight=pods) as burst:
        responses = burst.mount_all([mount_request([f"{name}-{number}" for name in NAMES[:5]], pod=f"pod-{number}")
                                     for number in range(pods)])
    for number, response in enumerate(responses):
        assert files(response) == {f"{name}-{number}": f"{name} of {number}".encode() for name in NAMES[:5]}
    used = {request["connection"] for request in emulator.requests("vault")}
    assert len(emulator.requests("vault")) == pods * 5
    assert len(used) <= (2 if protocol == "h2" else 64)


def test_a_server_that_closes_after_each_response(protocol, client, emulator, fifty):
    """It does not announce it: a request may meet a connection that is just being closed."""
    emulator.add_fault("close-after")
    for number in range(5):
        assert files(mount(client, *NAMES[:10], pod=f"pod-{number}")) == {name: ALL[name] for name in NAMES[:10]}
    assert all(connection["requests"] <= 1 for connection in emulator.connections() if protocol == "http/1.1")


# --- HTTP/2: the server moves its clients to other connections ---

@pytest.mark.parametrize("service", ["vault", "entra"])
def test_a_request_that_goaway_excludes_is_sent_again(h2, client, emulator, service):
    started = time.monotonic()
    emulator.add_fault("goaway", service=service, count=1)
    assert files(mount(client, "secret1")) == SECRET1
    assert time.monotonic() - started < 3 * PATIENCE
    host = {request["connection"] for request in emulator.requests(service)}
    assert len(host) == 2, "the second request has another connection"


@pytest.mark.parametrize("accepted", [False, True], ids=["refused", "accepted"])
def test_goaway_in_the_middle_of_fifty_requests(h2, client, emulator, fifty, accepted):
    mount(client, "secret1")  # from here on there is one connection, and all fifty share it
    emulator.add_fault("latency", service="vault", latency_ms=100)
    emulator.add_fault("goaway", service="vault", after=20, count=1, accepted=accepted)
    started = time.monotonic()
    assert files(mount(client, *NAMES)) == ALL
    assert time.monotonic() - started < 5 * PATIENCE


def test_goaway_for_every_second_request(h2, client, emulator, fifty):
    """As behind a load balancer that is being drained: each connection serves one request more."""
    emulator.add_fault("goaway", service="vault", accepted=True)
    for number in range(3):
        assert files(mount(client, *NAMES[:10], pod=f"pod-{number}")) == {name: ALL[name] for name in NAMES[:10]}


@pytest.mark.parametrize("error", ["REFUSED_STREAM", "INTERNAL_ERROR", "CANCEL"])
@pytest.mark.parametrize("service", ["vault", "entra"])
def test_a_stream_that_is_reset_is_sent_again(h2, client, emulator, service, error):
    emulator.add_fault("stream-reset", service=service, error=error, count=1)
    assert files(mount(client, "secret1")) == SECRET1
    assert len(emulator.requests(service)) == 2


@pytest.mark.parametrize("error", ["REFUSED_STREAM", "INTERNAL_ERROR"])
def test_streams_that_are_always_reset_are_an_error_that_names_the_server(h2, client, emulator, error):
    emulator.add_fault("stream-reset", service="vault", error=error)
    code, message = mount_failure(client, "secret1", timeout=20)
    assert code in (CODES.UNAVAILABLE, CODES.DEADLINE_EXCEEDED)
    assert f"no response from {tutorial.VAULT}.vault.localhost" in message
    emulator.clear_faults()
    assert files(mount(client, "secret1")) == SECRET1


@pytest.mark.parametrize("fault", [dict(kind="goaway", count=1), dict(kind="goaway", accepted=True, count=1),
                                   dict(kind="stream-reset", error="REFUSED_STREAM", count=1),
                                   dict(kind="stream-reset", error="INTERNAL_ERROR", count=1)],
                         ids=["goaway", "accepted", "refused", "internal"])
def test_the_api_server_does_the_same_to_the_driver(h2, node, start_in_cluster, cluster, scripted, fault):
    driver = start_in_cluster()
    scripted()
    cluster.emulator.add_fault(service="kube", **fault)
    driver.publish(rpc.publish_request(node.target()))
    assert mounts.contents(node.target()) == {"file": b"content"}
    cluster.wait_for_status(lambda status: status["status"]["mounted"])


# --- HTTP/2: streams and windows ---

@pytest.mark.parametrize("streams", [1, 3])
def test_a_server_that_allows_few_streams(h2, client, emulator, fifty, streams):
    h2(max_streams=streams)
    assert files(mount(client, *NAMES)) == ALL
    assert max(connection["peak_in_flight"] for connection in emulator.connections()) <= streams


def test_a_server_that_takes_bodies_in_small_pieces(h2, synced, scripted):
    """Its windows are tiny: a Secret of 20 KiB needs 200 of them."""
    h2(initial_window=100)
    content = b"x" * 15_000
    scripted(lambda request, context: mount_response({"file": content}))
    synced.add_class({"secretName": "synced", "type": "Opaque", "data": [{"objectName": "file", "key": "key"}]})
    synced.start()
    synced.publish()
    wait_until(lambda: synced.data() == {"key": content}, what="the Secret")  # a first mount waits for it 2 s at most


def test_large_responses_in_small_pieces(h2, client, emulator):
    h2(frame_bytes=50)
    values = {name: (name * 10_000)[:25_000] for name in NAMES[:10]}
    for name, value in values.items():
        emulator.set_secret(name, value)
    assert files(mount(client, *values)) == {name: value.encode() for name, value in values.items()}


def test_a_token_request_in_small_pieces(h2, client, emulator):
    """A client may send 64 KiB before it knows the window: the first request of a connection never waits, the second one does."""
    h2(initial_window=16)
    mount(client, "secret1")
    emulator.control("POST", "/entra/revoke-tokens")
    assert files(mount(client, "secret1", pod="second")) == SECRET1
    assert len({request["connection"] for request in emulator.requests("entra")}) == 1


def test_a_token_request_that_is_never_taken_is_an_error_that_names_the_server(h2, client, emulator):
    """Unless it goes out before the window is known: then the mount succeeds."""
    h2(initial_window=0, window_updates=False)
    try:
        assert files(mount(client, "secret1", timeout=4)) == SECRET1
    except grpc.RpcError as error:
        assert error.code() in (CODES.DEADLINE_EXCEEDED, CODES.UNAVAILABLE)
        assert "no response from login.localhost" in error.details()


@pytest.mark.slow  # the request times out
def test_a_secret_that_the_api_server_never_takes_holds_up_no_mount(h2, synced, scripted):
    """Everything else is small enough for the first window."""
    h2(window_updates=False)
    content = b"x" * 150_000
    scripted(lambda request, context: mount_response({"file": content}))
    synced.add_class({"secretName": "synced", "type": "Opaque", "data": [{"objectName": "file", "key": "key"}]})
    synced.start()
    started = time.monotonic()
    request = synced.publish()
    assert time.monotonic() - started < 12 * PATIENCE
    assert mounts.contents(request.target_path) == {"file": content}
    assert synced.secret() is None
    wait_until(lambda: "no response from localhost" in synced.driver.log, timeout=60, what="the failure to be logged")


# --- the emulator itself ---

@contextlib.contextmanager
def connected(emulator, protocol):
    context = ssl.create_default_context(cafile=emulator.directory / "ca.pem")
    context.set_alpn_protocols([protocol])
    with socket.create_connection(("127.0.0.1", emulator.tls_port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as tls:
            assert tls.selected_alpn_protocol() == protocol
            yield tls


REQUESTS = {"h2": lambda stream: http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, stream, http2.request_headers(
                "/readyz", method="GET")),
            "http/1.1": lambda stream: b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"}


def test_a_silent_connection_swallows_everything_and_a_new_one_works(protocol, emulator):
    request = REQUESTS[protocol]
    with connected(emulator, protocol) as old:
        if protocol == "h2":
            old.sendall(http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0))
        old.sendall(request(1))
        while b"ok" not in old.recv(65536):
            pass
        assert emulator.silence("tls") >= 1
        old.sendall(request(3))
        if protocol == "h2":
            old.sendall(http2.frame(http2.PING, 0, 0, b"12345678"))
        with connected(emulator, protocol) as fresh:
            if protocol == "h2":
                fresh.sendall(http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0))
            fresh.sendall(request(1))
            while b"ok" not in fresh.recv(65536):
                pass
        old.settimeout(0.3)
        with pytest.raises(TimeoutError):
            old.recv(1)
        emulator.clear_faults()
        old.settimeout(10)
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            assert old.recv(1) == b""
    silent = [connection for connection in emulator.connections() if connection["silent"]]
    assert [connection["protocol"] for connection in silent if connection["requests"]] == [protocol]


def test_the_emulator_counts_by_connection_and_protocol(emulator):
    emulator.set_http(protocols=["h2", "http/1.1"])
    for protocol in ("h2", "http/1.1"):
        with connected(emulator, protocol) as tls:
            if protocol == "h2":
                tls.sendall(http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0))
            for stream in (1, 3, 5):
                tls.sendall(REQUESTS[protocol](stream))
                while b"ok" not in tls.recv(65536):
                    pass
    connections = [connection for connection in emulator.connections() if connection["requests"]]
    assert [(connection["protocol"], connection["requests"]) for connection in connections] == [("h2", 3), ("http/1.1", 3)]
    assert emulator.counters()["by_protocol"] == {"http/1.1": 3, "h2": 3}
    assert {(request["protocol"], request["connection"]) for request in emulator.requests()} == {
        (connection["protocol"], connection["id"]) for connection in connections}
