"""Proxies and trusted certificates, of the process and of one class; TLS through a real CONNECT proxy."""

import json
import socket
import subprocess

import pytest
from grpc import RpcError

from harness import tutorial
from harness.azure_mounts import Pods, mount_request, texts
from harness.process import free_port
from harness.proxy import Proxy
from harness.rpc import CODES

VALUE = {"secret1": tutorial.SECRETS["secret1"]}


@pytest.fixture
def proxy():
    started = []

    def start(**keywords):
        started.append(Proxy(**keywords))
        return started[-1]
    yield start
    for one in started:
        one.stop()


@pytest.fixture
def start_remote(start_azure, emulator):
    """The provider with a cloud whose names only a proxy knows."""
    def start(*flags, env=None, **keywords):
        environment = {"AZURE_ENVIRONMENT_FILEPATH": str(emulator.directory / "cloud-remote.json"), **(env or {})}
        return start_azure(*flags, env=environment, **keywords)
    return start


def remote_names(emulator):
    return {f"login.emulator.test:{emulator.tls_port}", f"{tutorial.VAULT.lower()}.vault.emulator.test:{emulator.tls_port}"}


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
def test_the_proxy_of_the_environment_is_used(proxy, start_remote, emulator, variable):
    one = proxy()
    azure = start_remote(env={variable: one.url})
    with Pods(azure.socket) as pods:
        assert texts(pods.mount(mount_request())) == VALUE
    assert set(one.tunnels) == remote_names(emulator)
    assert all(line.startswith("CONNECT ") for line in one.requests)


def test_no_proxy_of_the_environment_is_honoured(proxy, start_remote, emulator):
    one = proxy()
    azure = start_remote(env={"HTTPS_PROXY": one.url, "NO_PROXY": "other.example,.emulator.test"})
    with Pods(azure.socket) as pods:
        response = pods.outcome(mount_request(), timeout=20)
    assert isinstance(response, RpcError) and "login.emulator.test" in response.details() and "DNS" in response.details()
    assert one.requests == []


def test_a_loopback_service_is_never_proxied(proxy, start_azure):
    one = proxy(refuse=403)
    azure = start_azure(env={"HTTPS_PROXY": one.url, "HTTP_PROXY": one.url})
    with Pods(azure.socket) as pods:
        assert texts(pods.mount(mount_request())) == VALUE
    assert one.requests == []


@pytest.mark.parametrize("mode", [{"useVMManagedIdentity": "true"}, {"usePodIdentity": "true"}], ids=["imds", "nmi"])
def test_the_services_of_the_node_are_never_proxied(proxy, start_remote, mode):
    """Not by the environment and not by the class. The name is one that only a proxy knows: loopback addresses are not proxied anyway."""
    one = proxy()
    url = "http://node.emulator.test:2579"
    azure = start_remote(f"--imds-endpoint={url}", f"--nmi-endpoint={url}",
                         env={name: one.url for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")})
    with Pods(azure.socket) as pods:
        for more in ({}, {"httpsProxy": one.url}):
            response = pods.outcome(mount_request(credentials=None, **mode, **more), timeout=3)
            assert isinstance(response, RpcError) and "DNS" in response.details() and "node.emulator.test" in response.details()
    assert one.requests == []


def test_a_proxy_with_a_password(proxy, start_remote):
    one = proxy(user="name:pass")
    azure = start_remote(env={"HTTPS_PROXY": one.url.replace("//", "//name:pass@")})
    with Pods(azure.socket) as pods:
        assert texts(pods.mount(mount_request())) == VALUE
    assert "name:pass" not in azure.log


def test_a_proxy_password_may_contain_an_at_sign(proxy, start_remote):
    one = proxy(user="name@corp:p@ss@word")
    url = one.url.replace("//", "//name@corp:p@ss@word@")
    azure = start_remote(env={"HTTPS_PROXY": url + "\r\n"})
    with Pods(azure.socket) as pods:
        assert texts(pods.mount(mount_request())) == VALUE
        assert texts(pods.mount(mount_request(httpsProxy=url))) == VALUE
    assert "ss@word" not in azure.log


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
def test_a_variable_that_is_no_proxy_is_named(start_remote, variable):
    azure = start_remote(env={variable: "http://name:s3cr#et@proxy:3128"})
    with Pods(azure.socket) as pods:
        response = pods.outcome(mount_request(), timeout=20)
    assert f"{variable}: malformed proxy URL" in response.details() and "s3cr" not in response.details() + azure.log


LISTS = ["other.example\n.emulator.test\n", "other.example\r\nemulator.test\r\n", "\n  other.example,\n  emulator.test,\n", "a.example emulator.test"]


@pytest.mark.parametrize("rules", LISTS)
def test_line_breaks_separate_the_entries_of_no_proxy(proxy, start_remote, rules):
    one = proxy()
    with Pods(start_remote(env={"HTTPS_PROXY": one.url, "NO_PROXY": rules}).socket) as pods:
        response = pods.outcome(mount_request(), timeout=20)
    assert isinstance(response, RpcError) and "DNS" in response.details()
    with Pods(start_remote(env={"HTTPS_PROXY": one.url}).socket) as pods:
        response = pods.outcome(mount_request(noProxy=rules), timeout=20)
    assert isinstance(response, RpcError) and "DNS" in response.details()
    assert one.requests == []


@pytest.mark.parametrize("broken,text", [
    ({"refuse": 403}, "refused a tunnel to login.emulator.test"), ({"refuse": 502}, "HTTP status 502"),
    ({"user": "name:pass"}, "HTTP status 407"), (None, "connect to proxy"),
], ids=["403", "502", "407", "closed"])
def test_a_proxy_that_fails_is_named(proxy, start_remote, broken, text):
    url = proxy(**broken).url if broken is not None else f"http://127.0.0.1:{free_port()}"
    azure = start_remote(env={"HTTPS_PROXY": url})
    with Pods(azure.socket) as pods:
        response = pods.outcome(mount_request(), timeout=3)
    assert response.code() in (CODES.UNAVAILABLE, CODES.DEADLINE_EXCEEDED)
    assert text in response.details() and url.removeprefix("http://") in response.details()


# ---- one class --------------------------------------------------------------------------------------------------------------------


def test_a_class_has_a_proxy_of_its_own(proxy, start_remote, emulator):
    mine, yours = proxy(), proxy()
    azure = start_remote(f"--class-proxies={mine.address}", env={"HTTPS_PROXY": yours.url})
    with Pods(azure.socket) as pods:
        assert texts(pods.mount(mount_request(httpsProxy=mine.url))) == VALUE
        assert set(mine.tunnels) == remote_names(emulator) and yours.tunnels == []
        assert texts(pods.mount(mount_request())) == VALUE
        assert set(yours.tunnels) == remote_names(emulator), "connections or responses of another route were used"
    assert emulator.token_requests == 2, "a token went from one route to another"


def test_a_class_can_do_without_the_proxy_of_the_environment(proxy, start_remote):
    one = proxy()
    azure = start_remote(env={"HTTPS_PROXY": one.url})
    with Pods(azure.socket) as pods:
        for parameters in ({"httpsProxy": "none"}, {"noProxy": "emulator.test"}):
            response = pods.outcome(mount_request(**parameters), timeout=20)
            assert isinstance(response, RpcError) and "DNS" in response.details()
    assert one.requests == []


def test_reads_in_flight_and_cached_responses_do_not_cross_routes(proxy, start_remote, emulator):
    one, other = proxy(), proxy()
    azure = start_remote(f"--class-proxies=unused.example:3128, {one.address},{other.url}")
    with Pods(azure.socket, in_flight=2) as pods:
        first = pods.mount(mount_request(httpsProxy=one.url))
        versions = [(item.id, item.version) for item in first.object_version]
        emulator.reset_counters()
        pods.mount(mount_request(httpsProxy=other.url, versions=versions))
        assert emulator.vault_requests == 1
        emulator.add_fault("latency", service="vault", latency_ms=100)
        emulator.reset_counters()
        pods.mount_all([mount_request(pod=f"p{i}", httpsProxy=url) for i, url in enumerate((one.url, other.url))])
        assert emulator.vault_requests == 2


def test_a_class_reaches_no_proxy_that_the_operator_did_not_allow(proxy, start_remote, emulator):
    """An open port that speaks, one that is open and silent, a closed one and a name that does not exist are all the same to the class."""
    allowed, other = proxy(), proxy()
    azure = start_remote(f"--class-proxies={allowed.address}", env={"HTTPS_PROXY": allowed.url})
    with Pods(azure.socket) as pods, socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(0.2)
        hosts = (other.address, f"127.0.0.1:{silent.getsockname()[1]}", f"127.0.0.1:{free_port()}", "no-such-name.example:3128",
                 allowed.address.replace("127.0.0.1", "127.0.0.2"))
        responses = [pods.outcome(mount_request(httpsProxy=f"http://{host}")) for host in hosts]
        with pytest.raises(TimeoutError):
            silent.accept()
        assert texts(pods.mount(mount_request(httpsProxy=allowed.url))) == VALUE
    assert {response.code() for response in responses} == {CODES.INVALID_ARGUMENT}
    assert {response.details() for response in responses} == {
        "failed to mount objects, error: httpsProxy: the proxy is not one of the provider's --class-proxies"}
    assert other.requests == []


def test_the_proxies_of_the_environment_are_allowed(proxy, start_remote):
    one, other = proxy(), proxy()
    azure = start_remote(env={"HTTPS_PROXY": one.url, "HTTP_PROXY": other.url + "\r\n"})
    with Pods(azure.socket) as pods:
        for url in (one.url, other.url):
            assert texts(pods.mount(mount_request(httpsProxy=url))) == VALUE


@pytest.mark.parametrize("value", ["proxy.example", "proxy.example:", "proxy.example:http", ":3128", "a b:1"])
def test_a_malformed_entry_of_the_allowlist_stops_the_start(start_azure, value):
    with pytest.raises(AssertionError, match=f"--class-proxies: '{value}'"):
        start_azure(f"--class-proxies=good.example:3128,{value}")


@pytest.mark.parametrize("parameters,text", [
    ({"httpsProxy": "proxy.example:3128"}, "httpsProxy is not a URL"), ({"httpsProxy": "socks5://x"}, "httpsProxy is not a URL"),
    ({"httpsProxy": "http://"}, "httpsProxy is not a URL"), ({"httpsProxy": "http://u:p#x@proxy:1"}, "httpsProxy: malformed proxy URL"),
    ({"httpsProxy": "http://proxy:port"}, "httpsProxy: malformed proxy URL"), ({"noProxy": "a\x01b"}, "noProxy contains a control character"),
    ({"httpsProxy": "http://a\nb"}, "control character"),
    ({"caBundleFile": "../ca.pem"}, "plain name"), ({"caBundleFile": "/etc/passwd"}, "plain name"), ({"caBundleFile": ".hidden"}, "plain name"),
])
def test_a_wrong_parameter_is_named(start_azure, emulator, scratch, parameters, text):
    azure = start_azure(f"--class-ca-dir={scratch}")
    with Pods(azure.socket) as pods:
        response = pods.outcome(mount_request(**parameters))
    assert response.code() == CODES.INVALID_ARGUMENT and text in response.details()
    assert emulator.counters()["requests"] == 0


def make_ca(directory, name):
    path = directory / f"{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null",
                    "-subj", f"/CN={name}", "-days", "2", "-out", path], check=True, capture_output=True)
    return path


def test_a_class_chooses_a_ca_of_the_operators(start_azure, emulator, scratch):
    allowed = scratch / "allowed"
    allowed.mkdir()
    other = make_ca(scratch, "other")
    (allowed / "corporate.crt").write_text("a comment\n" + (emulator.directory / "ca.pem").read_text())
    (allowed / "not-a-certificate.crt").write_text("nothing\n")
    azure = start_azure(f"--class-ca-dir={allowed}", env={"SSL_CERT_FILE": str(other)})
    with Pods(azure.socket) as pods:
        refused = pods.outcome(mount_request(), timeout=10)
        assert refused.code() == CODES.UNAVAILABLE and "TLS handshake with login.localhost" in refused.details()
        assert texts(pods.mount(mount_request(caBundleFile="corporate.crt"))) == VALUE
        again = pods.outcome(mount_request(), timeout=10)  # over no connection of the other class
        assert again.code() == CODES.UNAVAILABLE and "TLS handshake" in again.details()
        for name, text in (("missing.crt", "No such file"), ("not-a-certificate.crt", "holds no certificate")):
            response = pods.outcome(mount_request(caBundleFile=name))
            assert isinstance(response, RpcError) and text in response.details() and name in response.details()


def test_without_a_directory_a_class_cannot_choose_a_ca(azure):
    with Pods(azure.socket) as pods:
        response = pods.outcome(mount_request(caBundleFile="corporate.crt"))
    assert response.code() == CODES.INVALID_ARGUMENT and "--class-ca-dir" in response.details()


def test_a_replaced_ca_file_is_read_again(start_azure, emulator, scratch):
    allowed = scratch / "allowed"
    allowed.mkdir()
    other = make_ca(scratch, "other")
    file = allowed / "corporate.crt"
    file.write_text(other.read_text())
    azure = start_azure(f"--class-ca-dir={allowed}", env={"SSL_CERT_FILE": str(other)})
    with Pods(azure.socket) as pods:
        assert isinstance(pods.outcome(mount_request(caBundleFile="corporate.crt"), timeout=10), RpcError)
        new = allowed / ".new"
        new.write_text((emulator.directory / "ca.pem").read_text())
        new.rename(file)
        assert texts(pods.mount(mount_request(caBundleFile="corporate.crt"))) == VALUE


# ---- the process' certificates --------------------------------------------------------------------------------------------------------


def test_a_directory_needs_no_hashed_names(start_azure, emulator, scratch):
    first, second = scratch / "one", scratch / "two"
    first.mkdir()
    second.mkdir()
    make_ca(first, "other")
    (first / "README").write_text("not a certificate")
    (first / "link.0").symlink_to("other.pem")
    (second / "proxy-cert.crt").write_text((emulator.directory / "ca.pem").read_text())
    azure = start_azure(env={"SSL_CERT_FILE": None, "SSL_CERT_DIR": f"{first}:/no/such/directory:{second}"})
    with Pods(azure.socket) as pods:
        assert texts(pods.mount(mount_request())) == VALUE


def test_file_and_directory_add_up(start_azure, emulator, scratch):
    directory = scratch / "certificates"
    directory.mkdir()
    make_ca(directory, "other")
    azure = start_azure(env={"SSL_CERT_DIR": str(directory)})  # and SSL_CERT_FILE
    with Pods(azure.socket) as pods:
        assert texts(pods.mount(mount_request())) == VALUE


def test_a_server_without_a_trusted_issuer_is_refused_and_named(start_azure, scratch):
    azure = start_azure(env={"SSL_CERT_FILE": str(make_ca(scratch, "other"))})
    with Pods(azure.socket) as pods:
        response = pods.outcome(mount_request(), timeout=10)
    assert response.code() == CODES.UNAVAILABLE
    assert "TLS handshake with login.localhost" in response.details() and "certificate" in response.details()
    assert json.dumps(tutorial.CLIENT_SECRET) not in azure.log
