"""One Secret that several classes name: no class removes the fields of another one (driver/sync/secret_field_owners.h)."""

import json

import pytest

from harness.process import wait_until
from harness.secret_sync import MANAGED, ROTATE, WRITTEN_BY, replica_set, secret_object

FAST = (*ROTATE, "--secret-sync-check-interval=1s")


@pytest.fixture
def files():
    """The contents that the provider returns for every class; a class selects some of them."""
    return {"one": b"1", "two": b"2"}


@pytest.fixture
def pods(synced, provider):
    """Two classes that name the same Secret, with a pod of a Deployment each; mount(class) mounts it."""

    class Pods:
        def __init__(self):
            self.requests = {}

        def define(self, class_name, *data, **more):
            synced.add_class(secret_object(data=data, **more), name=class_name)

        def mount(self, class_name):
            number = 10 + len(self.requests)
            name = f"{class_name}-{number}"
            synced.add_pod(name, number, owners=[replica_set(f"{class_name}-rs", 900 + number)])
            self.requests[name] = synced.publish(name=name, number=number, class_name=class_name)

        def check_rotation(self, n):
            """Republishes every pod until the provider has had `n` more requests for each."""
            wanted = {name: len(self.requests_for(request)) + n for name, request in self.requests.items()}

            def checked():
                for request in self.requests.values():
                    synced.driver.publish(request)
                return all(len(self.requests_for(self.requests[name])) >= count for name, count in wanted.items())
            wait_until(checked, timeout=20 + 2 * n, what="rotation checks of every pod")

        def requests_for(self, request):
            return [r for r in provider.requests if r.target_path == request.target_path]

        def until(self, condition, what):
            def holds():
                for request in self.requests.values():
                    synced.driver.publish(request)
                return condition()
            wait_until(holds, timeout=20, what=what)
    return Pods()


def written_by(synced):
    return json.loads(synced.secret()["metadata"]["annotations"][WRITTEN_BY])


def writes(synced):
    return synced.secret_requests("POST", "PUT", "PATCH", "DELETE")


def test_each_class_keeps_its_keys_and_the_classes_do_not_overwrite_each_other(synced, pods, files):
    pods.define("a", ("one", "alpha"), labels={"from-a": "1"})
    pods.define("b", ("two", "beta"), labels={"from-b": "1"})
    synced.start(*FAST)
    pods.mount("a")
    pods.mount("b")
    assert synced.data() == {"alpha": b"1", "beta": b"2"}
    assert synced.secret()["metadata"]["labels"] == {"from-a": "1", "from-b": "1", MANAGED: "true"}
    assert written_by(synced) == {"a": {"labels": ["from-a"], "data": ["alpha"]}, "b": {"labels": ["from-b"], "data": ["beta"]}}
    synced.emulator.reset_counters()
    pods.check_rotation(3)
    wait_until(lambda: len(synced.secret_requests("GET")) >= 4, timeout=20, what="checks of both")
    assert writes(synced) == []
    files["one"] = b"11"
    pods.until(lambda: synced.data() == {"alpha": b"11", "beta": b"2"}, "the rotation of one class")
    files["two"] = b"22"
    pods.until(lambda: synced.data() == {"alpha": b"11", "beta": b"22"}, "the rotation of the other")
    assert [r["method"] for r in writes(synced)] == ["PATCH", "PATCH"]
    assert synced.events() == []


def test_of_two_contents_for_one_key_the_last_mount_counts_and_the_conflict_is_reported(synced, pods, files):
    pods.define("a", ("one", "key"), ("one", "own"))
    pods.define("b", ("two", "key"))
    synced.start(*FAST)
    pods.mount("a")
    pods.mount("b")
    assert synced.data() == {"key": b"2", "own": b"1"}
    wanted = ("secretproviderclass default/a, Secret 'synced': key 'key' keeps the value of secretproviderclass 'b': two classes "
              "set different values, and the class that was mounted last owns the field")
    pods.until(lambda: any(text.startswith(wanted) for text in synced.logged_sync_errors()), "the log of the class that lost its key")
    wait_until(lambda: [e for e in synced.events() if e["message"].startswith(wanted)], what="the Event")
    synced.emulator.reset_counters()
    pods.check_rotation(3)
    assert writes(synced) == []
    files["one"] = b"11"
    pods.until(lambda: synced.data() == {"key": b"2", "own": b"11"}, "what is the class's alone follows its files")
    pods.mount("a")
    assert synced.data() == {"key": b"11", "own": b"11"}
    assert not [e for e in synced.events() if "the value of secretproviderclass 'a'" in e["message"] and "default/a" in e["message"]]


def test_keys_of_a_deleted_class_are_removed_and_a_contested_key_comes_back(synced, pods):
    pods.define("a", ("one", "key"), labels={"owner": "a"})
    pods.define("b", ("two", "key"), ("two", "beta"), labels={"of-b": "1"})
    synced.start(*FAST)
    pods.mount("a")
    pods.mount("b")
    assert synced.data() == {"key": b"2", "beta": b"2"}
    for name, request in list(pods.requests.items()):
        if name.startswith("b-"):
            synced.unpublish(request)
            del pods.requests[name]
    pods.check_rotation(2)
    assert synced.data() == {"key": b"2", "beta": b"2"}, "a class that exists keeps its keys, with or without a pod here"
    synced.emulator.control("DELETE", "/kube/secretproviderclasses/default/b")
    pods.until(lambda: synced.data() == {"key": b"1"}, "the keys of the deleted class to go")
    assert synced.secret()["metadata"]["labels"] == {"owner": "a", MANAGED: "true"}
    assert written_by(synced) == {"a": {"labels": ["owner"], "data": ["key"]}}


def test_a_class_that_cannot_be_read_keeps_its_keys(synced, pods):
    pods.define("a", ("one", "alpha"))
    pods.define("b", ("two", "beta"))
    synced.start(*FAST)
    pods.mount("a")
    pods.mount("b")
    request = [request for name, request in pods.requests.items() if name.startswith("b-")][0]
    synced.unpublish(request)
    pods.requests = {name: r for name, r in pods.requests.items() if r is not request}
    synced.emulator.add_fault("status", service="kube", status=403, path_contains="/secretproviderclasses/b")
    synced.emulator.reset_counters()
    pods.check_rotation(2)
    wait_until(lambda: [r for r in synced.emulator.requests("kube") if r["path"].endswith("/secretproviderclasses/b")],
               timeout=20, what="the request for the other class")
    pods.check_rotation(1)
    assert synced.data() == {"alpha": b"1", "beta": b"2"}


def test_a_label_that_was_dropped_while_the_driver_was_away_is_removed(synced, pods):
    pods.define("a", ("one", "alpha"), labels={"old": "1"}, annotations={"was": "here"})
    synced.start(*FAST)
    pods.mount("a")
    synced.driver.kill()
    pods.define("a", ("one", "alpha"))
    synced.start(*FAST, name="driver2")
    pods.until(lambda: synced.secret()["metadata"]["labels"] == {MANAGED: "true"}, "the label to go")
    assert list(synced.secret()["metadata"]["annotations"]) == [WRITTEN_BY]


def test_a_secret_without_field_owners_loses_nothing_before_its_classes_are_reconciled(synced, pods):
    """As the Secrets Store CSI driver in Go leaves it."""
    pods.define("a", ("one", "alpha"))
    pods.define("b", ("two", "beta"))
    synced.put_secret(labels={MANAGED: "true"}, type="Opaque", data={"alpha": "MQ==", "beta": "Mg==", "stray": "eA=="})
    synced.start(*FAST)
    seen = []
    pods.mount("a")
    seen.append(synced.data())
    pods.mount("b")
    assert seen == [{"alpha": b"1", "beta": b"2", "stray": b"x"}]
    pods.until(lambda: synced.data() == {"alpha": b"1", "beta": b"2"}, "the key without an owner to go")
    assert written_by(synced) == {"a": {"data": ["alpha"]}, "b": {"data": ["beta"]}}


def test_a_class_may_not_write_the_field_owners_itself(synced, pods):
    pods.define("a", ("one", "alpha"), annotations={WRITTEN_BY: "{}"})
    synced.start()
    pods.mount("a")
    assert synced.secret() is None
    assert synced.logged_sync_errors() == [f"secretproviderclass default/a, secretObjects[0], Secret 'synced': the annotation {WRITTEN_BY} is written by this "
                              "driver alone"]
