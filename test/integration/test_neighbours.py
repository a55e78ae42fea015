"""Programs beside ours that no registry of the tests has: their contracts, and the files that we ship for them (docs/neighbours.md)."""

import json
import os
import re

import pytest
import yaml
from proto import provider_pb2

from harness import rpc, tutorial
from harness.azure_mounts import texts, versions_of
from harness.ctl import ctl
from harness.identities import TOKENS, Issuer, subject_of, tokens_json
from harness.process import ROOT, free_port

NEIGHBOURS = ROOT / "manifests/neighbours"
APP = "00000000-aaaa-4bbb-8ccc-dddddddddddd"


# --- the sync controller ---

@pytest.fixture(scope="module")
def values():
    return yaml.safe_load((NEIGHBOURS / "secrets-store-sync-controller-values.yaml").read_text())


def controller_request(token, namespace="default", account="web"):
    """What the controller sends for a SecretSync: the class's parameters, its own pod's name and uid, the token; no Secret, no earlier versions."""
    parameters = {key: value for key, value in tutorial.attributes(("secret1",), clientID=APP).items() if not key.startswith(("csi.", "secretProviderClass"))}
    attributes = {**parameters, "csi.storage.k8s.io/pod.name": "secrets-store-sync-controller-manager-0", "csi.storage.k8s.io/pod.uid": "u",
                  "csi.storage.k8s.io/pod.namespace": namespace, "csi.storage.k8s.io/serviceAccount.name": account, TOKENS: tokens_json(workload=token)}
    return provider_pb2.MountRequest(attributes=json.dumps(attributes), secrets="{}", permission="420", target_path="/mnt/secrets-store")


def test_the_provider_serves_the_sync_controller_with_the_values_that_are_shipped(values, start_azure, emulator, node):
    (container,) = values["providerContainer"]
    ports = {"--healthz-port": free_port(), "--prometheus-port": free_port()}
    flags = [f"{name}={ports.get(name, value)}" for name, value in (flag.split("=") for flag in container["args"]) if name != "--endpoint"]
    assert container["args"][0] == "--endpoint=unix:///provider/azure.sock"  # the controller connects to /provider/<provider>.sock
    assert container["volumeMounts"] == [{"name": "providervol", "mountPath": "/provider"}]
    # root without capabilities, in a directory of root's: as the container runs
    wrapper = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    node.providers.chmod(0o755)
    azure = start_azure(*flags, wrapper=wrapper)
    issuer = Issuer()
    issuer.register(emulator)
    emulator.control("POST", "/entra/apps", {"tenant": tutorial.TENANT, "client_id": APP, "federated": [
        {"issuer": issuer.url, "subject": subject_of("default", "web"), "audience": values["tokenRequestAudience"][0]["audience"]}]})
    emulator.set_policy(client_id=APP, permissions=["get"])
    request = controller_request(issuer.token(subject_of("default", "web")))
    with rpc.Client(azure.socket) as client:
        assert client.call("/v1alpha1.CSIDriverProvider/Version", provider_pb2.VersionRequest(version="v1alpha1")).version == "v1alpha1"
        response = client.call(rpc.MOUNT, request)
        assert texts(response) == {"secret1": tutorial.SECRETS["secret1"]} and len(versions_of(response)) == 1
        emulator.set_secret("secret1", "a newer value")
        assert texts(client.call(rpc.MOUNT, request)) == {"secret1": "a newer value"}  # asks the vault each time
        code, text = rpc.failure(client.call, rpc.MOUNT, controller_request("not.a.token"))
        assert "AADSTS" in text, (code, text)
    assert ctl("version", endpoint=azure.socket).returncode == 0


def test_the_values_have_the_keys_of_the_chart(values):
    """Of version 0.0.4: other keys would have no effect."""
    assert set(values) == {"tokenRequestAudience", "rotationPollInterval", "providerContainer"}
    (container,) = values["providerContainer"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]} and not container["securityContext"]["allowPrivilegeEscalation"]
    daemon = next(item for item in yaml.safe_load_all((ROOT / "manifests/deploy/provider-azure.yaml").read_text()) if item and item["kind"] == "DaemonSet")
    shipped = daemon["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == shipped["image"] and container["command"] == shipped["command"]
    assert set(container["args"]) <= set(shipped["args"])


# --- kube-state-metrics ---

def test_every_path_of_the_kube_state_metrics_configuration_is_in_the_definition():
    config = yaml.safe_load((NEIGHBOURS / "kube-state-metrics-config.yaml").read_text())
    (resource,) = config["spec"]["resources"]
    definition = yaml.safe_load((ROOT / "manifests/crds/secretproviderclasspodstatuses.yaml").read_text())["spec"]
    kind = resource["groupVersionKind"]
    assert (kind["group"], kind["kind"]) == (definition["group"], definition["names"]["kind"])
    (version,) = [version for version in definition["versions"] if version["name"] == kind["version"]]
    schema = version["schema"]["openAPIV3Schema"]

    def type_at(path):
        at = schema
        for name in path:
            at = at["properties"][name]
        return at["type"], at.get("format")
    for path in resource["labelsFromPath"].values():
        assert path[0] == "metadata" or type_at(path)[0] == "string", path
    for metric in resource["metrics"]:
        path = metric["each"]["gauge"]["path"]
        # what kube-state-metrics makes a number of: booleans and times of RFC 3339
        assert type_at(path) in (("boolean", None), ("string", "date-time")), path
        assert metric["each"]["type"] == "Gauge" and metric["help"].endswith(".")
        # a field that an object does not have would otherwise be an error in its log, each time the object changes
        assert path == ["status", "mounted"] or metric["errorLogV"] >= 5, metric
    names = {f"{resource['metricNamePrefix']}_{metric['name']}" for metric in resource["metrics"]}
    documented = set(re.findall(r"^\| `(secretproviderclasspodstatus_\w+)`", (ROOT / "docs/neighbours.md").read_text(), re.MULTILINE))
    assert names == documented
