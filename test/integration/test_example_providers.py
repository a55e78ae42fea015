"""The two example providers, built and started as their texts say, behind the real driver."""

import hashlib
import socket
import subprocess
import sys

import pytest

from harness import rpc
from harness.process import ROOT, Process, wait_until
from harness.rpc import CODES

pytestmark = [pytest.mark.xdist_group("make"),  # two at a time in one directory would be in each other's way
              pytest.mark.build("dynamic", "static", reason="the SDK is the release build's")]
CLASS = """\
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata:
  name: azure-kvname
  namespace: default
spec:
  provider: directory
  parameters:
    objects: "{objects}"
"""


@pytest.fixture(scope="session")
def sdk(tmp_path_factory):
    """The SDK as `make install-sdk` puts it somewhere, and the C example built against nothing but that."""
    prefix = tmp_path_factory.mktemp("sdk")
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}

    def make(*words):
        done = subprocess.run(["make", *words], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    make("-C", str(ROOT), "install-sdk", f"PREFIX={prefix}", "VARIANT=release", "CC=gcc")
    make("-C", str(ROOT / "examples/provider-c"), f"OUT={prefix}", "CFLAGS=-O2 -Wall -Wextra -Wpedantic -Wconversion -Werror")
    return prefix


def start_c(sdk, node, root):
    return Process("example", [sdk / "directory-provider", f"--endpoint=unix://{node.provider_socket('directory')}", f"--root={root}"],
                   node.directory)


def start_python(sdk, node, root):
    modules = node.directory / "modules"
    modules.mkdir()
    subprocess.run(["protoc", f"--proto_path={sdk}/include/secrets-store-provider/proto", f"--python_out={modules}", "provider.proto"],
                   check=True)
    return Process("example", [sys.executable, ROOT / "examples/provider-python/provider.py", node.provider_socket("directory"), root],
                   node.directory, env={"PYTHONPATH": str(modules), "PYTHONDONTWRITEBYTECODE": "1"})


def listens(path):
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


@pytest.fixture(params=[start_c, start_python], ids=["c", "python"])
def example(request, sdk, node, driver):
    root = node.directory / "node-secrets"
    (root / "default").mkdir(parents=True)
    (root / "other").mkdir()
    (root / "default/db-password").write_bytes(b"correct horse\x00battery")
    (root / "default/api-key").write_bytes(b"k1")
    (root / "other/theirs").write_bytes(b"not yours")
    provider = request.param(sdk, node, root)
    wait_until(lambda: listens(node.provider_socket("directory")), what="the example to listen")
    yield provider, driver, node, root
    provider.destroy()


@pytest.mark.parametrize("example", [start_c], ids=["c"], indirect=True)  # the one in Python has a server of its own
def test_the_socket_of_a_provider_in_c_comes_back_when_it_is_removed(example):
    _, driver, node, _ = example
    node.add_class(text=CLASS.format(objects="api-key"))
    node.provider_socket("directory").unlink()
    wait_until(node.provider_socket("directory").exists, timeout=2, what="the socket to be there again")
    driver.publish(rpc.publish_request(node.target()))
    assert (node.target() / "api-key").read_bytes() == b"k1"


def test_an_example_provider_mounts_the_files_of_the_pods_namespace(example):
    _, driver, node, _ = example
    node.add_class(text=CLASS.format(objects="db-password, api-key"))
    target = node.target()
    driver.publish(rpc.publish_request(target))
    assert (target / "db-password").read_bytes() == b"correct horse\x00battery"
    assert (target / "api-key").read_bytes() == b"k1"
    assert {path.name for path in target.iterdir() if not path.name.startswith("..")} == {"db-password", "api-key"}
    driver.unpublish(rpc.unpublish_request(target))


def test_an_example_provider_reports_the_digest_as_version(example):
    _, _, node, _ = example
    with rpc.Client(node.provider_socket("directory")) as client:
        response = client.call(rpc.MOUNT, rpc.provider_pb2.MountRequest(
            attributes='{"csi.storage.k8s.io/pod.namespace": "default", "objects": "api-key"}', secrets="null", permission="420"))
    assert [(v.id, v.version) for v in response.object_version] == [("api-key", hashlib.sha256(b"k1").hexdigest())]
    assert [(f.path, f.mode) for f in response.files] == [("api-key", 0o644)]


@pytest.mark.parametrize("objects", ["../other/theirs", "db-password,.hidden", "missing", "/etc/hostname"])
def test_an_example_provider_refuses_by_name(example, objects):
    _, driver, node, _ = example
    node.add_class(text=CLASS.format(objects=objects))
    code, message = driver.publish_failure(rpc.publish_request(node.target()))
    assert code in (CODES.INVALID_ARGUMENT, CODES.NOT_FOUND)
    assert objects.split(",")[-1] in message
    assert "correct horse" not in message


def test_files_installed_below_a_destination_are_uninstalled(tmp_path):
    def make(target):
        subprocess.run(["make", "-s", "-C", ROOT, target, f"DESTDIR={tmp_path}", "PREFIX=/usr", "VARIANT=release", "CC=gcc"],
                       env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, capture_output=True, check=True)

    def installed():
        return {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    make("install")
    assert installed() == {f"usr/bin/secrets-store-{name}" for name in ("driver", "provider-azure", "ctl")}
    make("install-sdk")
    library = {"usr/lib/libsecrets-store-provider.a", "usr/lib/pkgconfig/secrets-store-provider.pc",
               "usr/include/secrets-store-provider/common/provider_server.h", "usr/include/secrets-store-provider/proto/provider.proto"}
    assert library <= installed()
    assert str(tmp_path) not in (tmp_path / "usr/lib/pkgconfig/secrets-store-provider.pc").read_text()
    make("uninstall")
    assert installed() == set()
