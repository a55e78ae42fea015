"""Sync to Kubernetes Secrets: what fails is reported, costs no mount, and is made good; against the emulator's Kubernetes API."""

import time

import pytest

from harness import mounts, rpc
from harness.process import wait_until
from harness.programs import Driver, Node, metric_sum
from harness.secret_sync import ROTATE, SyncedCluster, replica_set, secret_object, uid


def test_a_bad_entry_is_reported_and_the_others_are_synced(synced, provider, files):
    files["100%s"] = b"no key"
    synced.add_class(secret_object("first", data=[("missing", "key")]), secret_object("second"),
                      secret_object("third", type_="kubernetes.io/tls", data=[("100%s", "tls.key")]), secret_object("fourth"))
    synced.start()
    synced.publish()
    assert synced.data("second") == {"key": b"content"} and synced.data("fourth") == {"key": b"content"}
    assert synced.secret("first") is None and synced.secret("third") is None
    wait_until(lambda: len(synced.logged_sync_errors()) >= 2, what="two failures to be reported")
    messages = "\n".join(synced.logged_sync_errors())
    assert "secretproviderclass default/azure-kvname, secretObjects[0], Secret 'first'" in messages
    assert "(key 'key', file 'missing'): the volume has no such file (has: 100%s, file)" in messages
    assert "file '100%s'): no private key" in messages  # no format string
    events = wait_until(lambda: len(synced.events()) >= 2 and synced.events(), what="two events")
    assert sorted(event["message"] for event in events) == sorted(synced.logged_sync_errors())
    for event in events:
        assert event["type"] == "Warning" and event["source"]["component"] == "csi-secrets-store-controller"
        assert event["involvedObject"]["name"] == "web" and event["involvedObject"]["uid"] == uid(1)
    metrics = synced.driver.metrics()
    assert metric_sum(metrics, "sync_k8s_secret_error_total", provider="scripted") == 2
    assert metric_sum(metrics, "sync_k8s_secret_total", provider="scripted", os_type="linux") == 2
    assert metric_sum(metrics, "k8s_secret_duration_sec_count", os_type="linux") == 1


def test_a_bad_data_entry_keeps_its_key_and_the_others_follow_the_files(synced, provider, files):
    """The file of one key vanishes while another one rotates; then it comes back."""
    files["two"] = b"2"
    synced.add_class(secret_object(data=[("file", "key"), ("two", "two"), ("never", "never"), ("file", "bad key")]))
    synced.start(*ROTATE)
    request = synced.publish()
    assert synced.data() == {"key": b"content", "two": b"2"}
    wait_until(lambda: len(synced.events()) >= 2, what="two events")
    messages = [event["message"] for event in synced.events()]
    assert any("data[2] (key 'never', file 'never'): the volume has no such file (has: file, two)" in message for message in messages)
    assert any("data[3] (key 'bad key', file 'file'): a key of a Secret consists of" in message for message in messages)
    del files["two"]
    files["file"] = b"rotated"
    synced.check_rotation(request, provider, 2)
    wait_until(lambda: synced.data() == {"key": b"rotated", "two": b"2"}, what="the rotated key beside the kept one")
    files["two"] = b"3"
    synced.check_rotation(request, provider, 2)
    wait_until(lambda: synced.data() == {"key": b"rotated", "two": b"3"}, what="the key whose file is back")
    synced.emulator.reset_counters()
    synced.check_rotation(request, provider, 4)
    assert synced.secret_requests() == []


@pytest.mark.parametrize("type_, first", [("example.org/x", {"key": b"content", "two": b"2"}), ("kubernetes.io/basic-auth", None)])
def test_a_typed_secret_is_written_whole_or_not_at_all(synced, provider, files, type_, first):
    if first is not None:
        files["two"] = b"2"
    synced.add_class(secret_object(type_=type_, data=[("file", "key"), ("two", "two")]))
    synced.start(*ROTATE)
    request = synced.publish()
    assert synced.data() == first
    files.pop("two", None)
    files["file"] = b"rotated"
    synced.check_rotation(request, provider, 2)
    wait_until(synced.events, what="an event")
    assert synced.data() == first


def test_secret_name_and_type_that_are_indented_too_far_are_recognized(synced, provider):
    """The API server prunes what does not belong to an entry of `data`, so neither is there."""
    synced.add_class({"data": [{"key": "key", "objectName": "file"}]})
    synced.start()
    synced.publish()
    wait_until(synced.events, what="an event")
    assert "if they are indented like the entries of data, move them to the level of data" in synced.events()[0]["message"]


def test_a_failure_that_stays_the_same_is_reported_once(synced, provider):
    synced.add_class(secret_object(data=[("missing", "key")]))
    synced.start(*ROTATE)
    request = synced.publish()
    synced.check_rotation(request, provider, 3)
    wait_until(lambda: metric_sum(synced.driver.metrics(), "sync_k8s_secret_error_total") >= 4, what="four failures")
    assert synced.driver.log.count("a Kubernetes Secret could not be synced") == 1
    assert [event.get("count", 1) for event in synced.events()] == [1]


def test_without_rights_the_mount_succeeds_and_the_hint_names_the_role(synced, provider):
    synced.add_class(secret_object())
    synced.emulator.add_fault("status", service="kube", status=403, path_contains="/default/secrets")
    synced.start()
    request = synced.publish()
    assert mounts.contents(request.target_path) == {"file": b"content"}
    wait_until(synced.logged_sync_errors, what="the failure to be reported")
    assert "secretprovidersyncing-role" in synced.logged_sync_errors()[0]
    assert "syncSecret.enabled=true" in synced.driver.log
    synced.emulator.clear_faults()
    wait_until(lambda: synced.data() == {"key": b"content"}, timeout=20, what="the Secret, once it is allowed")


@pytest.mark.parametrize("kind, rule", [("blackhole", {}), ("status", {"status": 503}), ("reset", {})])
def test_an_api_server_that_is_away_delays_the_mount_little_and_the_secret_follows(synced, provider, kind, rule):
    synced.add_class(secret_object())
    synced.start()
    synced.emulator.add_fault(kind, service="kube", path_contains="/default/secrets", **rule)
    begun = time.monotonic()
    request = synced.publish()
    assert time.monotonic() - begun < 10
    assert mounts.contents(request.target_path) == {"file": b"content"}
    assert synced.secret() is None
    synced.emulator.clear_faults()
    wait_until(lambda: synced.data() == {"key": b"content"}, timeout=30, what="the Secret, once the API server responds")


def test_conflicts_are_resolved_by_reading_again(synced, provider, files):
    synced.add_class(secret_object())
    synced.start(*ROTATE)
    request = synced.publish()
    synced.emulator.add_fault("status", service="kube", status=409, method="PATCH", path_contains="/default/secrets/", count=3)
    files["file"] = b"rotated"

    def rotated():
        synced.driver.publish(request)
        return synced.data() == {"key": b"rotated"}
    wait_until(rotated, timeout=20, what="the rotation")
    assert len(synced.secret_requests("PATCH")) == 4


def test_two_nodes_that_create_at_once_end_with_both_owners(synced, provider, scratch):
    (scratch / "second").mkdir()
    second = Node(scratch / "second")
    synced.add_class(secret_object())
    synced.start()
    other = SyncedCluster(synced.emulator, second, None)
    other.driver = Driver(second, (f"--kubeconfig={synced.emulator.kubeconfig}", f"--provider-volume={synced.node.providers}"),
                          standalone=False, name="driver-b")
    try:
        synced.add_pod("api", 2, owners=[replica_set("api-1", 901)])
        synced.emulator.add_fault("latency", service="kube", method="POST", path_contains="/default/secrets", latency_ms=200)
        one = synced.driver.client.future(rpc.PUBLISH, synced.request())
        two = other.driver.client.future(rpc.PUBLISH, other.request(name="api", number=2))
        one.result(30), two.result(30)
        wait_until(lambda: sorted(synced.owners()) == [uid(900), uid(901)], timeout=15, what="both owners")
        assert synced.data() == {"key": b"content"}
    finally:
        other.driver.destroy()


def test_an_unpublish_ends_the_sync(synced, provider):
    synced.add_class(secret_object())
    synced.emulator.add_fault("status", service="kube", status=403, path_contains="/default/secrets")
    synced.start()
    request = synced.publish()
    wait_until(lambda: len(synced.secret_requests()) >= 2, timeout=15, what="a second try")
    synced.unpublish(request)
    synced.emulator.clear_faults()
    synced.emulator.reset_counters()
    # another volume's sync comes and goes; that of the first does not
    synced.add_pod("web-b", 2)
    synced.add_class(secret_object("other"), name="b")
    synced.publish(name="web-b", number=2, class_name="b")
    time.sleep(3)  # longer than the pause before the next try
    assert synced.secret() is None
    assert {r["path"].rsplit("/", 1)[1] for r in synced.secret_requests()} == {"other", "secrets"}


def test_a_secret_too_large_is_reported_with_its_size(synced, provider, files):
    files["big"] = b"x" * (1024 * 1024 + 1)
    synced.add_class(secret_object(data=[("big", "key")]), secret_object("other"))
    synced.start("--max-call-recv-msg-size=8388608")
    synced.publish()
    wait_until(synced.logged_sync_errors, what="the failure to be reported")
    assert "a Kubernetes Secret holds at most 1048576" in synced.logged_sync_errors()[0]
    assert synced.data("other") == {"key": b"content"}
