"""Work of operators while pods come, run and go: kubelet, driver and provider are restarted, upgraded and removed."""

import pytest
from installation import DRIVER, PROVIDER
from pods import UserPod, pod_spec
from traffic import Traffic

from harness import mounts, tutorial
from harness.process import wait_until


def test_a_kubelet_restart(kubernetes, make_class, make_pod, emulator):
    make_class()
    pod = make_pod().wait_running()
    identity = mounts.mount_at(pod.target())
    kubernetes.kubelet.kill()
    other = make_pod("web-2")
    kubernetes.kubelet.start()
    other.wait_running(120)
    assert other.read("secret1") == tutorial.SECRETS["secret1"]
    assert pod.read("secret1") == tutorial.SECRETS["secret1"]
    assert pod.container["restartCount"] == 0
    assert mounts.mount_at(pod.target()).path == identity.path
    emulator.set_secret("secret1", "rotated value")
    wait_until(lambda: pod.read("secret1") == "rotated value", 60, "rotation after the restart", pause=0.5)


def test_a_pod_deleted_while_the_kubelet_was_away_is_cleaned(kubernetes, make_class, make_pod, admin, namespace):
    make_class()
    pod = make_pod().wait_running()
    kubernetes.kubelet.kill()
    pod.delete(wait=False)
    kubernetes.kubelet.start()
    pod.wait_gone(120)
    pod.assert_node_is_clean()


def test_a_driver_upgrade_while_pods_start(kubernetes, installation, make_class, make_pod, namespace, emulator):
    make_class()
    kept = make_pod("kept").wait_running()
    with Traffic(kubernetes, namespace) as traffic:
        before = {pod["metadata"]["uid"] for pod in installation.pods(DRIVER)}
        installation.load_images("next")
        installation.apply_driver()
        installation.wait_rolled_out(DRIVER)
        traffic.wait_for_more()
    assert traffic.problems == []
    assert before.isdisjoint(pod["metadata"]["uid"] for pod in installation.pods(DRIVER)), "it was no upgrade"
    emulator.set_secret("secret1", "rotated value")
    wait_until(lambda: kept.read("secret1") == "rotated value", 60, "rotation by the new driver", pause=0.5)
    kept.delete()
    kept.assert_node_is_clean()


def test_a_provider_upgrade_while_pods_start(kubernetes, installation, make_class, namespace, admin):
    make_class()
    with Traffic(kubernetes, namespace) as traffic:
        before = {pod["metadata"]["uid"] for pod in installation.pods(PROVIDER)}
        installation.load_images("later")
        installation.apply_provider()
        installation.wait_rolled_out(PROVIDER)
        traffic.wait_for_more()
    assert traffic.problems == []
    assert before.isdisjoint(pod["metadata"]["uid"] for pod in installation.pods(PROVIDER)), "it was no upgrade"
    complaints = [event["message"] for event in admin.list("events", namespace)
                  if event["reason"] == "FailedMount" and "rpc error: " in event["message"]]
    assert complaints == [], "the new provider serves before the old one ends: not even a retry"


@pytest.fixture
def reinstalled(installation):
    """Whatever the test removes comes back."""
    yield installation
    installation.apply_driver()
    installation.wait_rolled_out(DRIVER)
    wait_until(installation.registered, 60, "the driver to be registered", pause=0.2)


def test_pods_that_end_while_the_driver_is_gone_are_cleaned_when_it_is_back(reinstalled, make_class, make_pod):
    """Their volumes cannot be torn down without the driver: the kubelet tries until it is back, and nothing is left."""
    make_class()
    ending, running = make_pod("ending").wait_running(), make_pod("running").wait_running()
    reinstalled.remove(DRIVER)
    wait_until(lambda: not reinstalled.registered(), 60, "the driver to be unregistered", pause=0.2)
    ending.delete(wait=False)
    assert running.read("secret1") == tutorial.SECRETS["secret1"], "a running pod keeps its files without the driver"
    wait_until(lambda: not ending.container or ending.container["state"].get("terminated"), 60, "the container to end", pause=0.2)
    reinstalled.apply_driver()
    reinstalled.wait_rolled_out(DRIVER)
    ending.wait_gone(150)
    ending.assert_node_is_clean(60)
    running.delete(timeout=120)
    running.assert_node_is_clean(60)


def test_a_driver_removed_while_pods_terminate(reinstalled, kubernetes, make_class, namespace):
    """`kubectl delete` of the DaemonSet and of ten pods at the same moment, and then a new installation."""
    make_class()
    pods = [UserPod(kubernetes, namespace, f"web-{number}", pod_spec()) for number in range(10)]
    for pod in pods:
        pod.wait_running(120)
    for pod in pods:
        pod.delete(wait=False)
    reinstalled.remove(DRIVER)
    reinstalled.apply_driver()
    reinstalled.wait_rolled_out(DRIVER)
    for pod in pods:
        pod.wait_gone(180)
    for pod in pods:
        pod.assert_node_is_clean(60)


def test_a_pod_waits_for_a_provider_that_comes_late(installation, make_class, make_pod):
    make_class()
    installation.remove(PROVIDER)
    pod = make_pod()
    wait_until(lambda: any("azure" in event["message"] for event in pod.failed_mounts()), 60, "the event", pause=0.2)
    installation.apply_provider()
    installation.wait_rolled_out(PROVIDER)
    assert pod.wait_running(150).read("secret1") == tutorial.SECRETS["secret1"]
