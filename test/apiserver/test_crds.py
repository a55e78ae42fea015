"""Our CustomResourceDefinitions in a real API server: accepted, pruned and refused objects."""

import json

import pytest
import yaml

from cluster import manifests
from cluster.client import ApiError
from cluster.objects import spc
from harness import tutorial

FULL = spc("full", parameters={"keyvaultName": "v", "objects": "array:\n  - |\n    objectName: secret1\n"}, secretObjects=[
    {"secretName": "tls", "type": "kubernetes.io/tls", "labels": {"team": "a"}, "annotations": {"note": "b"},
     "data": [{"objectName": "database/cert", "key": "tls.crt"}, {"objectName": "database/key", "key": "tls.key"}]}])
STATUS = {"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClassPodStatus",
          "metadata": {"name": "web-test-full", "labels": {"internal.secrets-store.csi.k8s.io/node-name": "node-1"}},
          "status": {"podName": "web", "secretProviderClassName": "full", "mounted": True, "targetPath": "/var/lib/kubelet/pods/1/mount",
                     "objects": [{"id": "secret/secret1", "version": "1"}, {"id": "secret/secret2", "version": "2"}],
                     "lastCheckedTime": "2026-01-02T03:04:05Z", "lastRotatedTime": "2026-01-02T03:04:05Z",
                     "lastError": "the vault is gone", "lastErrorTime": "2026-01-02T03:04:05Z"}}


def condition(item, kind):
    return next((entry for entry in item["status"]["conditions"] if entry["type"] == kind), {"status": "absent"})


@pytest.mark.parametrize("crd", manifests.crds(), ids=lambda crd: crd["spec"]["names"]["plural"])
def test_a_definition_is_established_and_structural(admin, crd):
    item = admin.get("customresourcedefinitions", None, crd["metadata"]["name"])
    assert condition(item, "Established")["status"] == "True"
    assert condition(item, "NamesAccepted")["status"] == "True"
    assert condition(item, "NonStructuralSchema")["status"] in ("absent", "False"), condition(item, "NonStructuralSchema").get("message")
    assert item["status"]["storedVersions"] == ["v1"]


@pytest.mark.parametrize("crd", manifests.crds(), ids=lambda crd: crd["spec"]["names"]["plural"])
def test_a_definition_keeps_the_names_and_versions_that_clusters_have(admin, crd):
    spec = admin.get("customresourcedefinitions", None, crd["metadata"]["name"])["spec"]
    assert spec["group"] == "secrets-store.csi.x-k8s.io"
    assert spec["scope"] == "Namespaced"
    versions = {version["name"]: version for version in spec["versions"]}
    assert {name: (version["served"], version["storage"]) for name, version in versions.items()} == {
        "v1": (True, True), "v1alpha1": (True, False)}
    assert versions["v1alpha1"]["deprecated"]
    assert all("status" not in (version.get("subresources") or {}) for version in versions.values())


def test_the_definitions_pass_strict_field_validation(admin):
    """A misspelt field in a schema would be dropped without a word otherwise."""
    for crd in manifests.crds():
        current = admin.get("customresourcedefinitions", None, crd["metadata"]["name"])
        changed = dict(crd, metadata=dict(crd["metadata"], resourceVersion=current["metadata"]["resourceVersion"]))
        admin.update(changed, dryRun="All", fieldValidation="Strict")


@pytest.mark.parametrize("version", ["v1", "v1alpha1"])
@pytest.mark.parametrize("wide", [False, True])
def test_kubectl_get_shows_the_pod_the_class_and_the_error(admin, namespace, version, wide):
    """As kubectl asks: the server makes the table. It shows columns of priority 0, and all with -o wide."""
    admin.create(STATUS, namespace)
    connection, response = admin.open_with_accept(f"/apis/secrets-store.csi.x-k8s.io/{version}/namespaces/{namespace}/secretproviderclasspodstatuses",
                                                  "application/json;as=Table;v=v1;g=meta.k8s.io")
    table = json.loads(response.read())
    connection.close()
    columns = [column["name"] for column in table["columnDefinitions"] if wide or column["priority"] == 0]
    assert columns == ["Name", "Pod", "Class", "Checked", *(["Rotated"] if wide else []), "Error", "Age"]
    cells = dict(zip((column["name"] for column in table["columnDefinitions"]), table["rows"][0]["cells"]))
    assert (cells["Name"], cells["Pod"], cells["Class"], cells["Error"]) == ("web-test-full", "web", "full", "the vault is gone")
    assert cells["Checked"]


@pytest.mark.parametrize("version", ["v1", "v1alpha1"])
def test_every_field_of_a_class_is_kept(admin, namespace, version):
    item = dict(FULL, apiVersion=f"secrets-store.csi.x-k8s.io/{version}")
    admin.create(item, namespace, fieldValidation="Strict")
    assert admin.get("secretproviderclasses", namespace, "full", version)["spec"] == FULL["spec"]
    if version == "v1alpha1":
        assert any("deprecated" in warning for warning in admin.warnings), admin.warnings


def test_a_class_written_in_one_version_is_read_in_the_other(admin, namespace):
    admin.create(dict(FULL, apiVersion="secrets-store.csi.x-k8s.io/v1alpha1"), namespace)
    item = admin.get("secretproviderclasses", namespace, "full", "v1")
    assert (item["apiVersion"], item["spec"]) == ("secrets-store.csi.x-k8s.io/v1", FULL["spec"])


def test_the_class_of_the_tutorial_is_accepted_as_it_is(admin, namespace):
    item = yaml.safe_load(tutorial.CLASS.replace("\t", " "))
    admin.create(item, namespace, fieldValidation="Strict")
    assert admin.get("secretproviderclasses", namespace, "azure-kvname")["spec"] == item["spec"]


@pytest.mark.parametrize("item", [item for item in manifests.load("examples", ("SecretProviderClass",))],
                         ids=lambda item: item["metadata"]["name"])
def test_the_examples_are_accepted_without_an_unknown_field(admin, namespace, item):
    item = dict(item, metadata=dict(item["metadata"], namespace=namespace))
    admin.create(item, fieldValidation="Strict")


@pytest.mark.parametrize("version", ["v1", "v1alpha1"])
def test_every_field_of_a_pod_status_is_kept(admin, namespace, version):
    owner = {"apiVersion": "v1", "kind": "ServiceAccount", "name": "default",
             "uid": admin.get("serviceaccounts", namespace, "default")["metadata"]["uid"]}
    item = dict(STATUS, apiVersion=f"secrets-store.csi.x-k8s.io/{version}", metadata=dict(STATUS["metadata"], ownerReferences=[owner]))
    admin.create(item, namespace, fieldValidation="Strict")
    read = admin.get("secretproviderclasspodstatuses", namespace, "web-test-full", version)
    assert read["status"] == STATUS["status"]
    assert read["metadata"]["ownerReferences"] == [owner]


def test_a_pod_status_is_found_by_its_node(admin, namespace):
    admin.create(STATUS, namespace)
    label = "internal.secrets-store.csi.k8s.io/node-name"
    found = admin.list("secretproviderclasspodstatuses", namespace, labelSelector=f"{label}=node-1")
    assert [item["metadata"]["name"] for item in found] == ["web-test-full"]
    assert admin.list("secretproviderclasspodstatuses", namespace, labelSelector=f"{label}=node-2") == []


@pytest.mark.parametrize("parameters", [{"usePodIdentity": False}, {"objects": ["a"]}, {"number": 7}], ids=["boolean", "list", "number"])
def test_a_parameter_that_is_no_string_is_refused_and_named(admin, namespace, parameters):
    with pytest.raises(ApiError) as refused:
        admin.create(spc(parameters=parameters), namespace)
    assert refused.value.status == 422
    assert f"spec.parameters.{next(iter(parameters))}" in str(refused.value)


def test_an_unknown_field_is_pruned_and_strict_clients_get_an_error(admin, namespace):
    item = spc()
    item["spec"]["provdier"] = "azure"
    with pytest.raises(ApiError) as refused:
        admin.create(item, namespace, fieldValidation="Strict")
    assert 'unknown field "spec.provdier"' in str(refused.value)
    admin.create(item, namespace)
    assert "provdier" not in admin.get("secretproviderclasses", namespace, "azure-kvname")["spec"]
