"""The driver's objects in the API while it works: status objects, Events, metrics, the kubelet's statistics."""

import pytest
from installation import DRIVER, SYSTEM
from node import NAME

from cluster import manifests
from harness import tutorial
from harness.process import wait_until

NODE_LABEL = "internal.secrets-store.csi.k8s.io/node-name"


def status_of(admin, pod, class_name="azure-kvname"):
    return admin.find("secretproviderclasspodstatuses", pod.namespace, f"{pod.name}-{pod.namespace}-{class_name}")


def test_a_pod_has_a_status_object_that_goes_with_it(make_class, make_pod, admin, kubectl, namespace):
    make_class()
    pod = make_pod().wait_running()
    item = wait_until(lambda: status_of(admin, pod), 30, "the status object", pause=0.1)
    assert item["metadata"]["labels"][NODE_LABEL] == NAME
    assert [(owner["kind"], owner["name"], owner["uid"]) for owner in item["metadata"]["ownerReferences"]] == [("Pod", "web", pod.uid)]
    status = item["status"]
    assert (status["podName"], status["secretProviderClassName"], status["mounted"]) == ("web", "azure-kvname", True)
    assert status["targetPath"] == str(pod.target())
    assert [entry["id"] for entry in status["objects"]] == ["secret/secret1", "secret/secret2"]
    assert item["metadata"]["name"] in kubectl("-n", namespace, "get", "secretproviderclasspodstatuses")
    pod.delete()
    wait_until(lambda: status_of(admin, pod) is None, 60, "the status object to be collected", pause=0.2)


def test_a_rotation_is_reported_in_the_status_and_an_event(make_class, make_pod, admin, emulator):
    make_class()
    pod = make_pod().wait_running()
    before = {entry["id"]: entry["version"] for entry in wait_until(lambda: status_of(admin, pod), 30, "status")["status"]["objects"]}
    version = emulator.set_secret("secret1", "rotated value")

    def rotated():
        now = {entry["id"]: entry["version"] for entry in status_of(admin, pod)["status"]["objects"]}
        return now == {**before, "secret/secret1": version}
    wait_until(rotated, 60, "the new version in the status", pause=0.3)
    assert pod.read("secret1") == "rotated value"
    wait_until(lambda: pod.events("MountRotationComplete"), 30, "the event", pause=0.2)


def test_a_failing_rotation_is_reported_and_the_pod_keeps_its_files(make_class, make_pod, admin, emulator):
    make_class()
    pod = make_pod().wait_running()
    wait_until(lambda: status_of(admin, pod), 30, "status")
    emulator.control("DELETE", f"/vaults/{tutorial.VAULT}/secrets/secret1")
    event = wait_until(lambda: pod.events("MountRotationFailed"), 60, "the event", pause=0.3)[0]
    assert event["type"] == "Warning" and "secret1" in event["message"]
    assert "secret1" in wait_until(lambda: status_of(admin, pod)["status"].get("lastError"), 30, "the error in the status", pause=0.2)
    assert pod.read("secret1") == tutorial.SECRETS["secret1"]
    assert pod.ready and pod.failed_mounts() == [], "the kubelet gets no error: old ones would remove the files"
    emulator.set_secret("secret1", "back again")
    wait_until(lambda: pod.read("secret1") == "back again", 90, "the new value", pause=0.5)
    wait_until(lambda: "lastError" not in status_of(admin, pod)["status"], 30, "the error to go", pause=0.3)


def test_a_quiet_pod_causes_no_writes(make_class, make_pod, kubernetes, admin):
    """Republished every few seconds, with nothing new: the API server hears nothing of it."""
    make_class()
    pod = make_pod().wait_running()
    wait_until(lambda: status_of(admin, pod), 30, "status")

    def published():
        log = kubernetes.kubectl("-n", SYSTEM, "logs", f"daemonset/{DRIVER}")
        return sum(pod.uid in line and '"publish"' in line for line in log.splitlines())
    first = published()
    since = len(kubernetes.server.events())
    wait_until(lambda: published() >= first + 3, 60, "three republishes", pause=0.5)
    writes = [event["verb"] for event in kubernetes.server.requests_of(manifests.DRIVER_USER, since)
              if event["objectRef"].get("namespace") == pod.namespace and event["verb"] != "get"]
    assert writes == []


def test_the_kubelet_knows_the_size_of_the_volume(make_class, make_pod, admin):
    make_class()
    pod = make_pod().wait_running()

    def volume():
        summary = admin.request("GET", f"/api/v1/nodes/{NAME}/proxy/stats/summary")
        volumes = [entry for item in summary["pods"] if item["podRef"]["uid"] == pod.uid for entry in item.get("volume", [])]
        return next((entry for entry in volumes if entry["name"] == "secrets" and entry.get("usedBytes")), None)
    found = wait_until(volume, 90, "the statistics", pause=1)
    assert 0 < found["usedBytes"] <= found["capacityBytes"]
    assert found["inodesUsed"] > 0


@pytest.mark.parametrize("name", ["node_publish_total", "node_unpublish_total", "rotation_reconcile_total"])
def test_the_metrics_are_served_where_they_always_were(installation, make_class, make_pod, kubernetes, name):
    make_class()
    pod = make_pod().wait_running()
    pod.delete()
    driver = installation.pods(DRIVER)[0]["metadata"]["name"]
    page = kubernetes.admin.request("GET", f"/api/v1/namespaces/{SYSTEM}/pods/{driver}:8095/proxy/metrics")
    assert f"\n{name}" in page or page.startswith(name), page[:2000]


def test_no_error_is_logged_while_pods_come_and_go(installation, make_class, make_pod, kubernetes):
    """The end-to-end suite of the driver in Go searches for this line; ours must have none of its kind, either."""
    make_class()
    pod = make_pod().wait_running()
    pod.delete()
    pod.assert_node_is_clean()
    lines = [line for line in installation.logs(DRIVER).splitlines() if line.startswith("E") and pod.uid in line]
    assert lines == []
