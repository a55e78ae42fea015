"""The garbage collector's rules, shown by the real one, for owner references as the driver writes them."""

import pytest

from harness.process import wait_until


def reference(item):
    return {"apiVersion": item["apiVersion"], "kind": item["kind"], "name": item["metadata"]["name"], "uid": item["metadata"]["uid"]}


def pod_status(name, owners):
    return {"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClassPodStatus",
            "metadata": {"name": name, "ownerReferences": owners}, "status": {"podName": name}}


def secret(name, owners):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "ownerReferences": owners}, "type": "Opaque"}


def gone(admin, plural, namespace, name):
    wait_until(lambda: admin.find(plural, namespace, name) is None, 60, f"{name} to be collected", pause=0.1)


@pytest.fixture
def owned(admin, namespace, make_pod):
    """A pod, and a pod status that the pod owns."""
    pod = make_pod("web")
    return pod, admin.create(pod_status("status", [reference(pod.object)]), namespace)


def test_a_pod_status_goes_with_its_pod(admin, namespace, owned):
    pod, _ = owned
    pod.delete()
    gone(admin, "secretproviderclasspodstatuses", namespace, "status")


def test_a_secret_of_a_bare_pod_goes_with_the_pod_status_that_owns_it(admin, namespace, owned):
    pod, status = owned
    admin.create(secret("synced", [reference(status)]), namespace)
    pod.delete()
    gone(admin, "secretproviderclasspodstatuses", namespace, "status")
    gone(admin, "secrets", namespace, "synced")


def test_a_secret_stays_while_one_owner_is_left_and_loses_the_other_reference(admin, namespace, make_pod):
    pods = [make_pod("web-1"), make_pod("web-2")]
    admin.create(secret("synced", [reference(pod.object) for pod in pods]), namespace)
    pods[0].delete()
    left = [reference(pods[1].object)]
    wait_until(lambda: admin.get("secrets", namespace, "synced")["metadata"]["ownerReferences"] == left, 60, "the reference to be removed",
               pause=0.1)
    pods[1].delete()
    gone(admin, "secrets", namespace, "synced")


def test_a_reference_with_the_uid_of_an_earlier_pod_of_that_name_is_no_owner(admin, namespace, make_pod):
    """Why owners are compared by uid: the name is the same, and the object is collected all the same."""
    first = make_pod("web")
    stale = reference(first.object)
    first.delete()
    make_pod("web")
    admin.create(secret("synced", [stale]), namespace)
    gone(admin, "secrets", namespace, "synced")
