"""Host names: what name servers do that respond wrongly, late or not at all, and how many queries a mount costs."""

import contextlib
import socket
import threading

import pytest

from harness import rpc, tutorial
from harness.azure_mounts import files, mount, mount_failure, mount_request
from harness.emulator import Emulator
from harness.name_server import A, AAAA, NameServer, milliseconds_of
from harness.process import wait_until
from harness.programs import Azure
from harness.rpc import CODES

DOMAIN = "names.example"
# All of them in addition to what the same takes with a healthy name server: builds and machines differ in that.
# A first mount resolves two names, one behind the other. It waits for neither a late response (1 s) nor a silent name server (1.5 s).
LATE_MS = 1700
LOOKUP_MS = 4 * 1000  # well below the six seconds that a lookup takes when the name server is silent
FALLBACK_MS = 6200  # a lookup of one vault, and not another one
SEARCH = "search ns.svc.cluster.local svc.cluster.local cluster.local corp.internal\noptions ndots:5\n"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """An emulator whose names are below DOMAIN."""
    emulator = Emulator(tmp_path_factory.mktemp("cloud"), arguments=["--domain", DOMAIN])
    yield emulator
    emulator.destroy()


@pytest.fixture
def start(node, cloud, scratch):
    """start(server, hosts="", options=SEARCH): the provider, with an /etc/resolv.conf and an /etc/hosts of its own."""
    cloud.reset()
    started = []

    def go(*servers, hosts="", options=SEARCH, flags=()):
        resolv = "".join(f"nameserver {server if isinstance(server, str) else server.address}\n" for server in servers) + options
        (scratch / "resolv.conf").write_text(resolv)
        (scratch / "hosts").write_text("127.0.0.1 localhost\n" + hosts)
        script = f'mount --bind {scratch}/resolv.conf /etc/resolv.conf && mount --bind {scratch}/hosts /etc/hosts && exec "$@"'
        azure = Azure(node, cloud, flags, wrapper=("unshare", "--mount", "sh", "-c", script, "sh"))
        started.append(azure)
        return azure
    yield go
    for azure in started:
        azure.destroy()


def names_of(server):
    return {name for name, _ in server.queries}


def first_mount(azure):
    """Milliseconds of a provider's first mount."""
    with rpc.Client(azure.socket) as client:
        client.call("/v1alpha1.CSIDriverProvider/Version")
        return milliseconds_of(lambda: mount(client))[1]


@pytest.fixture
def healthy_ms(start):
    """Milliseconds of a first mount whose name server is healthy."""
    with NameServer(DOMAIN) as server:
        azure = start(server)
        took = first_mount(azure)
        azure.stop()
    return took


@pytest.mark.parametrize("aaaa", ["ok", "refused", "notimp", "servfail", "formerr", "nxdomain", "silent", "late", "garbage", "wrong id",
                                  "wrong question", "chain"])
def test_a_healthy_a_is_enough(start, healthy_ms, aaaa):
    with NameServer(DOMAIN, aaaa=aaaa) as server:
        took = first_mount(start(server))
        print(f"AAAA {aaaa}: {took:.0f} ms, healthy {healthy_ms:.0f} ms, {server.queries}")
        assert took < healthy_ms + LATE_MS
        assert len(names_of(server)) == 2 and all(name.endswith("." + DOMAIN) for name in names_of(server))
        for name in names_of(server):
            assert sorted(server.queries.count((name, kind)) for kind in (A, AAAA)) == [1, 1], server.queries


@pytest.mark.parametrize("a", ["chain", "truncated"])
def test_responses_of_private_endpoints(start, healthy_ms, a):
    with NameServer(DOMAIN, a=a, aaaa="chain" if a == "chain" else "truncated") as server:
        assert first_mount(start(server)) < healthy_ms + LATE_MS


@pytest.mark.parametrize("a", ["wrong id", "wrong question", "garbage", "silent", "servfail", "refused"])
def test_another_name_server_is_used(start, a):
    """The responses of the first one about A are of no use."""
    with NameServer(DOMAIN, a=a) as bad, NameServer(DOMAIN) as good:
        took = first_mount(start(bad, good))
        print(f"A {a}: {took:.0f} ms")
        assert bad.count() > 0 and good.count() > 0


def test_a_name_server_that_nobody_runs(start):
    with NameServer(DOMAIN) as good:
        first_mount(start("127.53.255.254", good))


def test_an_address_that_was_looked_up_is_not_looked_up_again(start, cloud):
    """Not for other mounts, and not because no connection can be made."""
    with NameServer(DOMAIN, addresses=("127.0.0.1",)) as server:
        azure = start(server)
        with rpc.Client(azure.socket) as client:
            for number in range(5):
                mount(client, pod=f"pod{number}")
            assert server.count() == 4
            server.addresses = ("127.0.0.99",)  # nobody listens there
            cloud.add_vault("another")
            code, text = mount_failure(client, pod="another", keyvaultName="another", timeout=15)
            assert "connect to another." in text
            assert server.count() == 6, server.queries


def test_a_name_that_does_not_exist_costs_few_queries(start):
    """Asked as it is, then with the search list, and not again for the retry."""
    with NameServer(DOMAIN) as server:
        azure = start(server)
        with rpc.Client(azure.socket) as client:
            mount(client)
            server.domain = "login." + DOMAIN  # the vaults are gone
            before = server.count()
            code, text = mount_failure(client, pod="other", keyvaultName="misspelled")
            assert code == CODES.UNAVAILABLE and f"DNS lookup of 'misspelled.vault.{DOMAIN}' failed: " in text
            asked = server.queries[before:]
            print(asked)
            assert {name for name, _ in asked[:2]} == {f"misspelled.vault.{DOMAIN}"}
            assert len(asked) <= 2 + 2 * 5  # four domains of the list, and once more as it is


def test_the_search_list_serves_short_names(start, cloud):
    """`proxy.infra` is a Service of another namespace: not there as it is, found with the search list."""
    with NameServer("proxy.infra.svc.cluster.local") as server, socket.create_server(("127.0.0.1", 0)) as proxy:
        port = proxy.getsockname()[1]
        azure = start(server, flags=[f"--class-proxies=proxy.infra:{port}"])
        with rpc.Client(azure.socket) as client:
            call = client.future(rpc.MOUNT, mount_request(
                httpsProxy=f"http://proxy.infra:{port}"), 20)
            proxy.settimeout(15)
            connection, _ = proxy.accept()
            assert connection.recv(100).startswith(b"CONNECT login.")
            connection.close()
            call.cancel()
        assert server.queries[0][0] == "proxy.infra"


def test_etc_hosts_comes_first(start, cloud):
    hosts = f"127.0.0.1 login.{DOMAIN} LOGIN.{DOMAIN}\n127.0.0.1 contosokeyvault5.vault.{DOMAIN}\n"
    with NameServer(DOMAIN, a="servfail") as server:
        azure = start(server, hosts=hosts)
        with rpc.Client(azure.socket) as client:
            mount(client)
        assert server.queries == []


def test_mounts_go_on_while_dns_is_down(start):
    with NameServer(DOMAIN) as server:
        azure = start(server)
        with rpc.Client(azure.socket) as client:
            mount(client)
            server.behaviors = {A: "silent", AAAA: "silent"}
            before = server.count()
            for number in range(5):
                mount(client, pod=f"pod{number}")
            assert server.count() == before, "none has a reason to ask"


def test_a_resolv_conf_that_changes_is_read_again(start, scratch, cloud):
    with NameServer(DOMAIN) as first, NameServer(DOMAIN) as second:
        azure = start(first)
        with rpc.Client(azure.socket) as client:
            mount(client)
            (scratch / "resolv.conf").write_text(f"nameserver {second.address}\n")
            cloud.add_vault("moved")
            cloud.set_secret("secret1", "x", vault="moved")
            mount(client, pod="moved", keyvaultName="moved")
        assert second.count() == 2


def test_silence_does_not_delay_the_end(start):
    """A lookup in flight keeps the program neither from serving nor from ending."""
    with NameServer(DOMAIN) as server:
        azure = start(server)
        first_mount(azure)
        _, healthy_ms = milliseconds_of(azure.stop)
    with NameServer(DOMAIN, a="silent", aaaa="silent") as server:
        azure = start(server)
        with rpc.Client(azure.socket) as client:
            call = client.future(rpc.MOUNT, mount_request(), 60)
            wait_until(lambda: server.count() > 0, what="a query")
            _, took = milliseconds_of(lambda: client.call("/v1alpha1.CSIDriverProvider/Version"))
            assert took < LOOKUP_MS
            call.cancel()
        _, took = milliseconds_of(azure.stop)
        assert took < healthy_ms + LOOKUP_MS


# --- vaults that cannot be reached, beside one that can ---

def nowhere(_):
    """Nothing listens at the address."""
    return "127.0.0.2", contextlib.nullcontext()


def mute(port):
    """The connection is taken, and the TLS handshake never ends."""
    return "127.0.0.4", socket.create_server(("127.0.0.4", port))


@contextlib.contextmanager
def _speaking(port):
    with socket.create_server(("127.0.0.5", port)) as server:
        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    connection.close()
        threading.Thread(target=serve, daemon=True).start()
        yield


def no_tls(port):
    """What responds is no TLS server."""
    return "127.0.0.5", _speaking(port)


@pytest.mark.parametrize("place", ["nxdomain", "silent", nowhere, mute, no_tls], ids=lambda place: getattr(place, "__name__", place))
def test_a_fallback_vault_takes_the_place_of_one_that_cannot_be_reached(start, healthy_ms, cloud, place):
    west = "contoso-west"
    cloud.add_vault(west)
    cloud.set_secret("secret1", "of the fallback vault", vault=west)
    hosts = f"127.0.0.1 login.{DOMAIN} {west}.vault.{DOMAIN}\n"
    address, peer = ("", contextlib.nullcontext()) if isinstance(place, str) else place(cloud.tls_port)
    if address:
        hosts += f"{address} {tutorial.VAULT.lower()}.vault.{DOMAIN}\n"
    with NameServer(DOMAIN, a=place if isinstance(place, str) else "ok") as server, peer:
        azure = start(server, hosts=hosts)
        with rpc.Client(azure.socket) as client:
            response, took = milliseconds_of(lambda: mount(client, fallbackKeyvaults=west, timeout=12))
    assert files(response) == {"secret1": b"of the fallback vault"}
    assert [warning.split()[0] for warning in response.warnings] == [f"{tutorial.VAULT.lower()}.vault.{DOMAIN}"]
    assert took < healthy_ms + FALLBACK_MS
