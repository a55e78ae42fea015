"""Identity bindings: the token proxy of AKS, found through the API server's certificate when it is needed and not before."""

import contextlib
import json
import socket
import subprocess
import threading

import pytest
from proto import provider_pb2

from harness import rpc, tutorial
from harness.azure_mounts import files, mount_request
from harness.identities import BINDING_AUDIENCE, TOKENS, Certificate, Issuer, subject_of, tokens_json
from harness.process import free_port
from harness.relay import Relay
from harness.rpc import CODES

APP = "00000000-aaaa-4bbb-8ccc-dddddddddddd"
SNI = "aeaf29ip1hi5q38ebc3u4daum81u0unk52t5bg50j25234fmuj78g.ests.aks"
SUBJECT = subject_of("default", "web")
SECRET1 = {"secret1": tutorial.SECRETS["secret1"].encode()}


@pytest.fixture
def issuer(emulator):
    made = Issuer()
    made.register(emulator)
    emulator.control("POST", "/entra/apps", {"tenant": tutorial.TENANT, "client_id": APP, "federated": [
        {"issuer": made.url, "subject": SUBJECT, "audience": BINDING_AUDIENCE}]})
    emulator.control("PUT", f"/vaults/{tutorial.VAULT}/policies", {"client_id": APP, "permissions": ["get"]})
    return made


@pytest.fixture
def start(start_azure, emulator):
    """Starts a provider whose token proxy is the emulator; flags given here win. Returns a client."""
    clients = []

    def run(*flags):
        azure = start_azure(f"--token-proxy-url=https://localhost:{emulator.tls_port}", f"--api-server=127.0.0.1:{emulator.tls_port}",
                            f"--token-proxy-ca-file={emulator.directory / 'ca.pem'}", *flags)
        client = rpc.Client(azure.socket)
        client.azure = azure
        clients.append(client)
        return client
    yield run
    for client in clients:
        client.close()


def mount(client, token, timeout=30, **attributes):
    attributes = {TOKENS: tokens_json(binding=token), **attributes}
    return files(client.call(rpc.MOUNT, mount_request(credentials={}, useAzureTokenProxy="true", clientID=APP, **attributes), timeout))


def failure(client, token, **keywords):
    return rpc.failure(mount, client, token, **keywords)


def token_of(issuer, **claims):
    return issuer.token(SUBJECT, audience=BINDING_AUDIENCE, **claims)


def test_a_bound_identity_mounts_through_the_token_proxy(start, emulator, issuer):
    client = start()
    token = token_of(issuer)
    for _ in range(5):
        assert mount(client, token) == SECRET1
    requests = emulator.requests("token-proxy")
    assert [(request["path"], request["status"]) for request in requests] == [(f"/{tutorial.TENANT}/oauth2/v2.0/token", 200)]
    assert requests[0]["host"] == "localhost", "the Host header names the proxy, the TLS server name the cluster"
    assert emulator.token_requests == 0, "nothing goes to Entra directly"


def test_the_path_of_the_proxy_url_comes_first(start, emulator, issuer):
    client = start(f"--token-proxy-url=https://localhost:{emulator.tls_port}/some/where")
    failure(client, token_of(issuer))
    assert emulator.requests("token-proxy")[-1]["path"] == f"/some/where/{tutorial.TENANT}/oauth2/v2.0/token"


def test_a_given_server_name_needs_no_request_to_the_api_server(start, emulator, issuer):
    client = start(f"--sni-name={SNI}", f"--api-server=127.0.0.1:{free_port()}")
    assert mount(client, token_of(issuer)) == SECRET1


def test_a_wrong_server_name_does_not_reach_the_proxy(start, emulator, issuer):
    client = start("--sni-name=other.ests.aks")
    code, _ = failure(client, token_of(issuer), timeout=5)
    assert code in (CODES.UNAVAILABLE, CODES.UNAUTHENTICATED, CODES.DEADLINE_EXCEEDED)
    assert emulator.requests("token-proxy") == []


def test_an_api_server_that_comes_late_is_found_then(start, emulator, issuer):
    """No request is sent at the start, and a failure is not cached."""
    port = free_port()
    client = start(f"--api-server=127.0.0.1:{port}")
    token = token_of(issuer)
    code, message = failure(client, token)
    assert code == CODES.UNAVAILABLE
    assert f"proxy transport not available: connect to 127.0.0.1:{port}: connection refused" in message
    relay = Relay(("127.0.0.1", port), emulator.tls_port)
    try:
        assert mount(client, token) == SECRET1
        assert len(relay.peers) == 1
        assert mount(client, token_of(issuer)) == SECRET1
        assert len(relay.peers) == 1, "what was found is kept"
    finally:
        relay.close()


def test_mounts_that_wait_share_one_lookup(start, emulator, issuer):
    port = free_port()
    relay = Relay(("127.0.0.1", port), emulator.tls_port)
    client = start(f"--api-server=127.0.0.1:{port}")
    try:
        results = []
        threads = [threading.Thread(target=lambda: results.append(mount(client, token_of(issuer)))) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [SECRET1] * 10
        assert len(relay.peers) == 1
    finally:
        relay.close()


def test_a_silent_api_server_costs_no_more_than_the_callers_time(start, emulator, issuer):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = start(f"--api-server=127.0.0.1:{silent.getsockname()[1]}")
        code, message = failure(client, token_of(issuer), timeout=3)
        assert code in (CODES.DEADLINE_EXCEEDED, CODES.UNAVAILABLE)
        assert "proxy transport not available" in message
        assert mount_other_mode(client) == SECRET1, "the other modes do not wait for it"


@pytest.fixture
def hosts(scratch):
    """Gives names addresses; in the mount namespace of the tests alone."""
    def define(text):
        path = scratch / "hosts"
        path.write_text(text)
        subprocess.run(["mount", "--bind", path, "/etc/hosts"], check=True)
    yield define
    subprocess.run(["umount", "/etc/hosts"], check=True)


@pytest.mark.parametrize("first", ["closed", "silent"])
def test_another_address_of_the_api_server_is_tried(start, emulator, issuer, hosts, first):
    """A cluster with both families, one of which does not lead there."""
    hosts("::1 twofold\n127.0.0.1 twofold\n")
    assert [item[4][0] for item in socket.getaddrinfo("twofold", 1, type=socket.SOCK_STREAM)] == ["::1", "127.0.0.1"]
    client = start(f"--api-server=twofold:{emulator.tls_port}")
    if first == "closed":
        assert mount(client, token_of(issuer)) == SECRET1
        return
    with socket.socket(socket.AF_INET6) as silent:
        silent.bind(("::1", emulator.tls_port))
        silent.listen(0)
        with socket.create_connection(("::1", emulator.tls_port)), contextlib.ExitStack() as more:
            for _ in range(4):  # the backlog is full: no connection gets further than SYN
                waiting = more.enter_context(socket.socket(socket.AF_INET6))
                waiting.setblocking(False)
                waiting.connect_ex(("::1", emulator.tls_port))
            assert mount(client, token_of(issuer)) == SECRET1


@pytest.mark.parametrize("what,cause", [("garbage", "TLS handshake with"), ("hang up", "TLS handshake with"),
                                        ("plain HTTP", "TLS handshake with"), ("no name", "DNS lookup for nosuch.invalid:443")])
def test_a_server_that_is_no_api_server_is_reported(start, emulator, issuer, what, cause):
    with socket.create_server(("127.0.0.1", 0)) as server:
        response = {"garbage": b"\x16\x03\x03\x02\x00" + bytes(600), "plain HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n"}.get(what, b"")

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(response)
        address = "nosuch.invalid:443"
        if what != "no name":
            threading.Thread(target=serve, daemon=True).start()
            address = f"127.0.0.1:{server.getsockname()[1]}"
        client = start(f"--api-server={address}")
        code, message = failure(client, token_of(issuer))
    assert code == CODES.UNAVAILABLE
    assert f"proxy transport not available: {cause}" in message


def mount_other_mode(client):
    request = provider_pb2.MountRequest(attributes=json.dumps(tutorial.attributes()), secrets=json.dumps(tutorial.CREDENTIALS),
                                        target_path="/none", permission="420")
    return {file.path: file.contents for file in client.call(rpc.MOUNT, request, 30).files}


def test_a_certificate_of_another_authority_is_refused(start, emulator, issuer, scratch):
    foreign = scratch / "foreign.pem"
    foreign.write_text(Certificate("foreign CA").certificate_pem)
    client = start(f"--token-proxy-ca-file={foreign}")
    code, message = failure(client, token_of(issuer))
    assert code == CODES.UNAVAILABLE
    assert "proxy transport not available: TLS handshake with" in message and "not correctly signed by the trusted CA" in message
    # the file is read for each use
    foreign.write_text((emulator.directory / "ca.pem").read_text())
    assert mount(client, token_of(issuer)) == SECRET1
    # an empty one, as while it is replaced, keeps the last certificates
    foreign.write_text("")
    assert mount(client, token_of(issuer)) == SECRET1


def test_without_a_ca_file_the_systems_trust_counts(start, emulator, issuer):
    client = start("--token-proxy-ca-file=/nonexistent/ca.crt")  # SSL_CERT_FILE of the tests is the emulator's CA
    assert mount(client, token_of(issuer)) == SECRET1


@pytest.mark.parametrize("url,cause", [
    ("http://localhost", "is not an https URL"),
    ("https://user@localhost", "must not have a user"),
    ("https://localhost/?a=b", "must not have a query or a fragment"),
    ("https://localhost/#x", "must not have a query or a fragment"),
    ("https://", "has no host"),
    ("https://localhost:0", "has no valid port"),
])
def test_a_proxy_url_against_the_rules_is_reported_by_the_mounts_that_need_it(start, emulator, issuer, url, cause):
    client = start(f"--token-proxy-url={url}")
    code, message = failure(client, token_of(issuer))
    assert code == CODES.UNAVAILABLE
    assert f"proxy transport not available: --token-proxy-url {cause}" in message
    assert cause in client.azure.log, "and at the start"
    assert mount_other_mode(client) == SECRET1


@pytest.mark.parametrize("what,number", [("subject", 700213), ("audience", 700212), ("expired", 700024)])
def test_a_refusal_of_the_proxy_shows_number_and_hint(start, emulator, issuer, what, number):
    token = {"subject": lambda: issuer.token(subject_of("default", "thief"), audience=BINDING_AUDIENCE),
             "audience": lambda: issuer.token(SUBJECT),
             "expired": lambda: token_of(issuer, begin=-7200)}[what]()
    code, message = failure(start(), token)
    assert code == CODES.UNAUTHENTICATED
    assert f"AADSTS{number}" in message and "hint" in message and token not in message


def test_a_binding_token_is_worth_nothing_elsewhere(start, emulator, issuer):
    """A workload identity with the token for the proxy: the audience is another one."""
    client = start()
    token = token_of(issuer)
    assert mount(client, token) == SECRET1
    values = tutorial.attributes(clientID=APP, **{TOKENS: tokens_json(workload=token)})
    request = provider_pb2.MountRequest(attributes=json.dumps(values), secrets="{}", target_path="/none", permission="420")
    code, message = rpc.failure(client.call, rpc.MOUNT, request, 30)
    assert code == CODES.UNAUTHENTICATED and "AADSTS700212" in message


def test_a_volume_of_each_kind_in_one_pod(start, emulator, issuer):
    emulator.control("POST", "/entra/apps", {"tenant": tutorial.TENANT, "client_id": APP, "federated": [
        {"issuer": issuer.url, "subject": SUBJECT, "audience": BINDING_AUDIENCE},
        {"issuer": issuer.url, "subject": SUBJECT, "audience": "api://AzureADTokenExchange"}]})
    client = start()
    tokens = tokens_json(workload=issuer.token(SUBJECT), binding=token_of(issuer))
    for proxied in ("true", "false"):
        request = mount_request(credentials={}, clientID=APP, useAzureTokenProxy=proxied, **{TOKENS: tokens})
        assert len(client.call(rpc.MOUNT, request, 30).files) == 1
    assert emulator.token_requests == 1 and len(emulator.requests("token-proxy")) == 1
