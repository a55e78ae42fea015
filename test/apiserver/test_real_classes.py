"""Publishing with classes of a real API server, as the driver's service account with the rights of an installation."""

import pytest

from cluster import manifests
from cluster.objects import spc
from harness import mounts, tutorial
from harness.process import wait_until
from harness.rpc import CODES


@pytest.mark.parametrize("version", ["v1", "v1alpha1"])
def test_a_class_of_the_server_is_mounted(cluster_driver, admin, namespace, make_pod, scripted, version):
    admin.create(spc(version=version), namespace)
    provider, pod = scripted(), make_pod()
    cluster_driver.publish(pod.publish_request())
    assert mounts.contents(pod.target) == {"file": b"content"}
    assert provider.attributes()["colour"] == "green"
    cluster_driver.unpublish(pod.unpublish_request())
    assert not pod.target.exists()


def test_the_tutorial_from_the_server_to_the_file(cluster_driver, admin, namespace, make_pod, azure):
    parameters = {"keyvaultName": tutorial.VAULT, "tenantId": tutorial.TENANT, "objects": tutorial.objects_yaml(["secret1", "secret2"])}
    admin.create(spc(provider="azure", parameters=parameters), namespace)
    pod = make_pod()
    cluster_driver.publish(pod.publish_request(secrets=tutorial.CREDENTIALS))
    assert mounts.contents(pod.target) == {name: value.encode() for name, value in tutorial.SECRETS.items()}


def test_a_class_of_another_namespace_is_not_taken(cluster_driver, admin, namespace, make_pod, scripted):
    admin.create(spc(), "default")
    try:
        scripted()
        code, message = cluster_driver.publish_failure(make_pod().publish_request())
    finally:
        admin.delete("secretproviderclasses", "default", "azure-kvname")
    assert code == CODES.NOT_FOUND
    assert f"failed to get secretproviderclass {namespace}/azure-kvname" in message
    assert message.rstrip().endswith("not found")


def test_an_edit_of_a_class_is_seen_by_the_next_pod(cluster_driver, admin, namespace, make_pod, scripted):
    admin.create(spc(), namespace)
    provider = scripted()
    cluster_driver.publish(make_pod("web-1").publish_request())
    admin.patch("secretproviderclasses", namespace, "azure-kvname", {"spec": {"parameters": {"colour": "red"}}})
    cluster_driver.publish(make_pod("web-2").publish_request())
    assert provider.attributes()["colour"] == "red"


def test_a_class_that_is_made_late_is_found(cluster_driver, admin, namespace, make_pod, scripted):
    pod = make_pod()
    scripted()
    assert "not found" in cluster_driver.publish_failure(pod.publish_request())[1]
    admin.create(spc(), namespace)
    cluster_driver.publish(pod.publish_request())
    assert mounts.contents(pod.target) == {"file": b"content"}


def test_a_server_without_our_definitions_is_named(cluster_driver, admin, namespace, make_pod, scripted):
    """The definition can be missing for a while: installed after the driver, or replaced by hand."""
    pod = make_pod()
    scripted()
    crd = next(item for item in manifests.crds() if item["spec"]["names"]["plural"] == "secretproviderclasses")
    admin.delete("customresourcedefinitions", None, crd["metadata"]["name"])
    try:
        wait_until(lambda: admin.find("customresourcedefinitions", None, crd["metadata"]["name"]) is None, 30, "the definition to be gone",
                   pause=0.05)
        code, message = cluster_driver.publish_failure(pod.publish_request())
        assert code == CODES.NOT_FOUND
        assert "secretproviderclass" in message
    finally:
        manifests.establish(admin, [crd])
    admin.create(spc(), namespace)
    wait_until(lambda: admin.find("secretproviderclasses", namespace, "azure-kvname"), 10, "the class")
    cluster_driver.publish(pod.publish_request())
    assert mounts.contents(pod.target) == {"file": b"content"}
