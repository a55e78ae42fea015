"""Socket paths at the limit of an address (sun_path: 108 bytes with its NUL) and beyond it."""

import subprocess

import pytest

from harness import mounts, rpc
from harness.process import BUILD
from harness.programs import Azure
from harness.rpc import CODES
from harness.scripted_provider import ScriptedProvider, mount_response

LONGEST = 107


def path_of(directory, length, suffix=".sock"):
    """A path of `length` bytes below `directory`, whose own directory exists."""
    parent = directory / ("d" * 40)
    parent.mkdir(exist_ok=True)
    rest = length - len(str(parent)) - 1 - len(suffix)
    assert rest > 0, f"{parent} is too long"
    return parent / ("s" * rest + suffix)


def too_long(path):
    return f"socket path {path} is {len(str(path))} bytes long, at most {LONGEST} are possible"


def test_the_longest_path_serves(node, start_driver, emulator, scratch):
    node.csi_socket = path_of(scratch, LONGEST)
    driver = start_driver()
    with rpc.Client(node.csi_socket) as client:
        assert client.call("/csi.v1.Identity/GetPluginInfo").name == "secrets-store.csi.k8s.io"
    driver.destroy()
    node.providers = node.csi_socket.parent
    azure = Azure(node, emulator, socket_name=node.csi_socket.stem)
    with rpc.Client(azure.socket) as client:
        assert client.call("/v1alpha1.CSIDriverProvider/Version").version == "v1alpha1"
    azure.destroy()


@pytest.mark.parametrize("program, flags", [
    ("secrets-store-driver", ["--nodeid=n", "--class-dir=.", "--metrics-addr=0", "--health-addr=0", "--registration-dir="]),
    ("secrets-store-provider-azure", ["--healthz-port=0", "--prometheus-port=0"]),
])
def test_a_program_with_a_longer_endpoint_does_not_start(scratch, program, flags):
    path = path_of(scratch, LONGEST + 1)
    done = subprocess.run([BUILD / "bin" / program, f"--endpoint=unix://{path}", *flags], cwd=scratch, capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 1
    assert too_long(path) in done.stderr + done.stdout


def test_a_longer_endpoint_is_an_error_of_ctl_itself(scratch):
    path = path_of(scratch, LONGEST + 1)
    done = subprocess.run([BUILD / "bin/secrets-store-ctl", "probe", f"--endpoint=unix://{path}"], capture_output=True, text=True, timeout=60,
                          check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: INVALID_ARGUMENT: ") and too_long(path) in done.stderr


def test_a_provider_whose_socket_has_a_longer_path_fails_the_mount_by_name(node, start_driver, scratch):
    """The kernel has sockets of longer paths, bound by way of a shorter name; a client cannot reach them by their own."""
    directory = scratch / ("d" * (LONGEST + 1 - len(f"{scratch}//scripted.sock")))
    directory.mkdir()
    path = directory / "scripted.sock"
    (scratch / "short").symlink_to(directory)
    node.add_class()
    driver = start_driver(f"--provider-volume={directory}")
    provider = ScriptedProvider(scratch / "short/scripted.sock", lambda request, context: mount_response({"file": b"content"}))
    try:
        code, message = driver.publish_failure(rpc.publish_request(node.target()))
    finally:
        provider.stop()
    assert code == CODES.INVALID_ARGUMENT and too_long(path) in message
    mounts.assert_no_trace(node.target())
