"""SecretProviderClassPodStatus objects: their contents, their cost in requests, and failing writes."""

import time

import grpc
import pytest

from harness import mounts, rpc
from harness.kube import NODE_LABEL, STATUSES, spc
from harness.process import wait_until
from harness.programs import metric_sum
from harness.rpc import CODES
from harness.scripted_provider import check_rotation, mount_response

ROTATE = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s")
NAME = "web-default-azure-kvname"
SECRET = [{"secretName": "s", "type": "Opaque", "data": [{"objectName": "file", "key": "k"}]}]


def test_a_mount_is_recorded_as_specified(node, start_in_cluster, cluster, scripted):
    scripted(lambda request, context: mount_response({"b": b"2", "a": b"1"}, versions={"z/b": "v2", "a": "v1"}))
    target = node.target()
    start_in_cluster().publish(rpc.publish_request(target))
    status = cluster.written_status()
    assert status["metadata"]["name"] == NAME
    assert status["metadata"]["labels"] == {NODE_LABEL: "node-1"}
    assert status["metadata"]["ownerReferences"] == [{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": rpc.POD_UID}]
    facts = {key: value for key, value in status["status"].items() if not key.startswith("last")}
    assert facts == {"podName": "web", "secretProviderClassName": "azure-kvname", "mounted": True, "targetPath": str(target),
                     "objects": [{"id": "a", "version": "v1"}, {"id": "z/b", "version": "v2"}]}
    assert set(status["status"]) - set(facts) == {"lastCheckedTime"}
    cluster.wait_for_requests([("POST", 201)])


def test_an_unchanged_republish_sends_no_request(node, start_in_cluster, cluster, scripted):
    provider = scripted()
    driver, request = start_in_cluster(*ROTATE), rpc.publish_request(node.target())
    driver.publish(request)
    cluster.wait_for_requests([("POST", 201)])
    for _ in range(3):
        check_rotation(driver, provider, request)
    assert cluster.requests(STATUSES) == [("POST", 201)]


def test_a_rotation_is_one_patch(node, start_in_cluster, cluster, scripted):
    provider = scripted()
    driver, request = start_in_cluster(*ROTATE), rpc.publish_request(node.target())
    driver.publish(request)
    cluster.wait_for_requests([("POST", 201)])
    provider.mount = lambda request, context: mount_response({"file": b"new"}, versions={"file": "v2"})
    check_rotation(driver, provider, request)
    cluster.wait_for_requests([("POST", 201), ("PATCH", 200)])
    status = cluster.status()["status"]
    assert status["objects"] == [{"id": "file", "version": "v2"}]
    assert "lastRotatedTime" in status
    check_rotation(driver, provider, request)
    assert cluster.requests(STATUSES) == [("POST", 201), ("PATCH", 200)]


def test_after_a_restart_a_rotation_check_is_one_get(node, start_in_cluster, cluster, scripted):
    provider = scripted()
    request = rpc.publish_request(node.target())
    driver = start_in_cluster(*ROTATE)
    driver.publish(request)
    cluster.wait_for_requests([("POST", 201)])
    driver.destroy()
    driver = start_in_cluster(*ROTATE, name="driver2")
    for _ in range(3):
        check_rotation(driver, provider, request)
    assert cluster.requests(STATUSES) == [("POST", 201), ("GET", 200)]


def test_without_rotation_a_missing_record_is_made_up_for_after_a_restart(node, start_in_cluster, cluster, scripted):
    """The API server was away when the volume was mounted, and the driver has been restarted since."""
    scripted()
    request = rpc.publish_request(node.target())
    driver = start_in_cluster()
    cluster.emulator.add_fault("status", service="kube", status=403, path_contains=STATUSES)
    driver.publish(request, timeout=30)
    driver.destroy()
    cluster.emulator.clear_faults()
    assert cluster.status() is None
    driver = start_in_cluster(name="driver2")
    for _ in range(3):
        driver.publish(request)
    cluster.wait_for_status(lambda status: status["metadata"]["ownerReferences"][0]["uid"] == rpc.POD_UID)
    cluster.emulator.reset_counters()
    driver.publish(request)
    assert cluster.requests(STATUSES) == []


def test_a_failing_rotation_check_shows_in_the_status_until_it_ends(node, start_in_cluster, cluster, scripted):
    provider = scripted()
    good = provider.mount

    def refuse(request, context):
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "the vault said no")
    driver, request = start_in_cluster(*ROTATE), rpc.publish_request(node.target())
    driver.publish(request)
    cluster.wait_for_requests([("POST", 201)])
    provider.mount = refuse
    check_rotation(driver, provider, request)
    cluster.wait_for_status(lambda status: "the vault said no" in status["status"].get("lastError", ""))
    assert cluster.status()["status"]["objects"]
    assert "lastErrorTime" in cluster.status()["status"]
    provider.mount = good
    cluster.add("secretproviderclasses", spc(refresh="now"))
    check_rotation(driver, provider, request)
    cluster.wait_for_status(lambda status: "lastError" not in status["status"] and "lastErrorTime" not in status["status"])
    assert cluster.requests(STATUSES) == [("POST", 201), ("PATCH", 200), ("PATCH", 200)]


def test_a_recreated_pod_takes_its_object_over_and_leaves_the_rest(node, start_in_cluster, cluster, scripted):
    """StatefulSet: the same name, another uid, and the garbage collector has not come by yet."""
    cluster.add(STATUSES, {"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClassPodStatus",
                           "metadata": {"name": NAME, "namespace": "default", "labels": {NODE_LABEL: "node-0", "team": "a"},
                                        "annotations": {"note": "b"}, "finalizers": ["example.com/f"],
                                        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "old"}]},
                           "status": {"podName": "web", "secretProviderClassName": "azure-kvname", "mounted": True,
                                      "targetPath": "/old", "objects": [{"id": "gone", "version": "v0"}], "lastError": "old",
                                      "lastRotatedTime": "2020-01-01T00:00:00Z"}})
    scripted()
    target = node.target()
    start_in_cluster().publish(rpc.publish_request(target))
    cluster.wait_for_requests([("POST", 409), ("GET", 200), ("PATCH", 200)])
    status = cluster.status()
    assert status["metadata"]["labels"] == {NODE_LABEL: "node-1", "team": "a"}
    assert status["metadata"]["annotations"] == {"note": "b"}
    assert status["metadata"]["finalizers"] == ["example.com/f"]
    assert status["metadata"]["ownerReferences"] == [{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": rpc.POD_UID}]
    assert status["status"]["targetPath"] == str(target)
    assert [item["id"] for item in status["status"]["objects"]] == ["file"]
    assert "lastError" not in status["status"] and "lastRotatedTime" not in status["status"]


@pytest.mark.parametrize("metadata", [{}, {"labels": None}, {"labels": {}}])
def test_an_object_without_labels_gets_one(node, start_in_cluster, cluster, scripted, metadata):
    cluster.add(STATUSES, {"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClassPodStatus",
                           "metadata": {"name": NAME, "namespace": "default", **metadata}})
    scripted()
    start_in_cluster().publish(rpc.publish_request(node.target()))
    cluster.wait_for_status(lambda status: status["metadata"].get("labels") == {NODE_LABEL: "node-1"})


def test_names_that_are_too_long_are_shortened(node, start_in_cluster, cluster, scripted):
    long_pod, long_class = "p" * 200, "c" * 200
    cluster.add("secretproviderclasses", spc(name=long_class))
    scripted()
    driver = start_in_cluster("--nodeid=" + "n" * 200)
    driver.publish(rpc.publish_request(node.target(), pod=long_pod, class_name=long_class))
    [status] = wait_until(lambda: cluster.all(STATUSES), what="the status object")
    assert len(status["metadata"]["name"]) <= 253
    assert len(status["metadata"]["labels"][NODE_LABEL]) == 63
    assert status["status"]["podName"] == long_pod
    assert status["status"]["secretProviderClassName"] == long_class


def test_two_pods_whose_names_make_one_have_an_object_each(node, start_in_cluster, cluster, scripted):
    """Pod a with class b-default-c, pod a-default-b with class c."""
    scripted()
    driver = start_in_cluster()
    for pod_name, class_name, uid in (("a", "b-default-c", rpc.POD_UID), ("a-default-b", "c", rpc.POD_UID.replace("1", "9"))):
        cluster.add("secretproviderclasses", spc(name=class_name))
        driver.publish(rpc.publish_request(node.target(uid), pod=pod_name, class_name=class_name, pod_uid=uid))
    wait_until(lambda: sorted(status["status"]["podName"] for status in cluster.all(STATUSES)) == ["a", "a-default-b"], what="an object for each")


def test_two_volumes_of_one_pod_share_an_object_in_peace(node, start_in_cluster, cluster, scripted):
    provider = scripted()
    driver = start_in_cluster(*ROTATE)
    requests = [rpc.publish_request(node.target(volume=volume), volume=volume) for volume in ("zebra", "ant")]
    for request in requests:
        driver.publish(request)
        cluster.written_status()
    for request in requests * 2:
        check_rotation(driver, provider, request)
    before = cluster.requests(STATUSES)
    for request in requests * 2:
        check_rotation(driver, provider, request)
    assert cluster.requests(STATUSES) == before
    assert len(cluster.all(STATUSES)) == 1
    assert cluster.status()["status"]["targetPath"] == str(node.target(volume="ant"))


def test_a_foreign_change_is_read_and_kept(node, start_in_cluster, cluster, scripted):
    provider = scripted()
    driver, request = start_in_cluster(*ROTATE), rpc.publish_request(node.target())
    driver.publish(request)
    status = cluster.written_status()
    status["metadata"]["annotations"] = {"seen": "yes"}
    del status["metadata"]["resourceVersion"]
    cluster.add(STATUSES, status)
    provider.mount = lambda request, context: mount_response({"file": b"new"}, versions={"file": "v2"})
    check_rotation(driver, provider, request)
    cluster.wait_for_requests([("POST", 201), ("PATCH", 409), ("GET", 200), ("PATCH", 200)])
    assert cluster.status()["metadata"]["annotations"] == {"seen": "yes"}
    assert cluster.status()["status"]["objects"] == [{"id": "file", "version": "v2"}]


def test_a_deleted_object_comes_back_with_the_next_change(node, start_in_cluster, cluster, scripted):
    provider = scripted()
    driver, request = start_in_cluster(*ROTATE), rpc.publish_request(node.target())
    driver.publish(request)
    cluster.written_status()
    cluster.remove(STATUSES, NAME)
    provider.mount = lambda request, context: mount_response({"file": b"new"}, versions={"file": "v2"})
    check_rotation(driver, provider, request)
    cluster.wait_for_status(lambda status: status["status"]["objects"] == [{"id": "file", "version": "v2"}])


@pytest.mark.parametrize("fault", [{"kind": "status", "status": 409}, {"kind": "status", "status": 410},
                                   {"kind": "status", "status": 429, "retry_after": 0}, {"kind": "status", "status": 500},
                                   {"kind": "status", "status": 503}, {"kind": "reset"}, {"kind": "close"}])
def test_a_write_that_fails_once_is_made_up_for(node, start_in_cluster, cluster, scripted, fault):
    scripted()
    driver = start_in_cluster()
    cluster.emulator.add_fault(**fault, service="kube", method="POST", path_contains=STATUSES, count=1)
    driver.publish(rpc.publish_request(node.target()), timeout=30)
    cluster.wait_for_status(lambda status: status["status"]["mounted"] is True)


@pytest.mark.parametrize("fault", [{"kind": "status", "status": 403}, {"kind": "status", "status": 404}])
def test_a_pod_that_needs_no_record_starts_without_one(node, start_in_cluster, cluster, scripted, fault):
    scripted()
    driver, target = start_in_cluster(), node.target()
    cluster.emulator.add_fault(**fault, service="kube", path_contains=STATUSES)
    driver.publish(rpc.publish_request(target), timeout=30)
    assert mounts.contents(target) == {"file": b"content"}
    wait_until(lambda: metric_sum(driver.metrics(), "record_error_total", recorder="status") >= 1, what="the failure to be counted")
    assert cluster.status() is None
    assert "the status of a volume cannot be written, the driver retries" in driver.log
    cluster.emulator.clear_faults()
    cluster.wait_for_status(lambda status: status["status"]["mounted"])  # written later, without a republish


def test_a_pod_that_needs_its_record_is_not_started_without_one(node, start_in_cluster, cluster, scripted):
    cluster.add("secretproviderclasses", spc(secret_objects=SECRET))
    scripted()
    driver, target = start_in_cluster(), node.target()
    cluster.emulator.add_fault("status", service="kube", status=403, path_contains=STATUSES)
    code, message = driver.publish_failure(rpc.publish_request(target), timeout=30)
    assert code == CODES.PERMISSION_DENIED
    assert "record the volume's status" in message
    assert not mounts.mount_at(target)
    cluster.emulator.clear_faults()
    driver.publish(rpc.publish_request(target))
    assert cluster.status() is not None


def test_a_silent_api_server_does_not_hold_up_a_rotation_check(node, start_in_cluster, cluster, scripted):
    provider = scripted()
    driver, request = start_in_cluster(*ROTATE), rpc.publish_request(node.target())
    driver.publish(request)
    cluster.written_status()
    provider.mount = lambda request, context: mount_response({"file": b"new"}, versions={"file": "v2"})
    cluster.emulator.add_fault("blackhole", service="kube", path_contains=STATUSES)
    started = time.monotonic()
    check_rotation(driver, provider, request)
    assert time.monotonic() - started < 8
    assert mounts.contents(node.target()) == {"file": b"new"}
    driver.unpublish(rpc.unpublish_request(node.target()), timeout=5)  # nor an unpublish
    cluster.emulator.clear_faults()


def test_a_driver_that_stops_finishes_its_write(node, start_in_cluster, cluster, scripted):
    provider = scripted()
    driver, request = start_in_cluster(*ROTATE), rpc.publish_request(node.target())
    driver.publish(request)
    cluster.written_status()
    provider.mount = lambda request, context: mount_response({"file": b"new"}, versions={"file": "v2"})
    cluster.emulator.add_fault("latency", service="kube", method="PATCH", path_contains=STATUSES, latency_ms=700)
    check_rotation(driver, provider, request)
    driver.destroy()
    assert cluster.status()["status"]["objects"] == [{"id": "file", "version": "v2"}]


def test_a_driver_that_stops_does_not_wait_for_a_silent_api_server(node, start_in_cluster, cluster, scripted):
    provider = scripted()
    driver, request = start_in_cluster(*ROTATE), rpc.publish_request(node.target())
    driver.publish(request)
    cluster.written_status()
    provider.mount = lambda request, context: mount_response({"file": b"new"}, versions={"file": "v2"})
    cluster.emulator.add_fault("blackhole", service="kube", method="PATCH", path_contains=STATUSES)
    check_rotation(driver, provider, request)
    started = time.monotonic()
    driver.destroy()
    assert time.monotonic() - started < 10
    cluster.emulator.clear_faults()


@pytest.mark.parametrize("secret_objects", [None, SECRET], ids=["without Secrets", "with Secrets"])
def test_a_mount_waits_for_a_slow_api_server_only_if_the_class_has_secrets(node, start_in_cluster, cluster, scripted, secret_objects):
    cluster.add("secretproviderclasses", spc(secret_objects=secret_objects))
    scripted()
    driver = start_in_cluster()
    cluster.emulator.add_fault("latency", service="kube", path_contains=STATUSES, latency_ms=1000)
    driver.publish(rpc.publish_request(node.target()))
    assert (cluster.status() is not None) == (secret_objects is not None)
    cluster.written_status()


def test_an_unpublished_volume_leaves_its_object_to_the_garbage_collector(node, start_in_cluster, cluster, scripted):
    scripted()
    driver, target = start_in_cluster(), node.target()
    driver.publish(rpc.publish_request(target))
    cluster.wait_for_requests([("POST", 201)])
    driver.unpublish(rpc.unpublish_request(target))
    assert cluster.requests(STATUSES) == [("POST", 201)]
    assert cluster.status() is not None


def test_nothing_is_listed_or_watched(node, start_in_cluster, cluster, scripted):
    scripted()
    driver = start_in_cluster(*ROTATE)
    for i in range(5):
        uid = rpc.POD_UID.replace("1", str(i))
        driver.publish(rpc.publish_request(node.target(uid), pod=f"web-{i}", pod_uid=uid))
    paths = [request["path"].split("?")[0] for request in cluster.emulator.requests("kube") if request["method"] == "GET"]
    assert paths and all(path.rsplit("/", 2)[1] in ("secretproviderclasses", STATUSES) for path in paths)
