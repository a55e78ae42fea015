"""Plugin registration, from the kubelet's side."""

import os
import stat

import grpc
import pytest
from proto import pluginregistration_pb2

from harness import http2, rpc
from harness.process import wait_until


@pytest.fixture
def registering(node, start_driver):
    driver = start_driver(f"--registration-dir={node.registry}", "--kubelet-registration-path=/host/csi.sock")
    return driver, node.registry / "secrets-store.csi.k8s.io-reg.sock"


def test_get_info_describes_a_csi_plugin(registering):
    _, path = registering
    wait_until(path.exists, what="the registration socket")
    with rpc.Client(path) as client:
        info = client.call(rpc.GET_INFO, timeout=1)
    assert info.type == "CSIPlugin"
    assert info.name == "secrets-store.csi.k8s.io"
    assert info.endpoint == "/host/csi.sock"
    assert list(info.supported_versions) == ["1.0.0"]
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o077 == 0


def test_any_authority_of_old_and_new_kubelets_is_accepted(registering):
    _, path = registering
    wait_until(path.exists, what="the registration socket")
    for authority in (str(path), str(path).replace("/", "%2F"), "localhost", ""):
        with http2.Connection(path).start() as connection:
            connection.call(1, rpc.GET_INFO, authority=authority)
            assert connection.until(1)[-1] is not None


def test_a_successful_registration_keeps_the_socket(registering):
    _, path = registering
    wait_until(path.exists, what="the registration socket")
    inode = os.stat(path).st_ino
    with rpc.Client(path) as client:
        client.call(rpc.NOTIFY, pluginregistration_pb2.RegistrationStatus(plugin_registered=True))
        client.call(rpc.GET_INFO)
    assert os.stat(path).st_ino == inode


def test_a_refused_registration_recreates_the_socket(registering):
    driver, path = registering
    wait_until(path.exists, what="the registration socket")
    before = os.stat(path)
    with rpc.Client(path) as client:
        client.call(rpc.NOTIFY, pluginregistration_pb2.RegistrationStatus(plugin_registered=False, error="no CSINode yet"))

    def recreated():
        try:
            now = os.stat(path)
        except FileNotFoundError:
            return False
        return (now.st_ino, now.st_ctime_ns) != (before.st_ino, before.st_ctime_ns)
    wait_until(recreated, timeout=30, what="the socket to be recreated")
    with rpc.Client(path) as client:
        assert client.call(rpc.GET_INFO).type == "CSIPlugin"
    assert "no CSINode yet" in driver.log


def test_the_socket_goes_with_the_driver(registering):
    driver, path = registering
    wait_until(path.exists, what="the registration socket")
    driver.destroy()
    assert not os.path.lexists(path)


def test_after_a_crash_the_stale_socket_is_replaced(node, start_driver):
    flags = (f"--registration-dir={node.registry}",)
    path = node.registry / "secrets-store.csi.k8s.io-reg.sock"
    first = start_driver(*flags)
    wait_until(path.exists, what="the registration socket")
    first.kill()
    assert path.exists()
    start_driver(*flags, name="driver2")

    def responds():
        try:
            with rpc.Client(path) as client:
                return client.call(rpc.GET_INFO, timeout=2).type == "CSIPlugin"
        except grpc.RpcError:
            return False
    wait_until(responds, what="the new registration socket")
