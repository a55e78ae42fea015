"""The responses of a real API server to concurrent writes: the texts that the emulator and the driver's client rely on."""

import pytest

from cluster.client import ApiError
from cluster.objects import spc

STATUS = {"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClassPodStatus", "metadata": {"name": "web"},
          "status": {"podName": "web", "mounted": True}}


def refusal(call, *arguments, **keywords):
    with pytest.raises(ApiError) as refused:
        call(*arguments, **keywords)
    return refused.value


def test_a_second_create_already_exists(admin, namespace):
    admin.create(STATUS, namespace)
    error = refusal(admin.create, STATUS, namespace)
    assert (error.status, error.reason) == (409, "AlreadyExists")


def test_a_stale_update_of_a_custom_resource_conflicts(admin, namespace):
    first = admin.create(STATUS, namespace)
    admin.patch("secretproviderclasspodstatuses", namespace, "web", {"status": {"mounted": False}})
    error = refusal(admin.update, first)
    assert (error.status, error.reason) == (409, "Conflict")


def test_a_custom_resource_is_not_updated_without_a_version(admin, namespace):
    admin.create(STATUS, namespace)
    error = refusal(admin.update, dict(STATUS, metadata={"name": "web", "namespace": namespace}))
    assert (error.status, error.reason) == (422, "Invalid")
    assert "resourceVersion" in str(error)


def test_a_merge_patch_with_a_stale_version_conflicts(admin, namespace):
    first = admin.create(STATUS, namespace)
    admin.patch("secretproviderclasspodstatuses", namespace, "web", {"status": {"mounted": False}})
    error = refusal(admin.patch, "secretproviderclasspodstatuses", namespace, "web",
                    {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "status": {"mounted": True}})
    assert (error.status, error.reason) == (409, "Conflict")


def test_an_update_that_changes_nothing_makes_no_new_version(admin, namespace):
    first = admin.create(STATUS, namespace)
    assert admin.update(first)["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_a_delete_with_the_uid_of_another_object_conflicts(admin, namespace):
    admin.create(STATUS, namespace)
    error = refusal(admin.delete, "secretproviderclasspodstatuses", namespace, "web", preconditions={"uid": "00000000-0000-0000-0000-000000000000"})
    assert error.status == 409


def test_the_type_of_a_secret_cannot_be_changed(admin, namespace):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": "Opaque"}
    admin.create(secret, namespace)
    error = refusal(admin.patch, "secrets", namespace, "s", {"type": "kubernetes.io/basic-auth"})
    assert (error.status, error.reason) == (422, "Invalid")
    assert "immutable" in str(error)


def test_strategic_merge_is_not_for_custom_resources(admin, namespace):
    admin.create(spc(), namespace)
    error = refusal(admin.patch, "secretproviderclasses", namespace, "azure-kvname", {"spec": {"provider": "b"}}, kind="strategic-merge")
    assert error.status == 415


def test_a_missing_object_and_a_missing_kind_are_distinguished(admin, namespace):
    error = refusal(admin.get, "secretproviderclasses", namespace, "nowhere")
    assert (error.status, error.reason) == (404, "NotFound")
    assert str(error).endswith('secretproviderclasses.secrets-store.csi.x-k8s.io "nowhere" not found')
    error = refusal(admin.request, "GET", f"/apis/secrets-store.csi.x-k8s.io/v9/namespaces/{namespace}/secretproviderclasses/nowhere")
    assert error.status == 404
    assert error.body == "404 page not found\n"
