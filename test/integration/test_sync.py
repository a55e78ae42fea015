"""Sync to Kubernetes Secrets: secretObjects of a class, against the emulator's Kubernetes API."""

import base64
import json
import subprocess
import time

import pytest

from harness import mounts, rpc
from harness.memory import memory_contains
from harness.process import wait_until
from harness.programs import Driver, Node, metric_sum
from harness.scripted_provider import answer
from harness.synced import (  # noqa: F401
    CLAIMS, MANAGED, ROTATE, Cluster, cluster, files, provider, replica_set, secret_object, spc, uid)

# --- what a Secret holds ---

@pytest.mark.parametrize("type_, keys", [
    ("Opaque", ["key"]), ("kubernetes.io/basic-auth", ["username", "password"]), ("bootstrap.kubernetes.io/token", ["token-id"]),
    ("kubernetes.io/dockerconfigjson", [".dockerconfigjson"]), ("kubernetes.io/dockercfg", [".dockercfg"]),
    ("kubernetes.io/ssh-auth", ["ssh-privatekey"]), ("kubernetes.io/service-account-token", ["extra"]), ("example.org/own", ["key"])])
def test_a_secret_of_any_type_is_there_when_the_publish_answers(cluster, provider, files, type_, keys):
    """So that a pod which takes its environment from it starts without a retry of the kubelet."""
    files.update({"nested/bar": b"\x00\xff binary", "file": b"{}"})
    cluster.add_class(secret_object(type_=type_, data=[("nested/bar" if i else "file", key) for i, key in enumerate(keys)]))
    cluster.start()
    cluster.publish()
    assert cluster.secret()["type"] == type_
    assert cluster.data() == {key: (b"\x00\xff binary" if i else b"{}") for i, key in enumerate(keys)}


def openssl(directory, *words):
    return subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True).stdout


@pytest.mark.parametrize("form", ["pem", "pfx"])
@pytest.mark.parametrize("key", ["rsa:2048", "ec"])
def test_a_tls_secret_is_split_out_of_one_file(cluster, provider, files, scratch, form, key):
    more = ["-pkeyopt", "ec_paramgen_curve:P-384"] if key == "ec" else []
    openssl(scratch, "req", "-x509", "-newkey", key, *more, "-nodes", "-keyout", "key", "-out", "crt", "-subj", "/CN=x", "-days", "2")
    if form == "pfx":
        files["bundle"] = openssl(scratch, "pkcs12", "-export", "-passout", "pass:", "-inkey", "key", "-in", "crt")
    else:
        files["bundle"] = (scratch / "key").read_bytes() + (scratch / "crt").read_bytes()
    wanted = openssl(scratch, "ec", "-in", "key") if key == "ec" else openssl(scratch, "rsa", "-traditional", "-in", "key")
    cluster.add_class(secret_object(type_="kubernetes.io/tls", data=[("bundle", "tls.crt"), ("bundle", "tls.key")]))
    cluster.start()
    cluster.publish()
    assert cluster.data() == {"tls.crt": (scratch / "crt").read_bytes(), "tls.key": wanted}


def test_labels_annotations_and_owner(cluster, provider):
    cluster.add_class(secret_object(labels={"environment": "test", MANAGED: "no"}, annotations={"a/b": "c"}))
    cluster.start()
    cluster.publish()
    metadata = cluster.secret()["metadata"]
    assert metadata["labels"] == {"environment": "test", MANAGED: "true"}
    claims = json.loads(metadata["annotations"].pop(CLAIMS))
    assert metadata["annotations"] == {"a/b": "c"}
    assert claims == {"azure-kvname": {"labels": ["environment"], "annotations": ["a/b"], "data": ["key"]}}
    # reduced: neither controller nor blockOwnerDeletion, which would need rights on the owner
    assert metadata["ownerReferences"] == [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": uid(900)}]
    # data, labels and owners came in one write
    assert [r["method"] for r in cluster.secret_requests()] == ["GET", "POST"]


def test_a_class_without_secret_objects_costs_no_request(cluster, provider):
    cluster.add_class()
    cluster.start()
    cluster.publish()
    assert cluster.secret_requests() == []
    assert not [r for r in cluster.emulator.requests("kube") if "/pods" in r["path"]]


# --- steady state ---

def test_unchanged_content_writes_nothing_and_asks_nothing(cluster, provider):
    cluster.add_class(secret_object(), secret_object("other"))
    cluster.start(*ROTATE)
    request = cluster.publish()
    version = cluster.secret()["metadata"]["resourceVersion"]
    cluster.emulator.reset_counters()
    cluster.looks(request, provider, 3)
    assert cluster.secret()["metadata"]["resourceVersion"] == version
    assert cluster.secret_requests() == []


def test_a_check_reads_and_does_not_write(cluster, provider):
    cluster.add_class(secret_object())
    cluster.start("--secret-sync-check-interval=1s")
    cluster.publish()
    cluster.emulator.reset_counters()
    wait_until(lambda: len(cluster.secret_requests("GET")) >= 3, timeout=20, what="three checks")
    assert cluster.secret_requests("POST", "PUT", "PATCH", "DELETE") == []


def test_pods_that_share_a_secret_do_not_write_it_again(cluster, provider):
    cluster.add_class(secret_object())
    cluster.start()
    cluster.publish()
    for number in range(2, 12):
        cluster.add_pod(f"web-{number}", number)
        cluster.publish(name=f"web-{number}", number=number)
    assert len(cluster.secret_requests("POST", "PUT", "PATCH", "DELETE")) == 1
    assert cluster.owners() == [uid(900)]


# --- rotation ---

def test_a_rotation_reaches_the_secret_and_sends_only_what_changed(cluster, provider, files):
    files["second"] = b"stays"
    cluster.add_class(secret_object(data=[("file", "key"), ("second", "other")]))
    cluster.start(*ROTATE)
    request = cluster.publish()
    cluster.emulator.reset_counters()
    files["file"] = b"rotated"

    def rotated():
        cluster.driver.publish(request)
        return cluster.data() == {"key": b"rotated", "other": b"stays"}
    wait_until(rotated, timeout=15, what="the new value in the Secret")
    assert [r["method"] for r in cluster.secret_requests()] == ["GET", "PATCH"]
    assert cluster.owners() == [uid(900)]
    wait_until(lambda: cluster.events("SecretRotationComplete"), what="the event")


def test_an_edit_of_the_class_reaches_the_secret(cluster, provider, files):
    files["second"] = b"2"
    cluster.add_class(secret_object(labels={"old": "1", "kept": "x"}))
    cluster.start(*ROTATE)
    request = cluster.publish()
    cluster.add_class(secret_object(data=[("second", "renamed")], labels={"kept": "y"}), secret_object("added"))

    def edited():
        cluster.driver.publish(request)
        return cluster.data("added") == {"key": b"content"} and cluster.data() == {"renamed": b"2"}
    wait_until(edited, timeout=15, what="the edit")
    assert cluster.secret()["metadata"]["labels"] == {"kept": "y", MANAGED: "true"}


# --- who a Secret belongs to ---

@pytest.mark.slow
def test_without_rotation_the_first_secret_objects_of_a_class_are_noticed(cluster, provider):
    """After twelve checks at most: the pod that runs is not looked at in any other way."""
    cluster.add_class()
    cluster.start("--secret-sync-check-interval=1s")
    cluster.publish()
    assert cluster.secret_requests() == []
    cluster.add_class(secret_object())
    wait_until(lambda: cluster.data() == {"key": b"content"}, timeout=20, what="the Secret")
    cluster.emulator.control("DELETE", "/kube/secretproviderclasses/default/azure-kvname")
    cluster.emulator.reset_counters()
    wait_until(lambda: [r["status"] for r in cluster.emulator.requests("kube") if "/azure-kvname" in r["path"]], what="a look at the class")
    cluster.delete_secret()
    cluster.add_class(secret_object())
    wait_until(lambda: cluster.data() == {"key": b"content"}, timeout=20, what="the Secret to come back with its class")
    assert len(provider.requests) == 1


def test_two_deployments_share_a_secret(cluster, provider):
    cluster.add_class(secret_object())
    cluster.start(*ROTATE, "--secret-sync-check-interval=1s")
    cluster.publish()
    cluster.add_pod("api", 2, owners=[replica_set("api-1", 901)])
    request = cluster.publish(name="api", number=2)
    assert cluster.owners() == [uid(900), uid(901)]
    # one deployment goes: the garbage collector takes its reference away, and nobody puts it back or drops the other
    cluster.unpublish(cluster.request())
    secret = cluster.secret()
    cluster.put_secret(type=secret["type"], data=secret["data"], labels=secret["metadata"]["labels"],
                       annotations=secret["metadata"]["annotations"], owners=[secret["metadata"]["ownerReferences"][1]])
    cluster.emulator.reset_counters()
    cluster.looks(request, provider, 2)
    wait_until(lambda: len(cluster.secret_requests("GET")) >= 2, what="two checks")
    assert cluster.owners() == [uid(901)]
    assert cluster.secret_requests("POST", "PUT", "PATCH", "DELETE") == []


def test_an_owner_of_the_same_name_but_another_uid_is_added(cluster, provider):
    cluster.add_class(secret_object())
    cluster.start()
    cluster.publish()
    cluster.add_pod("web-b", 2, owners=[replica_set("web-1", 901)])
    cluster.publish(name="web-b", number=2)
    assert cluster.owners() == [uid(900), uid(901)]


def test_what_others_put_into_a_secret_stays(cluster, provider, files):
    cluster.add_class(secret_object(labels={"mine": "1"}))
    cluster.start(*ROTATE)
    request = cluster.publish()
    secret = cluster.secret()
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": uid(77), "controller": True}
    secret["metadata"]["labels"]["theirs"] = "2"
    secret["metadata"]["annotations"] = {"tool": "z"}
    secret["metadata"]["finalizers"] = ["example.org/hold"]
    secret["metadata"]["ownerReferences"].insert(0, foreign)
    cluster.emulator.put_object("secrets", "default", "synced", secret)
    files["file"] = b"rotated"

    def rotated():
        cluster.driver.publish(request)
        return cluster.data() == {"key": b"rotated"}
    wait_until(rotated, timeout=15, what="the rotation")
    metadata = cluster.secret()["metadata"]
    assert metadata["labels"] == {"mine": "1", "theirs": "2", MANAGED: "true"}
    assert {key: value for key, value in metadata["annotations"].items() if key != CLAIMS} == {"tool": "z"}
    assert metadata["finalizers"] == ["example.org/hold"]
    assert metadata["ownerReferences"][0] == foreign and cluster.owners() == [uid(77), uid(900)]


def test_namespaces_are_apart(cluster, provider):
    """A class of the same name with a provider that does not exist, in another namespace."""
    cluster.add_class(secret_object(), namespace="test-ns")
    cluster.emulator.put_object("secretproviderclasses", "default", "azure-kvname", {
        **spc([secret_object()]), "spec": {"provider": "invalid", "parameters": {"a": "b"}, "secretObjects": [secret_object()]}})
    cluster.add_pod("web", 2, namespace="test-ns")
    cluster.start()
    cluster.driver.publish_failure(cluster.request(), timeout=10)
    cluster.publish(number=2, namespace="test-ns")
    assert cluster.data(namespace="test-ns") == {"key": b"content"}
    assert cluster.owners(namespace="test-ns") == [uid(900)]
    assert cluster.secret() is None


def test_a_bare_pod_with_two_volumes_owns_its_secrets_by_status_objects(cluster, provider):
    cluster.add_pod(owners=[])
    cluster.add_class(secret_object("one"), name="first")
    cluster.add_class(secret_object("two"), name="second")
    for class_name in ("first", "second"):
        cluster.add_status(f"web-default-{class_name}")
    cluster.start()
    cluster.publish(class_name="first", volume="a")
    cluster.publish(class_name="second", volume="b")
    status = {item["metadata"]["name"]: item["metadata"]["uid"] for item in cluster.all("secretproviderclasspodstatuses")}
    for name, class_name in (("one", "first"), ("two", "second")):
        reference = {"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClassPodStatus",
                     "name": f"web-default-{class_name}", "uid": status[f"web-default-{class_name}"]}
        assert cluster.secret(name)["metadata"]["ownerReferences"] == [reference]


def test_a_status_object_that_is_deleted_comes_back_and_the_secret_with_it(cluster, provider):
    """The garbage collector takes the Secret of a bare pod along with its status object: both have to come back without a change."""
    cluster.add_pod(owners=[])
    cluster.add_class(secret_object())
    cluster.start(*ROTATE, "--secret-sync-check-interval=1s")
    request = cluster.publish()
    old = cluster.owners()
    cluster.emulator.control("DELETE", "/kube/secretproviderclasspodstatuses/default/web-default-azure-kvname")
    cluster.delete_secret()

    def back():
        """The Secret may come back first, owned by the object that is gone: the collector would take it once more."""
        cluster.driver.publish(request)
        status = [item["metadata"]["uid"] for item in cluster.all("secretproviderclasspodstatuses")]
        return status and status != old and cluster.data() == {"key": b"content"} and set(status) <= set(cluster.owners())
    wait_until(back, timeout=30, what="status object and Secret to come back")


def test_a_pod_of_the_same_name_that_came_later_does_not_get_the_secret(cluster, provider):
    cluster.add_pod("again", number=5)
    cluster.add_class(secret_object())
    cluster.start()
    cluster.publish(name="again", number=4)
    assert cluster.secret() is None
    assert cluster.secret_requests() == []


# --- Secrets that are not as they should be ---

def test_a_deleted_secret_comes_back_without_rotation(cluster, provider):
    cluster.add_class(secret_object())
    cluster.start("--secret-sync-check-interval=1s")
    cluster.publish()
    cluster.delete_secret()
    wait_until(lambda: cluster.data() == {"key": b"content"}, timeout=15, what="the Secret to come back")
    assert cluster.owners() == [uid(900)]
    assert len(provider.requests) == 1


def test_a_new_pod_gets_a_secret_that_was_deleted_a_moment_ago(cluster, provider):
    cluster.add_class(secret_object())
    cluster.start()
    cluster.publish()
    cluster.delete_secret()
    cluster.add_pod("web-b", 2)
    cluster.publish(name="web-b", number=2)
    assert cluster.data() == {"key": b"content"}


def test_a_check_does_not_put_old_data_over_newer_but_a_look_does_what_the_provider_says(cluster, provider):
    """Another node may have written what this one has not fetched yet."""
    cluster.add_class(secret_object())
    cluster.start("--enable-secret-rotation=true", "--rotation-poll-interval=1h", "--secret-sync-check-interval=1s")
    cluster.publish()
    secret = cluster.secret()
    newer = {"key": base64.b64encode(b"newer").decode()}
    cluster.put_secret(type="Opaque", data=newer, owners=secret["metadata"]["ownerReferences"])  # and without labels
    wait_until(lambda: cluster.secret()["metadata"].get("labels") == {MANAGED: "true"}, timeout=15, what="the label to be restored")
    cluster.emulator.reset_counters()
    wait_until(lambda: len(cluster.secret_requests("GET")) >= 2, timeout=15, what="two more checks")
    assert cluster.data() == {"key": b"newer"}
    cluster.driver.destroy()
    cluster.start(*ROTATE, "--secret-sync-check-interval=1s", name="driver2")
    request = cluster.request()

    def repaired():
        cluster.driver.publish(request)
        return cluster.data() == {"key": b"content"}
    wait_until(repaired, timeout=15, what="the look to repair the data")


def test_a_secret_of_somebody_else_is_left_alone_until_it_is_handed_over(cluster, provider):
    theirs = {"password": base64.b64encode(b"theirs").decode()}
    cluster.put_secret(type="Opaque", data=theirs)
    cluster.add_class(secret_object())
    cluster.start("--secret-sync-check-interval=1s")
    cluster.publish()
    wait_until(cluster.told, what="the failure to be told")
    assert "made by somebody else" in cluster.told()[0]
    assert cluster.data() == {"password": b"theirs"} and cluster.owners() == []
    cluster.put_secret(type="Opaque", data=theirs, labels={MANAGED: "true"})
    wait_until(lambda: cluster.owners() == [uid(900)], timeout=15, what="the Secret to be taken over")


def test_a_type_that_can_not_be_changed_is_told(cluster, provider):
    cluster.put_secret(type="kubernetes.io/basic-auth", data={"username": "eA=="}, labels={MANAGED: "true"})
    cluster.add_class(secret_object())
    cluster.start()
    cluster.publish()
    wait_until(cluster.told, what="the failure to be told")
    assert "exists with type 'kubernetes.io/basic-auth', the class says 'Opaque'" in cluster.told()[0]
    assert cluster.secret_requests("POST", "PUT", "PATCH", "DELETE") == []


# --- failures ---

def test_a_bad_entry_is_reported_and_the_others_are_synced(cluster, provider, files):
    files["100%s"] = b"no key"
    cluster.add_class(secret_object("first", data=[("missing", "key")]), secret_object("second"),
                      secret_object("third", type_="kubernetes.io/tls", data=[("100%s", "tls.key")]), secret_object("fourth"))
    cluster.start()
    cluster.publish()
    assert cluster.data("second") == {"key": b"content"} and cluster.data("fourth") == {"key": b"content"}
    assert cluster.secret("first") is None and cluster.secret("third") is None
    wait_until(lambda: len(cluster.told()) >= 2, what="two failures to be told")
    messages = "\n".join(cluster.told())
    assert "secretproviderclass default/azure-kvname, secretObjects[0], Secret 'first'" in messages
    assert "(key 'key', file 'missing'): the volume has no such file" in messages
    assert "file '100%s'): no private key" in messages  # no format string
    events = wait_until(lambda: len(cluster.events()) >= 2 and cluster.events(), what="two events")
    assert sorted(event["message"] for event in events) == sorted(cluster.told())
    for event in events:
        assert event["type"] == "Warning" and event["source"]["component"] == "csi-secrets-store-controller"
        assert event["involvedObject"]["name"] == "web" and event["involvedObject"]["uid"] == uid(1)
    metrics = cluster.driver.metrics()
    assert metric_sum(metrics, "sync_k8s_secret_error_total", provider="scripted") == 2
    assert metric_sum(metrics, "sync_k8s_secret_total", provider="scripted", os_type="linux") == 2
    assert metric_sum(metrics, "k8s_secret_duration_sec_count", os_type="linux") == 1


def test_a_failure_that_stays_the_same_is_told_once(cluster, provider):
    cluster.add_class(secret_object(data=[("missing", "key")]))
    cluster.start(*ROTATE)
    request = cluster.publish()
    cluster.looks(request, provider, 3)
    wait_until(lambda: metric_sum(cluster.driver.metrics(), "sync_k8s_secret_error_total") >= 4, what="four failures")
    assert cluster.driver.log.count("a Kubernetes Secret could not be synced") == 1
    assert [event.get("count", 1) for event in cluster.events()] == [1]


def test_without_rights_the_mount_succeeds_and_the_hint_names_the_role(cluster, provider):
    cluster.add_class(secret_object())
    cluster.emulator.add_fault("status", service="kube", status=403, path_contains="/default/secrets")
    cluster.start()
    request = cluster.publish()
    assert mounts.contents(request.target_path) == {"file": b"content"}
    wait_until(cluster.told, what="the failure to be told")
    assert "secretprovidersyncing-role" in cluster.told()[0]
    assert "syncSecret.enabled=true" in cluster.driver.log
    cluster.emulator.clear_faults()
    wait_until(lambda: cluster.data() == {"key": b"content"}, timeout=20, what="the Secret, once it is allowed")


@pytest.mark.parametrize("kind, rule", [("blackhole", {}), ("status", {"status": 503}), ("reset", {})])
def test_an_api_server_that_is_away_delays_the_mount_little_and_the_secret_follows(cluster, provider, kind, rule):
    cluster.add_class(secret_object())
    cluster.start()
    cluster.emulator.add_fault(kind, service="kube", path_contains="/default/secrets", **rule)
    begun = time.monotonic()
    request = cluster.publish()
    assert time.monotonic() - begun < 10
    assert mounts.contents(request.target_path) == {"file": b"content"}
    assert cluster.secret() is None
    cluster.emulator.clear_faults()
    wait_until(lambda: cluster.data() == {"key": b"content"}, timeout=30, what="the Secret, once the API server answers")


def test_conflicts_are_resolved_by_reading_again(cluster, provider, files):
    cluster.add_class(secret_object())
    cluster.start(*ROTATE)
    request = cluster.publish()
    cluster.emulator.add_fault("status", service="kube", status=409, method="PATCH", path_contains="/default/secrets/", count=3)
    files["file"] = b"rotated"

    def rotated():
        cluster.driver.publish(request)
        return cluster.data() == {"key": b"rotated"}
    wait_until(rotated, timeout=20, what="the rotation")
    assert len(cluster.secret_requests("PATCH")) == 4


def test_two_nodes_that_create_at_once_end_with_both_owners(cluster, provider, scratch):
    (scratch / "second").mkdir()
    second = Node(scratch / "second")
    cluster.add_class(secret_object())
    cluster.start()
    other = Cluster(cluster.emulator, second)
    other.driver = Driver(second, (f"--kubeconfig={cluster.emulator.kubeconfig}", f"--provider-volume={cluster.node.providers}"),
                          standalone=False, name="driver-b")
    try:
        cluster.add_pod("api", 2, owners=[replica_set("api-1", 901)])
        cluster.emulator.add_fault("latency", service="kube", method="POST", path_contains="/default/secrets", latency_ms=200)
        one = cluster.driver.client.future("/csi.v1.Node/NodePublishVolume", cluster.request())
        two = other.driver.client.future("/csi.v1.Node/NodePublishVolume", other.request(name="api", number=2))
        one.result(30), two.result(30)
        wait_until(lambda: sorted(cluster.owners()) == [uid(900), uid(901)], timeout=15, what="both owners")
        assert cluster.data() == {"key": b"content"}
    finally:
        other.driver.destroy()


def test_an_unpublish_ends_the_sync(cluster, provider):
    cluster.add_class(secret_object())
    cluster.emulator.add_fault("status", service="kube", status=403, path_contains="/default/secrets")
    cluster.start()
    request = cluster.publish()
    wait_until(lambda: len(cluster.secret_requests()) >= 2, timeout=15, what="a second try")
    cluster.unpublish(request)
    cluster.emulator.clear_faults()
    cluster.emulator.reset_counters()
    # another volume's sync comes and goes; that of the first does not
    cluster.add_pod("web-b", 2)
    cluster.add_class(secret_object("other"), name="b")
    cluster.publish(name="web-b", number=2, class_name="b")
    time.sleep(3)  # longer than the pause before the next try
    assert cluster.secret() is None
    assert {r["path"].rsplit("/", 1)[1] for r in cluster.secret_requests()} == {"other", "secrets"}


def test_a_restarted_driver_takes_care_of_the_secrets_of_volumes_it_finds(cluster, provider):
    cluster.add_class(secret_object())
    cluster.start()
    request = cluster.publish()
    cluster.driver.kill()
    cluster.delete_secret()
    cluster.start("--secret-sync-check-interval=1s", name="driver2")
    cluster.driver.publish(request)  # the kubelet's republish; nothing is due
    wait_until(lambda: cluster.data() == {"key": b"content"}, timeout=15, what="the Secret to come back")
    assert len(provider.requests) == 1


def test_a_secret_too_large_is_told_clearly(cluster, provider, files):
    files["big"] = b"x" * (1024 * 1024 + 1)
    cluster.add_class(secret_object(data=[("big", "key")]), secret_object("other"))
    cluster.start("--max-call-recv-msg-size=8388608")
    cluster.publish()
    wait_until(cluster.told, what="the failure to be told")
    assert "a Kubernetes Secret holds at most 1048576" in cluster.told()[0]
    assert cluster.data("other") == {"key": b"content"}


def test_forty_volumes_rotate_without_a_write(cluster, provider):
    cluster.add_class(secret_object())
    cluster.start(*ROTATE)
    requests = []
    for number in range(1, 41):
        cluster.add_pod(f"web-{number}", number)
        requests.append(cluster.publish(name=f"web-{number}", number=number))
    cluster.emulator.reset_counters()
    wanted = len(provider.requests) + 2 * len(requests)

    def looked():
        for request in requests:
            cluster.driver.publish(request)
        return len(provider.requests) >= wanted
    wait_until(looked, timeout=30, what="two looks at each volume")
    assert cluster.secret_requests() == []
    assert not [r for r in cluster.emulator.requests("kube") if "/pods" in r["path"]]


# --- nothing leaks ---

CANARY = "Zq7canary" * 3


def test_no_secret_bytes_in_logs_events_or_metrics(cluster, provider, files):
    files["file"] = CANARY.encode()
    encoded = base64.b64encode(files["file"]).decode()
    cluster.add_class(secret_object(), secret_object("tls", type_="kubernetes.io/tls", data=[("file", "tls.key")]),
                      secret_object("foreign"))
    cluster.put_secret("foreign", type="Opaque", data={"a": "eA=="})
    cluster.start("-v=10", *ROTATE)
    request = cluster.publish()
    assert cluster.data() == {"key": files["file"]}
    files["file"] = b"other"

    def rotated():
        cluster.driver.publish(request)
        return cluster.data() == {"key": b"other"}
    wait_until(rotated, timeout=15, what="the rotation")
    wait_until(lambda: len(cluster.events()) >= 2, what="the events")
    texts = cluster.driver.log + json.dumps(cluster.all("events")) + cluster.driver.metrics()
    assert CANARY not in texts and encoded not in texts and "canary" not in texts


@pytest.mark.release_only  # a sanitizer keeps what libraries free
def test_no_secret_bytes_stay_in_memory(cluster, provider, files):
    """Neither those that were written nor those that could not be. (What the API server sends of a Secret that exists passes through
    buffers of the TLS library, which are not ours to wipe: here none exists.)"""
    files["file"] = CANARY.encode()
    cluster.add_class(secret_object(), secret_object("tls", type_="kubernetes.io/tls", data=[("file", "tls.key")]))
    cluster.start(*ROTATE)
    request = cluster.publish()
    assert cluster.data() == {"key": files["file"]}
    cluster.looks(request, provider, 1)
    wait_until(lambda: metric_sum(cluster.driver.metrics(), "sync_k8s_secret_error_total") >= 2, what="the second run")
    assert memory_contains(cluster.driver.pid, {b"azure-kvname"}) == {b"azure-kvname"}  # the means work
    assert memory_contains(cluster.driver.pid, {CANARY.encode(), base64.b64encode(CANARY.encode())}) == set()
