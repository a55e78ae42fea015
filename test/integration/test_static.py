"""The release's executables: nothing else is needed to run them, and names are resolved with /etc/resolv.conf and /etc/hosts alone.

With another build than the static one this is skipped.
"""

import os
import re
import subprocess

import pytest
from grpc import RpcError

from harness.azure_mounts import Pods, mount_request
from harness.name_server import A, AAAA, NameServer
from harness.process import BUILD, PATIENCE, wait_until

PROGRAMS = ["secrets-store-driver", "secrets-store-provider-azure", "secrets-store-ctl"]
HEADERS = {name: subprocess.run(["readelf", "--wide", "--program-headers", "--dynamic", BUILD / "bin" / name], capture_output=True, text=True,
                                check=False).stdout for name in PROGRAMS}

pytestmark = [pytest.mark.release_only,
              pytest.mark.skipif("INTERP" in HEADERS[PROGRAMS[0]] or not HEADERS[PROGRAMS[0]], reason="not the static build")]


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_static_and_position_independent_with_a_read_only_table(name):
    assert "INTERP" not in HEADERS[name] and "(NEEDED)" not in HEADERS[name]
    assert "DYN (Position-Independent Executable file)" in HEADERS[name] or "FLAGS_1" in HEADERS[name]
    assert "GNU_RELRO" in HEADERS[name] and re.search(r"GNU_STACK.* RW ", HEADERS[name])


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_contains_nothing_of_the_machine_that_built_it(name):
    data = (BUILD / "bin" / name).read_bytes()
    for text in (str(BUILD.parent.parent), str(BUILD), os.path.expanduser("~") + "/"):
        assert text.encode() not in data, text


@pytest.fixture
def start_in_chroot(scratch, emulator):
    """start(hosts, resolv): the provider in a root that holds itself, those two files and what an operator mounts; gives its socket's path."""
    processes = []

    def start(hosts, resolv):
        root = scratch / "root"
        for name in ("etc", "run", "dev"):
            (root / name).mkdir(parents=True)
        for name, text in (("etc/hosts", hosts), ("etc/resolv.conf", resolv)):
            (root / name).write_text(text)
        (root / "ca.pem").write_bytes((emulator.directory / "ca.pem").read_bytes())
        cloud = (emulator.directory / "cloud.json").read_text()
        (root / "cloud.json").write_text(cloud.replace("login.localhost", HOST))
        (root / "provider").write_bytes((BUILD / "bin/secrets-store-provider-azure").read_bytes())
        (root / "provider").chmod(0o755)
        processes.append(subprocess.Popen(
            ["/usr/sbin/chroot", root, "/provider", "--endpoint=unix:///run/azure.sock", "--cloud-name=AzureStackCloud", "--healthz-port=0",
             "--prometheus-port=0"],
            env={"AZURE_ENVIRONMENT_FILEPATH": "/cloud.json", "SSL_CERT_FILE": "/ca.pem"}, stdin=subprocess.DEVNULL))
        path = root / "run/azure.sock"
        wait_until(path.exists, what="the provider's socket")
        return path
    yield start
    for process in processes:
        process.terminate()
        assert process.wait(timeout=30 * PATIENCE) == 0


def failure(path):
    with Pods(path) as pods, pytest.raises(RpcError) as caught:
        pods.mount(mount_request(["secret1"]))
    return caught.value.details()


HOST = "login.test.example"


def test_a_name_comes_from_etc_hosts(start_in_chroot):
    path = start_in_chroot(f"127.0.0.1 localhost {HOST}\n", "nameserver 127.0.0.9\noptions timeout:1 attempts:1\n")
    # it got as far as the emulator's certificate, which does not hold this name
    assert "TLS handshake" in failure(path)


def test_a_name_comes_from_the_name_server_of_resolv_conf(start_in_chroot):
    with NameServer(HOST) as server:
        path = start_in_chroot("127.0.0.1 localhost\n", f"search ns.svc.cluster.local svc.cluster.local\nnameserver {server.address}\noptions ndots:5\n")
        assert "TLS handshake" in failure(path)
        assert server.queries == [(HOST, A), (HOST, AAAA)]


def test_an_unknown_host_name_is_reported(start_in_chroot):
    path = start_in_chroot("127.0.0.1 localhost\n", "nameserver 127.0.0.9\noptions timeout:1 attempts:1\n")
    assert f"DNS lookup of '{HOST}' failed" in failure(path)
