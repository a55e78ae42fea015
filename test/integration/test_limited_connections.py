"""What lies between provider and vault lets fewer connections through than a class has objects: gateways, firewalls, proxies with a limit for each client."""

import socket
import struct
import threading

import pytest

from harness import tutorial
from harness.azure_mounts import Pods, files, mount_request
from harness.proxy import Proxy

LIMIT = 16
NAMES = [f"s{number}" for number in range(60)]
ALL = {name: f"value of {name}".encode() for name in NAMES}


class LimitedProxy(Proxy):
    """Lets LIMIT connections through at the same time. What comes beyond is closed, refused (the kind is a status), or never served."""

    def __init__(self, kind, limit=LIMIT):
        self.kind, self.limit = kind, limit
        self.open, self.turned_away = 0, 0
        self.lock = threading.Lock()
        super().__init__()

    def _serve(self, client):
        with self.lock:
            lets = self.open < self.limit
            self.open += lets
            self.turned_away += not lets
        try:
            if lets:
                super()._serve(client)
            elif self.kind.isdigit():
                client.recv(4096)
                client.sendall(f"HTTP/1.1 {self.kind} No\r\nContent-Length: 0\r\n\r\n".encode())
            elif self.kind == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif self.kind == "tunnel closed":
                client.recv(4096)
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            elif self.kind == "silent":
                while client.recv(4096):
                    pass
        except OSError:
            pass
        finally:
            client.close()
            with self.lock:
                self.open -= lets


@pytest.fixture(params=["closed", "reset", "503", "429", "tunnel closed", "silent"])
def proxy(request):
    proxy = LimitedProxy(request.param)
    yield proxy
    proxy.stop()


@pytest.fixture
def pods(emulator, proxy, start_azure):
    """Of a provider that reaches the vault through the proxy, over HTTP/1.1."""
    emulator.set_http(protocols=["http/1.1"])
    emulator.add_fault(kind="latency", service="vault", latency_ms=20)
    for name, value in ALL.items():
        emulator.set_secret(name, value.decode())
    azure = start_azure(env={"HTTPS_PROXY": proxy.url, "AZURE_ENVIRONMENT_FILEPATH": str(emulator.directory / "cloud-remote.json")})
    with Pods(azure.socket) as pods:
        pods.program = azure
        yield pods


def mounted(pods):
    return files(pods.mount(mount_request(NAMES)))


def test_a_host_gets_no_more_connections_than_are_let_through(pods, proxy):
    """The first mount finds out; those after it use the connections there are."""
    assert mounted(pods) == ALL
    turned_away = proxy.turned_away
    assert turned_away > 0, "nothing was tested"
    for _ in range(3):
        assert mounted(pods) == ALL
    assert proxy.turned_away == turned_away
    assert pods.program.log.count("were not let through, sending fewer") == 1


def test_the_first_mount_repeats_what_was_not_let_through_on_the_connections_there_are(pods, emulator):
    """Not after a pause, as requests are repeated that a service has refused: these it has never seen."""
    assert mounted(pods) == ALL
    served = [request for request in emulator.requests() if request["service"] == "vault"]
    assert len(served) == len(NAMES)


@pytest.mark.parametrize("proxy", ["403", "407"], indirect=True)
def test_a_proxy_that_refuses_a_request_says_nothing_about_the_number_of_connections(pods, proxy):
    """Credentials belong to a class: a wrong password in one must not slow the others down."""
    pods.outcome(mount_request(NAMES))
    assert proxy.turned_away > 0, "nothing was tested"
    assert "were not let through" not in pods.program.log
