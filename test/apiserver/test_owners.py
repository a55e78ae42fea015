"""Owners where the admission plugin OwnerReferencesPermissionEnforcement is on, as in OpenShift: with the roles of manifests/deploy all owners are right."""

import pytest

from cluster.objects import spc
from cluster.secrets import STATUSES, data_of, reference, secret_object
from harness.process import wait_until
from harness.scripted_provider import mount_response


def synced(*keys):
    return [secret_object(data=[(key, key) for key in keys])]


@pytest.fixture
def files(scripted):
    content = {"file": b"one"}
    scripted(lambda _request, _context: mount_response(dict(content), {name: data.decode() for name, data in content.items()}))
    return content


def state(item):
    return {owner["uid"] for owner in item["metadata"].get("ownerReferences", [])}, data_of(item)


def test_a_second_workload_becomes_an_owner(admin, namespace, make_pod, replica_set, cluster_driver, files, secret):
    admin.create(spc(secretObjects=synced("file")), namespace)
    owners = [replica_set(name) for name in ("web", "api")]
    for owner in owners:
        cluster_driver.publish(make_pod(owner["metadata"]["name"], owners=[reference(owner)]).publish_request())
    assert state(secret()) == ({owner["metadata"]["uid"] for owner in owners}, files)
    admin.delete("replicasets", namespace, "web")
    wait_until(lambda: admin.find("replicasets", namespace, "web") is None, 20, "the first workload to be gone", pause=0.1)
    assert data_of(secret()) == files, "the second workload keeps the Secret"


def test_a_rollout_brings_its_owner_its_contents_and_its_keys(admin, namespace, make_pod, replica_set, cluster_driver, files, secret):
    admin.create(spc(secretObjects=synced("file")), namespace)
    old, new = (replica_set(name) for name in ("web-1", "web-2"))
    cluster_driver.publish(make_pod("web-1", owners=[reference(old)]).publish_request())
    files.update({"file": b"two", "more": b"m"})
    current = admin.get("secretproviderclasses", namespace, "azure-kvname")
    current["spec"]["secretObjects"] = synced("file", "more")
    admin.update(current)
    cluster_driver.publish(make_pod("web-2", owners=[reference(new)]).publish_request())
    assert state(secret()) == ({old["metadata"]["uid"], new["metadata"]["uid"]}, {"file": b"two", "more": b"m"})


def test_a_pod_that_comes_again_owns_the_status_object_of_its_name(control_plane, admin, namespace, make_pod, cluster_driver, files, secret):
    """A StatefulSet's pod on a cluster whose garbage collector is slow: the object of the former pod is still there."""
    admin.create(spc(secretObjects=synced("file")), namespace)
    former = make_pod("db-0")
    cluster_driver.publish(former.publish_request())
    control_plane.controllers.pause()
    try:
        cluster_driver.unpublish(former.unpublish_request())
        former.delete()
        pod = make_pod("db-0")
        cluster_driver.publish(pod.publish_request())
        status = admin.get(STATUSES, namespace, f"db-0-{namespace}-azure-kvname")
        assert [owner["uid"] for owner in status["metadata"]["ownerReferences"]] == [pod.uid]
        assert data_of(secret()) == files
    finally:
        control_plane.controllers.resume()
