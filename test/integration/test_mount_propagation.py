"""Mounts that reach nobody: the kubelet's directory of pods is not on a shared mount."""

import subprocess

import pytest

from harness import mounts, rpc
from harness.http_get import get
from harness.process import free_port, wait_until

ERROR = "mounts do not reach the pods"


def run(*command):
    subprocess.run(command, check=True)


@pytest.fixture
def kubelet(node):
    """The kubelet's directory as a mount of its own, private at first."""
    run("mount", "--bind", node.kubelet, node.kubelet)
    run("mount", "--make-private", node.kubelet)
    yield node.kubelet
    for mount in reversed(mounts.mounts_below(node.directory)):
        run("umount", mount.path)


@pytest.fixture
def start(node, start_driver):
    def start(kubelet, **keywords):
        driver = start_driver(f"--health-addr=127.0.0.1:{(port := free_port())}",
                              f"--kubelet-registration-path={kubelet}/plugins/csi-secrets-store/csi.sock", **keywords)
        driver.port = port
        return driver
    return start


def readyz(driver):
    return get(driver.port, "/readyz")


def test_a_private_directory_is_one_error_and_not_ready_until_it_is_shared(node, kubelet, start, scripted):
    scripted()
    node.add_class()
    driver = start(kubelet)
    wait_until(lambda: ERROR in driver.log, what="the error")
    status, text = readyz(driver)
    assert status == 503 and f"{kubelet}/pods" in text and "mountPropagation: Bidirectional" in text
    assert "mountPropagation: Bidirectional" in driver.log and "make-rshared" in driver.log
    target = node.target()
    for _ in range(3):
        driver.publish(rpc.publish_request(target))  # propagation does not prove who sees a mount
    driver.unpublish(rpc.unpublish_request(target))
    run("mount", "--make-shared", kubelet)
    wait_until(lambda: readyz(driver)[0] == 200, timeout=30, what="the next check")
    assert driver.log.count(ERROR) == 1 and "mounts reach the pods again" in driver.log
    run("mount", "--make-private", kubelet)
    wait_until(lambda: readyz(driver)[0] == 503, timeout=30, what="the check after a remount")
    assert driver.log.count(ERROR) == 2


def test_a_shared_directory_is_ready(node, kubelet, start):
    run("mount", "--make-shared", kubelet)
    driver = start(kubelet)
    driver.publish_failure(rpc.publish_request(node.target()))
    assert readyz(driver) == (200, "ok\n") and ERROR not in driver.log


def test_a_second_kubelet_is_noticed_by_its_publishes(node, kubelet, start, scripted):
    scripted()
    node.add_class()
    run("mount", "--make-shared", kubelet)
    driver = start(kubelet)
    (node.directory / "other").mkdir()
    run("mount", "--bind", node.directory / "other", node.directory / "other")
    run("mount", "--make-private", node.directory / "other")
    other = node.directory / "other/pods" / rpc.POD_UID / "volumes/kubernetes.io~csi/secrets/mount"
    other.parent.mkdir(parents=True)
    driver.publish(rpc.publish_request(other))
    wait_until(lambda: ERROR in driver.log, what="the error")
    assert str(node.directory / "other/pods") in readyz(driver)[1]
    driver.unpublish(rpc.unpublish_request(other))


def test_a_driver_without_a_kubelets_directory_is_ready_without_this_check(node, start_driver, scripted):
    scripted()
    node.add_class()
    driver = start_driver(f"--health-addr=127.0.0.1:{(port := free_port())}")
    target = node.target()
    driver.publish(rpc.publish_request(target))
    assert get(port, "/readyz") == (200, "ok\n") and ERROR not in driver.log
    driver.unpublish(rpc.unpublish_request(target))
