"""Events on pods: causes that the Events of the kubelet do not name. Their texts never hold a secret."""


import grpc
import pytest

from harness import mounts, rpc, tutorial
from harness.kube import spc
from harness.process import wait_until
from harness.programs import metric_sum
from harness.scripted_provider import HeldMount, check_rotation, mount_response

ROTATE = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s")


def events(cluster, reason=None):
    return [event for event in cluster.all("events") if reason in (None, event["reason"])]


def refuse(request, context):
    context.abort(grpc.StatusCode.PERMISSION_DENIED, "the vault said 100% no")


def test_a_rotation_check_that_fails_is_reported_with_its_cause(node, start_in_cluster, cluster, scripted):
    provider = scripted()
    driver, request = start_in_cluster(*ROTATE), rpc.publish_request(node.target())
    driver.publish(request)
    provider.mount = refuse
    check_rotation(driver, provider, request)
    [event] = wait_until(lambda: events(cluster, "MountRotationFailed"), what="the event")
    assert event["type"] == "Warning"
    assert event["source"] == {"component": "csi-secrets-store-rotation", "host": "node-1"}
    assert event["involvedObject"] == {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "web", "uid": rpc.POD_UID}
    assert "the vault said 100% no" in event["message"] and "azure-kvname" in event["message"]
    assert event["count"] == 1 and event["firstTimestamp"] and event["lastTimestamp"]
    # and in the three other places
    assert metric_sum(driver.metrics(), "rotation_reconcile_error_total") == 1
    assert "the vault said 100% no" in driver.log
    cluster.wait_for_status(lambda status: "the vault said 100% no" in status["status"].get("lastError", ""))


def test_the_same_failure_again_is_counted_up(node, start_in_cluster, cluster, scripted):
    provider = scripted()
    driver, request = start_in_cluster(*ROTATE), rpc.publish_request(node.target())
    driver.publish(request)
    provider.mount = refuse
    for i in range(3):
        cluster.add("secretproviderclasses", spc(refresh=f"try {i}"))
        check_rotation(driver, provider, request)
        wait_until(lambda count=i + 1: events(cluster) and events(cluster)[0]["count"] == count, what="the count")
    assert len(events(cluster)) == 1
    assert cluster.requests("events") == [("POST", 201), ("PATCH", 200), ("PATCH", 200)]


def test_a_rotation_is_reported_and_an_unchanged_rotation_check_is_not(node, start_in_cluster, cluster, scripted):
    provider = scripted(lambda request, context: mount_response({"file": b"canary-one"}))
    driver, request = start_in_cluster(*ROTATE), rpc.publish_request(node.target())
    driver.publish(request)
    check_rotation(driver, provider, request)
    assert events(cluster) == []
    provider.mount = lambda request, context: mount_response({"file": b"canary-two"}, versions={"file": "v2"})
    check_rotation(driver, provider, request)
    [event] = wait_until(lambda: events(cluster), what="the event")
    assert (event["type"], event["reason"]) == ("Normal", "MountRotationComplete")
    assert event["source"]["component"] == "csi-secrets-store-rotation"
    assert "canary" not in str(cluster.all("events")) + str(cluster.all("secretproviderclasspodstatuses"))


def test_what_a_provider_warns_of_is_reported_at_the_first_mount_and_counted_up(node, start_in_cluster, cluster, scripted):
    provider = scripted(lambda request, context: mount_response({"file": b"one"}, warnings=["the secret\nends today"]))
    driver, request = start_in_cluster(*ROTATE), rpc.publish_request(node.target())
    driver.publish(request)
    [event] = wait_until(lambda: events(cluster), what="the event")
    assert (event["type"], event["reason"], event["count"]) == ("Warning", "ProviderWarning", 1)
    assert event["source"]["component"] == "csi-secrets-store-controller"
    assert event["message"] == "the provider warns: SecretProviderClass azure-kvname: the secret ends today"
    assert "the secret ends today" in driver.log
    for count in (1, 2):  # of rotation checks, another component
        check_rotation(driver, provider, request)
        wait_until(lambda wanted=count: [event["count"] for event in events(cluster, "ProviderWarning")
                                         if event["source"]["component"] == "csi-secrets-store-rotation"] == [wanted], what="the count")
    assert events(cluster, "MountRotationComplete") == []


def test_no_text_of_a_provider_is_hidden_in_an_event_or_in_the_log(node, start_in_cluster, cluster, scripted):
    hidden = "a\u202e\u200b\x9bb"
    provider = scripted(lambda request, context: mount_response({"file": b"one"}, warnings=[hidden]))
    driver, request = start_in_cluster(*ROTATE), rpc.publish_request(node.target())
    driver.publish(request)
    [event] = wait_until(lambda: events(cluster), what="the event")
    assert event["message"].endswith(r": a\u202e\u200b\u009bb")
    provider.mount = lambda request, context: context.abort(grpc.StatusCode.INTERNAL, hidden)
    check_rotation(driver, provider, request)
    [event] = wait_until(lambda: events(cluster, "MountRotationFailed"), what="the event of the failure")
    assert r"a\u202e\u200b\u009bb" in event["message"]
    assert not set(hidden[1:-1]) & set(driver.log)


def azure_class(**more):
    values = {key: value for key, value in tutorial.attributes(("secret1",), **more).items() if "csi.storage" not in key}
    return spc(provider="azure", parameters=values)


def test_the_mistakes_of_a_class_are_one_event(node, start_in_cluster, cluster, azure):
    """Of several volumes, with rotation checks. Without the mistake there is none."""
    driver = start_in_cluster(*ROTATE)

    def publish(*volumes):
        for volume in volumes:
            request = rpc.publish_request(node.target(volume=volume), volume=volume)
            request.secrets.update(tutorial.CREDENTIALS)
            driver.publish(request)
            driver.publish(request)
    cluster.add("secretproviderclasses", azure_class())
    publish("a")
    cluster.add("secretproviderclasses", azure_class(usePodIdentiy="true"))
    publish("b", "c", "d")
    [event] = wait_until(lambda: events(cluster), what="the event")
    assert (event["type"], event["reason"], event["count"]) == ("Warning", "ProviderWarning", 1)
    assert event["message"] == ("the provider warns: SecretProviderClass azure-kvname: mistakes in the class: "
                                "unknown-parameter: usePodIdentiy is not known in spec.parameters, usePodIdentity is")
    cluster.add("secretproviderclasses", azure_class(useVmManagedIdentity="true"))
    publish("e", "f")
    wait_until(lambda: len(events(cluster)) == 2, what="the event of the other content")
    assert azure.log.count("mistakes that fail no mount") == 2


def test_an_annotation_that_is_no_duration_is_reported_once(node, start_in_cluster, cluster, scripted):
    scripted()
    body = spc()
    body["metadata"]["annotations"] = {"secrets-store.csi.k8s.io/rotation-poll-interval": "soon"}
    cluster.add("secretproviderclasses", body)
    driver, request = start_in_cluster("--enable-secret-rotation=true"), rpc.publish_request(node.target())
    for _ in range(5):
        driver.publish(request)
    [event] = wait_until(lambda: events(cluster), what="the event")
    assert (event["type"], event["reason"], event["count"]) == ("Warning", "RotationIntervalIgnored", 1)
    assert "'soon'" in event["message"] and "default/azure-kvname" in event["message"]


def test_a_provider_that_has_gone_is_reported(node, start_in_cluster, cluster, scripted):
    provider = scripted()
    driver, request = start_in_cluster(*ROTATE), rpc.publish_request(node.target())
    driver.publish(request)
    provider.stop()
    node.provider_socket("scripted").unlink(missing_ok=True)

    def reported():
        driver.publish(request, timeout=60)
        return events(cluster, "MountRotationFailed")
    [event] = wait_until(reported, timeout=30, what="the event")
    assert 'provider "scripted"' in event["message"]


def test_a_first_mount_that_fails_is_left_to_the_kubelet(node, start_in_cluster, cluster, scripted):
    scripted(refuse)
    start_in_cluster().publish_failure(rpc.publish_request(node.target()))
    assert events(cluster) == []


def test_a_first_mount_that_runs_out_of_time_is_reported_with_the_awaited_step(node, start_in_cluster, cluster, scripted):
    """The Event of the kubelet says only that a deadline has passed."""
    held = HeldMount()
    scripted(held)
    driver, request = start_in_cluster(), rpc.publish_request(node.target())
    first = driver.client.future(rpc.PUBLISH, request)
    held.wait_arrived()
    code, _ = driver.publish_failure(request, timeout=1)
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    [event] = wait_until(lambda: events(cluster, "MountTimedOut"), what="the event")
    assert event["source"]["component"] == "csi-secrets-store-controller"
    assert "still waits for another call for the same volume" in event["message"]
    held.release()
    first.result(timeout=20)


@pytest.mark.parametrize("fault", [{"kind": "status", "status": 403}, {"kind": "blackhole"}, {"kind": "status", "status": 500}])
def test_events_that_cannot_be_sent_hold_nothing_up(node, start_in_cluster, cluster, scripted, fault):
    provider = scripted()
    driver, target = start_in_cluster(*ROTATE), node.target()
    cluster.emulator.add_fault(**fault, service="kube", path_contains="/events")
    request = rpc.publish_request(target)
    driver.publish(request)
    provider.mount = lambda request, context: mount_response({"file": b"new"}, versions={"file": "v2"})
    check_rotation(driver, provider, request)
    assert mounts.contents(target) == {"file": b"new"}
    driver.unpublish(rpc.unpublish_request(target), timeout=5)
    cluster.emulator.clear_faults()
