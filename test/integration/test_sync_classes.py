"""One Secret that several classes name: none removes what another one needs (driver/sync/secret_field_owners.h)."""

import json

import pytest

from harness.process import wait_until
from harness.secret_sync import MANAGED, ROTATE, WRITTEN_BY, replica_set, secret_object

FAST = (*ROTATE, "--secret-sync-check-interval=1s")


@pytest.fixture
def files():
    """What the provider returns, whatever the class; a class picks what it wants."""
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

        def looks(self, n):
            """Lets the kubelet call for every pod until the provider has been asked `n` times for each."""
            wanted = {name: len(self.asked(request)) + n for name, request in self.requests.items()}

            def looked():
                for request in self.requests.values():
                    synced.driver.publish(request)
                return all(len(self.asked(self.requests[name])) >= count for name, count in wanted.items())
            wait_until(looked, timeout=20 + 2 * n, what="looks at every pod")

        def asked(self, request):
            return [r for r in provider.requests if r.target_path == request.target_path]

        def until(self, condition, what):
            def holds():
                for request in self.requests.values():
                    synced.driver.publish(request)
                return condition()
            wait_until(holds, timeout=20, what=what)
    return Pods()


def claims(synced):
    return json.loads(synced.secret()["metadata"]["annotations"][WRITTEN_BY])


def writes(synced):
    return synced.secret_requests("POST", "PUT", "PATCH", "DELETE")


def test_each_class_keeps_its_keys_and_nobody_writes_in_turns(synced, pods, files):
    pods.define("a", ("one", "alpha"), labels={"from-a": "1"})
    pods.define("b", ("two", "beta"), labels={"from-b": "1"})
    synced.start(*FAST)
    pods.mount("a")
    pods.mount("b")
    assert synced.data() == {"alpha": b"1", "beta": b"2"}
    assert synced.secret()["metadata"]["labels"] == {"from-a": "1", "from-b": "1", MANAGED: "true"}
    assert claims(synced) == {"a": {"labels": ["from-a"], "data": ["alpha"]}, "b": {"labels": ["from-b"], "data": ["beta"]}}
    synced.emulator.reset_counters()
    pods.looks(3)
    wait_until(lambda: len(synced.secret_requests("GET")) >= 4, timeout=20, what="checks of both")
    assert writes(synced) == []
    files["one"] = b"11"
    pods.until(lambda: synced.data() == {"alpha": b"11", "beta": b"2"}, "the rotation of one class")
    files["two"] = b"22"
    pods.until(lambda: synced.data() == {"alpha": b"11", "beta": b"22"}, "the rotation of the other")
    assert [r["method"] for r in writes(synced)] == ["PATCH", "PATCH"]
    assert synced.events() == []


def test_of_two_contents_for_one_key_the_last_mount_counts_and_the_other_class_is_told(synced, pods, files):
    pods.define("a", ("one", "key"), ("one", "own"))
    pods.define("b", ("two", "key"))
    synced.start(*FAST)
    pods.mount("a")
    pods.mount("b")
    assert synced.data() == {"key": b"2", "own": b"1"}
    wanted = ("secretproviderclass default/a, Secret 'synced': key 'key' is left as secretproviderclass 'b' has written it: two classes "
              "want different contents there, and the one that was mounted last has it")
    pods.until(lambda: any(text.startswith(wanted) for text in synced.logged_sync_errors()), "the log of the class that lost its key")
    wait_until(lambda: [e for e in synced.events() if e["message"].startswith(wanted)], what="the Event")
    synced.emulator.reset_counters()
    pods.looks(3)
    assert writes(synced) == []
    files["one"] = b"11"
    pods.until(lambda: synced.data() == {"key": b"2", "own": b"11"}, "what is the class's alone follows its files")
    pods.mount("a")
    assert synced.data() == {"key": b"11", "own": b"11"}
    assert not [e for e in synced.events() if "class 'a' has written it" in e["message"] and "default/a" in e["message"]]


def test_what_a_deleted_class_has_kept_is_removed_and_a_contested_key_comes_back(synced, pods):
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
    pods.looks(2)
    assert synced.data() == {"key": b"2", "beta": b"2"}, "a class that exists keeps its keys, with or without a pod here"
    synced.emulator.control("DELETE", "/kube/secretproviderclasses/default/b")
    pods.until(lambda: synced.data() == {"key": b"1"}, "the keys of the deleted class to go")
    assert synced.secret()["metadata"]["labels"] == {"owner": "a", MANAGED: "true"}
    assert claims(synced) == {"a": {"labels": ["owner"], "data": ["key"]}}


def test_a_class_that_can_not_be_read_keeps_its_keys(synced, pods):
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
    pods.looks(2)
    wait_until(lambda: [r for r in synced.emulator.requests("kube") if r["path"].endswith("/secretproviderclasses/b")],
               timeout=20, what="the look at the other class")
    pods.looks(1)
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


def test_a_secret_without_claims_loses_nothing_before_its_classes_have_looked(synced, pods):
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
    pods.until(lambda: synced.data() == {"alpha": b"1", "beta": b"2"}, "what is nobody's to go")
    assert claims(synced) == {"a": {"data": ["alpha"]}, "b": {"data": ["beta"]}}


def test_a_class_may_not_write_the_claims_itself(synced, pods):
    pods.define("a", ("one", "alpha"), annotations={WRITTEN_BY: "{}"})
    synced.start()
    pods.mount("a")
    assert synced.secret() is None
    assert synced.logged_sync_errors() == [f"secretproviderclass default/a, secretObjects[0], Secret 'synced': the annotation {WRITTEN_BY} is written by this "
                              "driver alone"]
