"""Sync to Kubernetes Secrets: secretObjects of a class, against the emulator's Kubernetes API."""

import base64
import json
import subprocess

import pytest

from harness.kube import spc
from harness.memory import memory_contains
from harness.process import wait_until
from harness.programs import metric_sum
from harness.secret_sync import MANAGED, ROTATE, WRITTEN_BY, replica_set, secret_object, uid

# --- contents of a Secret ---

@pytest.mark.parametrize("type_, keys", [
    ("Opaque", ["key"]), ("kubernetes.io/basic-auth", ["username", "password"]), ("bootstrap.kubernetes.io/token", ["token-id"]),
    ("kubernetes.io/dockerconfigjson", [".dockerconfigjson"]), ("kubernetes.io/dockercfg", [".dockercfg"]),
    ("kubernetes.io/ssh-auth", ["ssh-privatekey"]), ("kubernetes.io/service-account-token", ["extra"]), ("example.org/own", ["key"])])
def test_a_secret_of_any_type_is_there_when_the_publish_returns(synced, provider, files, type_, keys):
    """So that a pod which takes its environment from it starts without a retry of the kubelet."""
    files.update({"nested/bar": b"\x00\xff binary", "file": b"{}"})
    synced.add_class(secret_object(type_=type_, data=[("nested/bar" if i else "file", key) for i, key in enumerate(keys)]))
    synced.start()
    synced.publish()
    assert synced.secret()["type"] == type_
    assert synced.data() == {key: (b"\x00\xff binary" if i else b"{}") for i, key in enumerate(keys)}


def openssl(directory, *words):
    return subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True).stdout


@pytest.mark.parametrize("form", ["pem", "pfx"])
@pytest.mark.parametrize("key", ["rsa:2048", "ec"])
def test_a_tls_secret_is_split_out_of_one_file(synced, provider, files, scratch, form, key):
    more = ["-pkeyopt", "ec_paramgen_curve:P-384"] if key == "ec" else []
    openssl(scratch, "req", "-x509", "-newkey", key, *more, "-nodes", "-keyout", "key", "-out", "crt", "-subj", "/CN=x", "-days", "2")
    if form == "pfx":
        files["bundle"] = openssl(scratch, "pkcs12", "-export", "-passout", "pass:", "-inkey", "key", "-in", "crt")
    else:
        files["bundle"] = (scratch / "key").read_bytes() + (scratch / "crt").read_bytes()
    wanted = openssl(scratch, "ec", "-in", "key") if key == "ec" else openssl(scratch, "rsa", "-traditional", "-in", "key")
    synced.add_class(secret_object(type_="kubernetes.io/tls", data=[("bundle", "tls.crt"), ("bundle", "tls.key")]))
    synced.start()
    synced.publish()
    assert synced.data() == {"tls.crt": (scratch / "crt").read_bytes(), "tls.key": wanted}


def test_a_tls_secret_takes_a_ca(synced, provider, files, scratch):
    openssl(scratch, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key", "-out", "crt", "-subj", "/CN=x")
    files.update({"bundle": (scratch / "key").read_bytes() + (scratch / "crt").read_bytes(), "ca": b"the CA as it is"})
    synced.add_class(secret_object(type_="kubernetes.io/tls", data=[("bundle", "tls.crt"), ("bundle", "tls.key"), ("ca", "ca.crt")]))
    synced.start()
    synced.publish()
    assert sorted(synced.data()) == ["ca.crt", "tls.crt", "tls.key"]
    assert synced.data()["ca.crt"] == b"the CA as it is"


def test_labels_annotations_and_owner(synced, provider):
    synced.add_class(secret_object(labels={"environment": "test", MANAGED: "no"}, annotations={"a/b": "c"}))
    synced.start()
    synced.publish()
    metadata = synced.secret()["metadata"]
    assert metadata["labels"] == {"environment": "test", MANAGED: "true"}
    written_by = json.loads(metadata["annotations"].pop(WRITTEN_BY))
    assert metadata["annotations"] == {"a/b": "c"}
    assert written_by == {"azure-kvname": {"labels": ["environment"], "annotations": ["a/b"], "data": ["key"]}}
    # reduced: neither controller nor blockOwnerDeletion, which would need rights on the owner
    assert metadata["ownerReferences"] == [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": uid(900)}]
    # data, labels and owners came in one write
    assert [r["method"] for r in synced.secret_requests()] == ["GET", "POST"]


def test_a_class_without_secret_objects_costs_no_request(synced, provider):
    synced.add_class()
    synced.start()
    synced.publish()
    assert synced.secret_requests() == []
    assert not [r for r in synced.emulator.requests("kube") if "/pods" in r["path"]]


# --- steady state ---

def test_unchanged_content_writes_and_reads_nothing(synced, provider):
    synced.add_class(secret_object(), secret_object("other"))
    synced.start(*ROTATE)
    request = synced.publish()
    version = synced.secret()["metadata"]["resourceVersion"]
    synced.emulator.reset_counters()
    synced.check_rotation(request, provider, 3)
    assert synced.secret()["metadata"]["resourceVersion"] == version
    assert synced.secret_requests() == []


def test_a_check_reads_and_does_not_write(synced, provider):
    synced.add_class(secret_object())
    synced.start("--secret-sync-check-interval=1s")
    synced.publish()
    synced.emulator.reset_counters()
    wait_until(lambda: len(synced.secret_requests("GET")) >= 3, timeout=20, what="three checks")
    assert synced.secret_requests("POST", "PUT", "PATCH", "DELETE") == []


def test_pods_that_share_a_secret_do_not_write_it_again(synced, provider):
    synced.add_class(secret_object())
    synced.start()
    synced.publish()
    for number in range(2, 12):
        synced.add_pod(f"web-{number}", number)
        synced.publish(name=f"web-{number}", number=number)
    assert len(synced.secret_requests("POST", "PUT", "PATCH", "DELETE")) == 1
    assert synced.owners() == [uid(900)]


def test_forty_volumes_rotate_without_a_write(synced, provider):
    synced.add_class(secret_object())
    synced.start(*ROTATE)
    requests = []
    for number in range(1, 41):
        synced.add_pod(f"web-{number}", number)
        requests.append(synced.publish(name=f"web-{number}", number=number))
    synced.emulator.reset_counters()
    wanted = len(provider.requests) + 2 * len(requests)

    def checked():
        for request in requests:
            synced.driver.publish(request)
        return len(provider.requests) >= wanted
    wait_until(checked, timeout=30, what="two rotation checks of each volume")
    assert synced.secret_requests() == []
    assert not [r for r in synced.emulator.requests("kube") if "/pods" in r["path"]]


# --- rotation ---

def test_a_rotation_reaches_the_secret_and_sends_only_what_changed(synced, provider, files):
    files["second"] = b"stays"
    synced.add_class(secret_object(data=[("file", "key"), ("second", "other")]))
    synced.start(*ROTATE)
    request = synced.publish()
    synced.emulator.reset_counters()
    files["file"] = b"rotated"

    def rotated():
        synced.driver.publish(request)
        return synced.data() == {"key": b"rotated", "other": b"stays"}
    wait_until(rotated, timeout=15, what="the new value in the Secret")
    assert [r["method"] for r in synced.secret_requests()] == ["GET", "PATCH"]
    assert synced.owners() == [uid(900)]
    wait_until(lambda: synced.events("SecretRotationComplete"), what="the event")


def managed(secret):
    return MANAGED in secret["metadata"].get("labels", {}) or WRITTEN_BY in secret["metadata"].get("annotations", {})


@pytest.mark.parametrize("after", [["new"], []], ids=["renamed", "removed"])
def test_a_secret_that_the_class_does_not_name_any_more_stays_and_is_released(synced, provider, files, after):
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "name": "m", "uid": uid(7)}
    synced.add_class(secret_object("old", labels={"team": "a"}))
    synced.start(*ROTATE)
    request = synced.publish()
    secret = synced.secret("old")
    secret["metadata"]["ownerReferences"].append(foreign)
    synced.emulator.put_object("secrets", secret)
    synced.add_class(*[secret_object(name) for name in after])
    synced.check_rotation(request, provider, 2)
    wait_until(lambda: not managed(synced.secret("old")), what="the Secret to be released")
    metadata = synced.secret("old")["metadata"]
    assert metadata["ownerReferences"] == [foreign] and metadata["labels"] == {"team": "a"}
    wait_until(lambda: synced.events("SecretNotKeptAnyMore"), what="an Event")
    [event] = synced.events("SecretNotKeptAnyMore")
    assert "does not name the Secret 'old' any more" in event["message"] and "kubectl delete secret old -n default" in event["message"]
    files["file"] = b"rotated"
    synced.check_rotation(request, provider, 2)
    assert synced.data("old") == {"key": b"content"}
    for name in after:
        wait_until(lambda name=name: synced.data(name) == {"key": b"rotated"}, what="the new Secret")
    synced.emulator.reset_counters()
    synced.check_rotation(request, provider, 3)
    assert synced.secret_requests() == [] and len(synced.events("SecretNotKeptAnyMore")) == 1


@pytest.mark.parametrize("failing", [{"path_contains": "/secretproviderclasses/"}, {"path_contains": "/secrets/old"}], ids=["class", "release"])
def test_a_check_that_fails_does_not_forget_the_secrets_to_release(synced, provider, failing):
    synced.add_class(secret_object("old"), secret_object("new"))
    synced.start("--secret-sync-check-interval=1s")
    synced.publish()
    synced.emulator.add_fault("status", service="kube", status=403, **failing)
    if "/secrets/old" in failing["path_contains"]:
        synced.add_class(secret_object("new"))
    wait_until(synced.logged_sync_errors, what="a check to fail")
    synced.add_class(secret_object("new"))
    synced.emulator.clear_faults()
    wait_until(lambda: not managed(synced.secret("old")), timeout=20, what="the Secret to be released")
    assert synced.owners("old") == []
    wait_until(lambda: synced.events("SecretNotKeptAnyMore"), what="an Event")


@pytest.mark.parametrize("fails", [False, True], ids=["at-once", "after-a-failure"])
@pytest.mark.parametrize("owners", [None, []], ids=["workload", "bare-pod"])
def test_the_last_secret_of_a_class_is_released_without_the_owners_of_the_pod(synced, provider, owners, fails):
    """They would take it along: the next sync check is the first that sees the edit, and knows no owners of a bare pod."""
    synced.add_pod(owners=owners)
    synced.add_class(secret_object("old"))
    synced.start("--secret-sync-check-interval=1s")
    synced.publish()
    secret = synced.secret("old")
    assert len(secret["metadata"]["ownerReferences"]) == 1
    secret["metadata"]["ownerReferences"].append({"apiVersion": "v1", "kind": "ConfigMap", "name": "m", "uid": uid(7)})
    synced.emulator.put_object("secrets", secret)
    if fails:
        synced.emulator.add_fault("status", service="kube", status=403, path_contains="/secretproviderclasses/")
        wait_until(synced.logged_sync_errors, what="a check to fail")
    synced.add_class()
    synced.emulator.clear_faults()
    wait_until(lambda: not managed(synced.secret("old")), timeout=20, what="the Secret to be released")
    assert synced.owners("old") == [uid(7)] and synced.data("old") == {"key": b"content"}


def test_a_secret_that_another_class_names_is_kept_for_it(synced, provider, files):
    files["other"] = b"o"
    synced.add_class(secret_object("shared"))
    synced.add_class(secret_object("shared", data=[("other", "other")]), name="second")
    synced.add_pod("api", 2)
    synced.start(*ROTATE)
    request = synced.publish()
    synced.publish(name="api", number=2, class_name="second")
    assert synced.data("shared") == {"key": b"content", "other": b"o"}
    synced.add_class(secret_object("own"))
    synced.check_rotation(request, provider, 2)
    wait_until(lambda: "azure-kvname" not in json.loads(synced.secret("shared")["metadata"]["annotations"][WRITTEN_BY]), what="the release")
    assert managed(synced.secret("shared")) and synced.data("shared")["other"] == b"o"


def test_an_edit_of_the_class_reaches_the_secret(synced, provider, files):
    files["second"] = b"2"
    synced.add_class(secret_object(labels={"old": "1", "kept": "x"}))
    synced.start(*ROTATE)
    request = synced.publish()
    synced.add_class(secret_object(data=[("second", "renamed")], labels={"kept": "y"}), secret_object("added"))

    def edited():
        synced.driver.publish(request)
        return synced.data("added") == {"key": b"content"} and synced.data() == {"renamed": b"2"}
    wait_until(edited, timeout=15, what="the edit")
    assert synced.secret()["metadata"]["labels"] == {"kept": "y", MANAGED: "true"}


# --- owners of a Secret ---

@pytest.mark.slow
def test_without_rotation_the_first_secret_objects_of_a_class_are_noticed(synced, provider):
    """After twelve sync checks at most: the driver checks a running pod in no other way."""
    synced.add_class()
    synced.start("--secret-sync-check-interval=1s")
    synced.publish()
    assert synced.secret_requests() == []
    synced.add_class(secret_object())
    wait_until(lambda: synced.data() == {"key": b"content"}, timeout=20, what="the Secret")
    synced.emulator.control("DELETE", "/kube/secretproviderclasses/default/azure-kvname")
    synced.emulator.reset_counters()
    wait_until(lambda: [r["status"] for r in synced.emulator.requests("kube") if "/azure-kvname" in r["path"]], what="a request for the class")
    synced.delete_secret()
    synced.add_class(secret_object())
    wait_until(lambda: synced.data() == {"key": b"content"}, timeout=20, what="the Secret to come back with its class")
    assert len(provider.requests) == 1


def test_two_deployments_share_a_secret(synced, provider):
    synced.add_class(secret_object())
    synced.start(*ROTATE, "--secret-sync-check-interval=1s")
    synced.publish()
    synced.add_pod("api", 2, owners=[replica_set("api-1", 901)])
    request = synced.publish(name="api", number=2)
    assert synced.owners() == [uid(900), uid(901)]
    # one deployment goes: the garbage collector removes its reference, and the driver neither restores it nor drops the other
    synced.unpublish(synced.request())
    secret = synced.secret()
    synced.put_secret(type=secret["type"], data=secret["data"], labels=secret["metadata"]["labels"],
                       annotations=secret["metadata"]["annotations"], owners=[secret["metadata"]["ownerReferences"][1]])
    synced.emulator.reset_counters()
    synced.check_rotation(request, provider, 2)
    wait_until(lambda: len(synced.secret_requests("GET")) >= 2, what="two checks")
    assert synced.owners() == [uid(901)]
    assert synced.secret_requests("POST", "PUT", "PATCH", "DELETE") == []


def test_an_owner_of_the_same_name_but_another_uid_is_added(synced, provider):
    synced.add_class(secret_object())
    synced.start()
    synced.publish()
    synced.add_pod("web-b", 2, owners=[replica_set("web-1", 901)])
    synced.publish(name="web-b", number=2)
    assert synced.owners() == [uid(900), uid(901)]


def test_foreign_keys_labels_and_owners_of_a_secret_stay(synced, provider, files):
    synced.add_class(secret_object(labels={"mine": "1"}))
    synced.start(*ROTATE)
    request = synced.publish()
    secret = synced.secret()
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": uid(77), "controller": True}
    secret["metadata"]["labels"]["theirs"] = "2"
    secret["metadata"]["annotations"] = {"tool": "z"}
    secret["metadata"]["finalizers"] = ["example.org/hold"]
    secret["metadata"]["ownerReferences"].insert(0, foreign)
    synced.emulator.put_object("secrets", secret)
    files["file"] = b"rotated"

    def rotated():
        synced.driver.publish(request)
        return synced.data() == {"key": b"rotated"}
    wait_until(rotated, timeout=15, what="the rotation")
    metadata = synced.secret()["metadata"]
    assert metadata["labels"] == {"mine": "1", "theirs": "2", MANAGED: "true"}
    assert {key: value for key, value in metadata["annotations"].items() if key != WRITTEN_BY} == {"tool": "z"}
    assert metadata["finalizers"] == ["example.org/hold"]
    assert metadata["ownerReferences"][0] == foreign and synced.owners() == [uid(77), uid(900)]


def test_namespaces_are_apart(synced, provider):
    """A class of the same name with a provider that does not exist, in another namespace."""
    synced.add_class(secret_object(), namespace="test-ns")
    synced.add("secretproviderclasses", spc(provider="invalid", secret_objects=[secret_object()]))
    synced.add_pod("web", 2, namespace="test-ns")
    synced.start()
    synced.driver.publish_failure(synced.request(), timeout=10)
    synced.publish(number=2, namespace="test-ns")
    assert synced.data(namespace="test-ns") == {"key": b"content"}
    assert synced.owners(namespace="test-ns") == [uid(900)]
    assert synced.secret() is None


def test_a_bare_pod_with_two_volumes_owns_its_secrets_by_status_objects(synced, provider):
    synced.add_pod(owners=[])
    synced.add_class(secret_object("one"), name="first")
    synced.add_class(secret_object("two"), name="second")
    for class_name in ("first", "second"):
        synced.add_status(f"web-default-{class_name}")
    synced.start()
    synced.publish(class_name="first", volume="a")
    synced.publish(class_name="second", volume="b")
    status = {item["metadata"]["name"]: item["metadata"]["uid"] for item in synced.all("secretproviderclasspodstatuses")}
    for name, class_name in (("one", "first"), ("two", "second")):
        reference = {"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClassPodStatus",
                     "name": f"web-default-{class_name}", "uid": status[f"web-default-{class_name}"]}
        assert synced.secret(name)["metadata"]["ownerReferences"] == [reference]


def test_a_status_object_that_is_deleted_comes_back_and_the_secret_with_it(synced, provider):
    """The garbage collector takes the Secret of a bare pod along with its status object: both have to come back without a change."""
    synced.add_pod(owners=[])
    synced.add_class(secret_object())
    synced.start(*ROTATE, "--secret-sync-check-interval=1s")
    request = synced.publish()
    old = synced.owners()
    synced.emulator.control("DELETE", "/kube/secretproviderclasspodstatuses/default/web-default-azure-kvname")
    synced.delete_secret()

    def back():
        """The Secret may come back first, owned by the object that is gone: the collector would take it once more."""
        synced.driver.publish(request)
        status = [item["metadata"]["uid"] for item in synced.all("secretproviderclasspodstatuses")]
        return status and status != old and synced.data() == {"key": b"content"} and set(status) <= set(synced.owners())
    wait_until(back, timeout=30, what="status object and Secret to come back")


def test_a_pod_of_the_same_name_that_came_later_does_not_get_the_secret(synced, provider):
    synced.add_pod("again", number=5)
    synced.add_class(secret_object())
    synced.start()
    synced.publish(name="again", number=4)
    assert synced.secret() is None
    assert synced.secret_requests() == []


# --- changed and foreign Secrets ---

def test_a_deleted_secret_comes_back_without_rotation(synced, provider):
    synced.add_class(secret_object())
    synced.start("--secret-sync-check-interval=1s")
    synced.publish()
    synced.delete_secret()
    wait_until(lambda: synced.data() == {"key": b"content"}, timeout=15, what="the Secret to come back")
    assert synced.owners() == [uid(900)]
    assert len(provider.requests) == 1


def test_a_restarted_driver_takes_care_of_the_secrets_of_volumes_it_finds(synced, provider):
    synced.add_class(secret_object())
    synced.start()
    request = synced.publish()
    synced.driver.kill()
    synced.delete_secret()
    synced.start("--secret-sync-check-interval=1s", name="driver2")
    synced.driver.publish(request)  # the kubelet's republish; nothing is due
    wait_until(lambda: synced.data() == {"key": b"content"}, timeout=15, what="the Secret to come back")
    assert len(provider.requests) == 1


def test_a_new_pod_gets_a_secret_that_was_deleted_a_moment_ago(synced, provider):
    synced.add_class(secret_object())
    synced.start()
    synced.publish()
    synced.delete_secret()
    synced.add_pod("web-b", 2)
    synced.publish(name="web-b", number=2)
    assert synced.data() == {"key": b"content"}


def test_a_sync_check_keeps_newer_data_but_a_rotation_check_writes_the_providers(synced, provider):
    """Another node may have written what this one has not fetched yet."""
    synced.add_class(secret_object())
    synced.start("--enable-secret-rotation=true", "--rotation-poll-interval=1h", "--secret-sync-check-interval=1s")
    synced.publish()
    secret = synced.secret()
    newer = {"key": base64.b64encode(b"newer").decode()}
    synced.put_secret(type="Opaque", data=newer, owners=secret["metadata"]["ownerReferences"])  # and without labels
    wait_until(lambda: synced.secret()["metadata"].get("labels") == {MANAGED: "true"}, timeout=15, what="the label to be restored")
    synced.emulator.reset_counters()
    wait_until(lambda: len(synced.secret_requests("GET")) >= 2, timeout=15, what="two more checks")
    assert synced.data() == {"key": b"newer"}
    synced.driver.destroy()
    synced.start(*ROTATE, "--secret-sync-check-interval=1s", name="driver2")
    request = synced.request()

    def repaired():
        synced.driver.publish(request)
        return synced.data() == {"key": b"content"}
    wait_until(repaired, timeout=15, what="the rotation check to repair the data")


def test_a_foreign_secret_is_left_alone_until_it_is_handed_over(synced, provider):
    theirs = {"password": base64.b64encode(b"theirs").decode()}
    synced.put_secret(type="Opaque", data=theirs)
    synced.add_class(secret_object())
    synced.start("--secret-sync-check-interval=1s")
    synced.publish()
    wait_until(synced.logged_sync_errors, what="the failure to be reported")
    assert "not created by this driver" in synced.logged_sync_errors()[0]
    assert synced.data() == {"password": b"theirs"} and synced.owners() == []
    synced.put_secret(type="Opaque", data=theirs, labels={MANAGED: "true"})
    wait_until(lambda: synced.owners() == [uid(900)], timeout=15, what="the Secret to be taken over")


def test_a_type_that_cannot_be_changed_is_reported(synced, provider):
    synced.put_secret(type="kubernetes.io/basic-auth", data={"username": "eA=="}, labels={MANAGED: "true"})
    synced.add_class(secret_object())
    synced.start()
    synced.publish()
    wait_until(synced.logged_sync_errors, what="the failure to be reported")
    assert "exists with type 'kubernetes.io/basic-auth', the class says 'Opaque'" in synced.logged_sync_errors()[0]
    assert synced.secret_requests("POST", "PUT", "PATCH", "DELETE") == []


# --- nothing leaks ---

CANARY = "Zq7canary" * 3


def test_no_secret_bytes_in_logs_events_or_metrics(synced, provider, files):
    files["file"] = CANARY.encode()
    encoded = base64.b64encode(files["file"]).decode()
    synced.add_class(secret_object(), secret_object("tls", type_="kubernetes.io/tls", data=[("file", "tls.key")]),
                      secret_object("foreign"))
    synced.put_secret("foreign", type="Opaque", data={"a": "eA=="})
    synced.start("-v=10", *ROTATE)
    request = synced.publish()
    assert synced.data() == {"key": files["file"]}
    files["file"] = b"other"

    def rotated():
        synced.driver.publish(request)
        return synced.data() == {"key": b"other"}
    wait_until(rotated, timeout=15, what="the rotation")
    wait_until(lambda: len(synced.events()) >= 2, what="the events")
    texts = synced.driver.log + json.dumps(synced.all("events")) + synced.driver.metrics()
    assert CANARY not in texts and encoded not in texts and "canary" not in texts


@pytest.mark.release_only  # a sanitizer keeps what libraries free
def test_no_secret_bytes_stay_in_memory(synced, provider, files):
    """Neither those that were written nor those that could not be. (What the API server sends of a Secret that exists passes through
    buffers of the TLS library, which are not ours to wipe: here none exists.)"""
    files["file"] = CANARY.encode()
    synced.add_class(secret_object(), secret_object("tls", type_="kubernetes.io/tls", data=[("file", "tls.key")]))
    synced.start(*ROTATE)
    request = synced.publish()
    assert synced.data() == {"key": files["file"]}
    synced.check_rotation(request, provider, 1)
    wait_until(lambda: metric_sum(synced.driver.metrics(), "sync_k8s_secret_error_total") >= 2, what="the second run")
    assert memory_contains(synced.driver.pid, {b"azure-kvname"}) == {b"azure-kvname"}  # the means work
    assert memory_contains(synced.driver.pid, {CANARY.encode(), base64.b64encode(CANARY.encode())}) == set()
