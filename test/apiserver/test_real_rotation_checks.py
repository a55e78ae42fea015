"""Rotation checks in front of a real API server: how classes are read again, and the refresh that a class can request."""

from cluster.objects import spc
from harness import mounts
from harness.process import wait_until
from harness.programs import metric_sum
from harness.scripted_provider import mount_response

ANNOTATION = "secrets-store.csi.k8s.io/"


def class_reads(server, account, since):
    return [event["requestURI"] for event in server.requests_of(account.user, since)
            if event["objectRef"]["resource"] == "secretproviderclasses" and event["verb"] == "get"]


def test_a_class_is_read_again_from_the_servers_memory_and_an_edit_is_seen(start_cluster_driver, server, account, admin, namespace, make_pod, scripted):
    """A resourceVersion in a GET means "not older than that": the server may respond from its cache, and must not from an old one."""
    admin.create(spc(), namespace)
    provider = scripted()
    driver, pod = start_cluster_driver("--enable-secret-rotation=true", "--rotation-poll-interval=0"), make_pod()
    driver.publish(pod.publish_request())
    since = len(server.events())
    for number in range(5):
        colour = f"colour-{number}"
        admin.patch("secretproviderclasses", namespace, "azure-kvname", {"spec": {"parameters": {"colour": colour}}})
        driver.publish(pod.publish_request())
        seen = provider.attributes()["colour"]
        # the cache may lag a little behind the write, and then the next rotation check sees it; it never goes back
        assert seen in (colour, f"colour-{number - 1}", "green"), seen
    reads = class_reads(server, account, since)
    assert len(reads) == 5 and all("resourceVersion=" in uri for uri in reads), reads


def test_the_annotations_of_a_class_work_through_the_server(start_cluster_driver, admin, namespace, make_pod, scripted):
    admin.create(spc(), namespace)
    admin.patch("secretproviderclasses", namespace, "azure-kvname", {"metadata": {"annotations": {ANNOTATION + "rotation-poll-interval": "1h"}}})
    provider = scripted()
    driver, pod = start_cluster_driver("--enable-secret-rotation=true", "--rotation-poll-interval=0"), make_pod()
    driver.publish(pod.publish_request())
    driver.publish(pod.publish_request())
    assert len(provider.requests) == 1
    provider.mount = lambda request, context: mount_response({"file": b"new"}, versions={"file": "2"})
    admin.patch("secretproviderclasses", namespace, "azure-kvname", {"metadata": {"annotations": {ANNOTATION + "refresh": "now"}}})

    def refreshed():
        driver.publish(pod.publish_request())
        return mounts.contents(pod.target) == {"file": b"new"}
    wait_until(refreshed, what="the new content")
    assert len(provider.requests) == 2


def test_a_class_that_is_deleted_leaves_running_pods_their_files(start_cluster_driver, admin, namespace, make_pod, scripted):
    """The kubelet gets OK; status object, Event, log and metric report the missing class; with the class everything comes back."""
    admin.create(spc(), namespace)
    provider = scripted()
    driver, pod = start_cluster_driver("--enable-secret-rotation=true", "--rotation-poll-interval=0"), make_pod()
    driver.publish(pod.publish_request())
    admin.delete("secretproviderclasses", namespace, "azure-kvname")
    missing = f"failed to get secretproviderclass {namespace}/azure-kvname"

    def status():
        return admin.get("secretproviderclasspodstatuses", namespace, f"web-{namespace}-azure-kvname")["status"]

    def events():
        return [event for event in admin.list("events", namespace) if event["reason"] == "MountRotationFailed"]

    def class_missed():
        driver.publish(pod.publish_request())
        return metric_sum(driver.metrics(), "rotation_reconcile_error_total", error_type="SecretProviderClassNotFound") > 0
    wait_until(class_missed, what="the rotation check to miss the class")
    assert mounts.contents(pod.target) == {"file": b"content"}
    [error] = [line for line in driver.log.splitlines() if line.startswith("E")]
    assert missing in error and "not found" in error and f'pod="{namespace}/web"' in error
    wait_until(lambda: missing in status().get("lastError", ""), what="the error in the status")
    [event] = wait_until(events, what="the event")
    assert event["type"] == "Warning" and event["involvedObject"]["uid"] == pod.uid and missing in event["message"]

    other = make_pod("other")
    code, message = driver.publish_failure(other.publish_request())
    assert missing in message and message.endswith("not found"), message
    mounts.assert_no_trace(other.target)

    provider.mount = lambda request, context: mount_response({"file": b"new"}, versions={"file": "2"})
    admin.create(spc(), namespace)
    driver.publish(other.publish_request())  # the first mount of another pod sends a request of its own
    assert mounts.contents(other.target) == {"file": b"new"}
    driver.unpublish(pod.unpublish_request())
    mounts.assert_no_trace(pod.target)
