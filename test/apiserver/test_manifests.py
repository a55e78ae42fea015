"""Everything in manifests/ and the rendered charts, against the schemas of a real API server (dry run, unknown fields refused)."""

import re

import pytest
import yaml

from charts.helm import DRIVER, EVERYTHING_DRIVER, EVERYTHING_PROVIDER, PROVIDER, one, render
from cluster.client import ApiError
from harness.process import ROOT

pytestmark = pytest.mark.once
OPERATOR = {"PodMonitor", "PrometheusRule"}  # kinds of the Prometheus operator, which is not there
FILES = sorted(path for directory in ("deploy", "optional", "examples") for path in (ROOT / "manifests" / directory).glob("*.yaml"))


def try_to_create(admin, items, namespace):
    for item in items:
        if item["kind"] in OPERATOR:
            continue
        # an object that the control plane has already is refused for that, and only after it has been checked
        try:
            created = admin.create(item, item["metadata"].get("namespace", namespace), dryRun="All", fieldValidation="Strict")
        except ApiError as error:
            if "AlreadyExists" not in str(error) and "already exists" not in str(error):
                raise AssertionError(f"{item['kind']} {item['metadata']['name']}: {error}") from error
        else:
            assert created["metadata"]["name"] == item["metadata"]["name"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_server_accepts_each_manifest_as_it_is(admin, namespace, path):
    text = path.read_text().replace("REGISTRY/", "localhost/").replace(":VERSION", ":0")
    items = [item for item in yaml.safe_load_all(text) if item]
    for item in items:
        # a pod's service account has to exist: the namespace's own will do
        if item["kind"] == "Pod":
            item["spec"]["serviceAccountName"] = "default"
    try_to_create(admin, items, namespace)


@pytest.mark.parametrize("chart, values", [(DRIVER, None), (DRIVER, EVERYTHING_DRIVER), (PROVIDER, None), (PROVIDER, EVERYTHING_PROVIDER)],
                         ids=["driver", "driver, everything", "provider", "provider, everything"])
def test_the_server_accepts_each_rendered_chart_as_it_is(admin, namespace, chart, values):
    try_to_create(admin, render(chart, values, namespace=namespace), namespace)


@pytest.fixture
def violations(admin, namespace):
    """Takes a pod and returns its violations of the profile "restricted" of pod security, as the API server itself reports them."""
    admin.patch("namespaces", None, namespace, {"metadata": {"labels": {"pod-security.kubernetes.io/warn": "restricted"}}})

    def judge(spec):
        item = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "violations"}, "spec": {
            "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": spec}}}
        admin.create(item, namespace, dryRun="All")
        return [reason for warning in admin.warnings if "PodSecurity" in warning
                for reason in re.findall(r"(?:latest\\?\": |\), )([^(]+?) \(", warning)]
    return judge


def pod_of(items, name):
    return one(items, "DaemonSet", name)["spec"]["template"]["spec"]


def test_pod_security_has_nothing_against_the_provider_but_the_directory_of_its_socket(violations):
    """No profile but "privileged" allows a directory of the node."""
    name = "csi-csi-secrets-store-provider-azure"
    assert violations(pod_of(render(PROVIDER, {"linux": {"prepareSocketDirectory": False}}), name)) == ["restricted volume types"]
    spec = pod_of(render(PROVIDER), name)
    assert violations({**spec, "initContainers": []}) == ["restricted volume types"]
    # the init container that prepares this directory: root with one capability
    assert violations(spec) == ["unrestricted capabilities", "restricted volume types", "runAsNonRoot != true", "runAsUser=0"]


def test_pod_security_has_more_against_the_driver(violations):
    assert "privileged" in violations(pod_of(render(DRIVER), "csi-secrets-store-csi-driver"))


def test_the_check_sees_a_misspelt_field(admin, namespace):
    item = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "x"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
                                                                          "spec": {"containers": [{"name": "c", "image": "i", "imagePulPolicy": "Always"}]}}}}
    with pytest.raises(AssertionError, match="imagePulPolicy"):
        try_to_create(admin, [item], namespace)
