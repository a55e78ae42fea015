"""The Go programs end after ours have started, as in a rolling update with maxSurge: their servers remove the socket files as they end, which are ours
by then. Ours are there again within a second."""

import time

from azure_class import SECRETS, azure_class

import grpc
import pytest

from harness import mounts, rpc
from harness.http_get import get
from harness.process import PATIENCE, wait_until
from harness.programs import metric_sum

VERSION = "/v1alpha1.CSIDriverProvider/Version"
NOTICED_S = 1.0  # how long a removed socket may stay away


def responds(path, method):
    try:
        with rpc.Client(path) as client:
            client.call(method, timeout=2)
        return True
    except grpc.RpcError:
        return False


def end(go, ours, path, method):
    """Ends a Go program and checks that it has removed our socket file, and that ours is there again soon. Ours does not act meanwhile, so
    that the removal is seen."""
    wait_until(lambda: '"listening"' in ours.log, 20, "ours to listen")  # until then the Go program responds
    assert "taking over a socket" in ours.log
    inode = path.stat().st_ino
    ours.popen.send_signal(19)  # SIGSTOP
    try:
        go.destroy()
        wait_until(lambda: not path.exists(), 20, "the Go program to remove the socket file of ours")
    finally:
        ours.popen.send_signal(18)  # SIGCONT
    start = time.monotonic()
    wait_until(lambda: responds(path, method), 20, "the socket to be there again", pause=0.02)
    assert time.monotonic() - start < NOTICED_S * PATIENCE
    assert path.stat().st_ino != inode
    assert "removed the socket file" in ours.log


@pytest.fixture
def pod(admin, namespace, make_pod):
    admin.create(azure_class(), namespace)
    return make_pod()


def test_the_go_driver_ends_after_ours_has_started(pod, make_pod, start_go_driver, start_cluster_driver, azure):
    go = start_go_driver()
    go.publish(pod.publish_request(secrets=SECRETS))
    before = mounts.contents(pod.target)
    socket = go.node.csi_socket
    ours = start_cluster_driver()
    end(go, ours, socket, rpc.PROBE)
    assert metric_sum(ours.metrics(), "socket_created_again_total", socket="csi") == 1
    other = make_pod("other")
    with rpc.Client(socket) as kubelet:
        kubelet.call(rpc.PUBLISH, other.publish_request(secrets=SECRETS))
        kubelet.call(rpc.PUBLISH, pod.publish_request(secrets=SECRETS))
        assert mounts.contents(pod.target) == mounts.contents(other.target) == before
        for one in (pod, other):
            kubelet.call(rpc.UNPUBLISH, one.unpublish_request())
            mounts.assert_no_trace(one.target)


def test_the_go_provider_ends_after_ours_has_started(pod, make_pod, start_go_azure, start_azure, cluster_driver):
    go = start_go_azure()
    cluster_driver.publish(pod.publish_request(secrets=SECRETS))
    ours = start_azure()
    assert ours.socket == go.socket
    end(go, ours, ours.socket, VERSION)
    assert metric_sum(ours.metrics(), "azure_socket_created_again_total") == 1
    assert get(ours.health_port, "/healthz")[0] == 200
    other = make_pod("other")
    cluster_driver.publish(other.publish_request(secrets=SECRETS))
    assert mounts.contents(other.target) == mounts.contents(pod.target)
    for one in (pod, other):
        cluster_driver.unpublish(one.unpublish_request())
