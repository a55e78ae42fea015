"""Kubernetes Secrets made from mounted files, as a pod on a real node uses them."""

import base64

import pytest

from harness import tutorial
from harness.process import wait_until

SECRET_OBJECTS = [{"secretName": "synced", "type": "Opaque", "labels": {"environment": "test"},
                   "data": [{"objectName": "secret1", "key": "password"}]}]
ENVIRONMENT = {"env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "synced", "key": "password"}}}]}


@pytest.fixture
def secret(admin, namespace):
    def find():
        item = admin.find("secrets", namespace, "synced")
        return None if item is None else base64.b64decode(item["data"]["password"]).decode()
    return find


def test_a_pod_with_the_secret_in_its_environment_starts_at_once(make_class, make_pod, admin, namespace, secret):
    make_class(secretObjects=SECRET_OBJECTS)
    pod = make_pod(container=ENVIRONMENT).wait_running()
    assert pod.exec("sh", "-c", "echo $PASSWORD").strip() == tutorial.SECRETS["secret1"]
    # the kubelet did not have to try again
    assert pod.events("Failed") == [] and pod.events("FailedMount") == [] and pod.events("FailedToCreateSecret") == []
    assert pod.container["restartCount"] == 0
    metadata = admin.get("secrets", namespace, "synced")["metadata"]
    assert metadata["labels"] == {"environment": "test", "secrets-store.csi.k8s.io/managed": "true"}
    assert [owner["kind"] for owner in metadata["ownerReferences"]] == ["SecretProviderClassPodStatus"]
    # and it goes with the pod
    pod.delete()
    wait_until(lambda: secret() is None, 60, "the Secret to be collected", pause=0.2)


def test_a_rotated_value_reaches_the_secret(make_class, make_pod, emulator, secret):
    make_class(secretObjects=SECRET_OBJECTS)
    make_pod().wait_running()
    assert secret() == tutorial.SECRETS["secret1"]
    emulator.set_secret("secret1", "rotated value")
    wait_until(lambda: secret() == "rotated value", 60, "the new value in the Secret", pause=0.5)


def test_a_bad_entry_is_in_the_events_of_the_pod_which_runs(make_class, make_pod, secret):
    bad = {"secretName": "bad", "type": "Opaque", "data": [{"objectName": "nowhere", "key": "password"}]}
    make_class(secretObjects=[bad, *SECRET_OBJECTS])
    pod = make_pod().wait_running()
    wait_until(lambda: pod.events("FailedToCreateSecret"), 30, "the event", pause=0.2)
    assert "Secret 'bad'" in pod.describe() and "the volume has no such file" in pod.describe()
    assert secret() == tutorial.SECRETS["secret1"]
