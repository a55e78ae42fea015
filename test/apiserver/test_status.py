"""Status objects and Events with a real API server: validation, pruning, ownership, conflicts, restarts, and what many volumes cost."""

import copy

import grpc
import pytest

from cluster import manifests
from cluster.objects import spc
from harness import mounts
from harness.kube import NODE_LABEL
from harness.process import wait_until
from harness.scripted_provider import mount_response

STATUSES = "secretproviderclasspodstatuses"
CRD = f"{STATUSES}.secrets-store.csi.x-k8s.io"
ROTATE = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s")


def name_of(pod):
    return f"{pod.name}-{pod.namespace}-{pod.class_name}"


def status_of(admin, pod):
    return admin.find(STATUSES, pod.namespace, name_of(pod))


def written_status(admin, pod):
    """The object of a mount that does not wait for it."""
    return wait_until(lambda: status_of(admin, pod), what="the status object")


def writes(server, since, resource=STATUSES):
    return [(event["verb"], event["responseStatus"]["code"]) for event in server.requests_of(manifests.DRIVER_USER, since)
            if event["objectRef"]["resource"] == resource]


def check_rotation(driver, provider, pod):
    before = len(provider.requests)

    def checked():
        driver.publish(pod.publish_request())
        return len(provider.requests) > before
    wait_until(checked, 30, "a request to the provider", pause=0.05)


@pytest.fixture
def pod(admin, namespace, make_pod):
    admin.create(spc(), namespace)
    return make_pod()


def test_a_mount_is_recorded_and_a_rotation_patched(cluster_driver, start_cluster_driver, admin, server, pod, scripted):
    cluster_driver.destroy()
    provider = scripted()
    driver = start_cluster_driver(*ROTATE, name="driver2")
    since = len(server.events())
    driver.publish(pod.publish_request())
    status = written_status(admin, pod)
    assert status["metadata"]["labels"] == {NODE_LABEL: "node-1"}
    assert status["metadata"]["ownerReferences"] == [{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": pod.uid}]
    assert status["status"]["objects"] == [{"id": "file", "version": "v1"}]
    assert status["status"]["lastCheckedTime"]
    check_rotation(driver, provider, pod)
    assert status_of(admin, pod)["metadata"]["resourceVersion"] == status["metadata"]["resourceVersion"]
    provider.mount = lambda request, context: mount_response({"file": b"new"}, versions={"file": "v2"})
    check_rotation(driver, provider, pod)
    wait_until(lambda: status_of(admin, pod)["status"]["objects"] == [{"id": "file", "version": "v2"}], 10, "the new version")
    assert status_of(admin, pod)["status"]["lastRotatedTime"]
    wait_until(lambda: writes(server, since) == [("create", 201), ("patch", 200)], 10, "the audit log")


def test_a_failing_rotation_check_is_in_status_and_event_until_it_ends(start_cluster_driver, admin, namespace, pod, scripted):
    provider = scripted()
    good = provider.mount
    driver = start_cluster_driver(*ROTATE)
    driver.publish(pod.publish_request())
    written_status(admin, pod)
    provider.mount = lambda request, context: context.abort(grpc.StatusCode.PERMISSION_DENIED, "the vault said 100% no")
    check_rotation(driver, provider, pod)
    wait_until(lambda: "100% no" in status_of(admin, pod)["status"].get("lastError", ""), 10, "the error")

    def events():
        return [event for event in admin.list("events", namespace) if event["involvedObject"]["uid"] == pod.uid]
    [event] = wait_until(events, 10, "the event")
    assert (event["type"], event["reason"]) == ("Warning", "MountRotationFailed")
    assert "100% no" in event["message"]
    provider.mount = good
    admin.patch("secretproviderclasses", namespace, pod.class_name,
                {"metadata": {"annotations": {"secrets-store.csi.k8s.io/refresh": "now"}}})
    check_rotation(driver, provider, pod)
    wait_until(lambda: "lastError" not in status_of(admin, pod)["status"], 10, "the error to go")


@pytest.fixture
def pruning(admin):
    """The definition as other distributions have it: without our additional fields."""
    ours = admin.get("customresourcedefinitions", None, CRD)
    theirs = copy.deepcopy(ours)
    for version in theirs["spec"]["versions"]:
        fields = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
        for field in [field for field in fields if field.startswith("last")]:
            del fields[field]
    admin.update(theirs)
    probe = {"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClassPodStatus", "metadata": {"generateName": "probe-"},
             "status": {"podName": "probe", "lastError": "x"}}
    wait_until(lambda: "lastError" not in admin.create(probe, "default")["status"], 30, "the definition to be in force", pause=0.1)
    yield
    admin.update(dict(ours, metadata=admin.get("customresourcedefinitions", None, CRD)["metadata"]))
    wait_until(lambda: "lastError" in admin.create(probe, "default")["status"], 30, "our definition to be in force", pause=0.1)


def test_a_definition_that_prunes_our_fields_does_no_harm(start_cluster_driver, admin, server, namespace, pod, pruning, scripted):
    provider = scripted()
    driver = start_cluster_driver(*ROTATE)
    since = len(server.events())
    driver.publish(pod.publish_request())
    wait_until(lambda: writes(server, since) == [("create", 201)], what="the status object")
    since = len(server.events())
    for _ in range(3):
        check_rotation(driver, provider, pod)
    assert writes(server, since) == []
    status = status_of(admin, pod)
    assert not [field for field in status["status"] if field.startswith("last")]
    driver.destroy()
    driver = start_cluster_driver(*ROTATE, name="driver2")
    for _ in range(2):
        check_rotation(driver, provider, pod)
    wait_until(lambda: writes(server, since) == [("get", 200)], 10, "the audit log")
    assert status_of(admin, pod)["metadata"]["resourceVersion"] == status["metadata"]["resourceVersion"]


def own_status(admin, pod):
    status = status_of(admin, pod)
    return status if status and [owner["uid"] for owner in status["metadata"]["ownerReferences"]] == [pod.uid] else None


def test_the_object_goes_with_the_pod_and_a_recreated_pod_has_its_own(cluster_driver, admin, namespace, pod, make_pod, scripted):
    """A StatefulSet recreates its pod as fast as it can: the collector may come before, during or after the new pod's mount."""
    scripted()
    for _ in range(3):
        cluster_driver.publish(pod.publish_request())
        pod.delete()
        wait_until(lambda gone=pod: admin.find("pods", namespace, gone.name) is None, 30, "the pod to go", pause=0.01)
        successor = make_pod()
        cluster_driver.publish(successor.publish_request())
        status = wait_until(lambda pod=successor: own_status(admin, pod), what="the status object of the new pod")
        assert status["status"]["targetPath"] == str(successor.target)
        cluster_driver.unpublish(pod.unpublish_request())
        pod = successor
    pod.delete()
    wait_until(lambda: status_of(admin, pod) is None, 60, "the object to be collected", pause=0.1)


def test_names_at_the_limit_are_accepted(start_cluster_driver, admin, namespace, make_pod, scripted):
    scripted()
    admin.create(spc("c" * 253), namespace)
    pod = make_pod(name="p" * 253, class_name="c" * 253)
    start_cluster_driver("--nodeid=" + ".".join(["n" * 60] * 4)).publish(pod.publish_request())
    [status] = wait_until(lambda: admin.list(STATUSES, namespace), what="the status object")
    assert status["status"]["podName"] == pod.name


def test_a_server_that_dies_before_the_record_is_written_gets_it_later(cluster_driver, admin, server, pod, scripted):
    def mount(_request, _context):
        server.kill()
        return mount_response({"file": b"content"})
    scripted(mount)
    cluster_driver.publish(pod.publish_request(), timeout=60)
    assert mounts.contents(pod.target) == {"file": b"content"}
    server.start()
    wait_until(lambda: status_of(admin, pod), 60, "the status object to be written", pause=0.1)
    assert status_of(admin, pod)["status"]["objects"] == [{"id": "file", "version": "v1"}]


def test_others_may_write_at_any_time(start_cluster_driver, admin, namespace, pod, scripted):
    """A rival that never stops annotating: the driver's changes arrive, and none of the rival's is lost."""
    version = [0]

    def mount(_request, _context):
        version[0] += 1
        return mount_response({"file": str(version[0]).encode()}, versions={"file": str(version[0])})
    provider = scripted(mount)
    driver = start_cluster_driver(*ROTATE)
    driver.publish(pod.publish_request())
    written_status(admin, pod)
    for i in range(5):
        for rival in range(10):
            admin.patch(STATUSES, namespace, name_of(pod), {"metadata": {"annotations": {f"rival-{i}-{rival}": "yes"}}})
        check_rotation(driver, provider, pod)
    wait_until(lambda: status_of(admin, pod)["status"]["objects"] == [{"id": "file", "version": str(version[0])}], 20, "the last version")
    assert len(status_of(admin, pod)["metadata"]["annotations"]) == 50


@pytest.mark.slow
def test_two_hundred_volumes_cost_one_write_each_and_nothing_afterwards(start_cluster_driver, admin, server, namespace, make_pod, scripted):
    provider = scripted()
    admin.create(spc(), namespace)
    driver = start_cluster_driver(*ROTATE)
    pods = [make_pod(f"web-{i}") for i in range(200)]
    since = len(server.events())
    for pod in pods:
        driver.publish(pod.publish_request())
    wait_until(lambda: len(writes(server, since)) >= 200, 20, "the audit log", pause=0.1)
    assert writes(server, since) == [("create", 201)] * 200
    since = len(server.events())
    before = len(provider.requests)

    def checked():
        for pod in pods:
            driver.publish(pod.publish_request())
        return len(provider.requests) >= before + 600
    wait_until(checked, 60, "three rotation checks of each volume")
    assert writes(server, since) == [] and writes(server, since, "events") == []
