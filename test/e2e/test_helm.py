"""Installed as the tutorial says, by `helm install` of one chart; upgraded and removed by helm, too."""

import os
import shlex
import subprocess

import pytest
import yaml
from images import daemon_archives
from installation import ROTATION_INTERVAL, SYSTEM
from traffic import Traffic

from charts.helm import PROVIDER as CHART
from charts.helm import program
from harness import tutorial
from harness.process import ROOT, wait_until
from harness.registry import Registry

SECRET_OBJECTS = [{"secretName": "synced", "type": "Opaque", "data": [{"objectName": "secret1", "key": "username"}]}]
ENVIRONMENT = {"env": [{"name": "SECRET_USERNAME", "valueFrom": {"secretKeyRef": {"name": "synced", "key": "username"}}}]}


def values(tags):
    """The cloud of the test, and what an operator switches on; names of values as they always were."""
    return {
        "cloudName": "AzureStackCloud",
        "linux": {
            "image": {"repository": "localhost/secrets-store-provider-azure", "tag": tags["secrets-store-provider-azure"]},
            "env": [{"name": "AZURE_ENVIRONMENT_FILEPATH", "value": "/cloud/cloud.json"}, {"name": "SSL_CERT_FILE", "value": "/cloud/ca.pem"}],
            "volumes": [{"name": "cloud", "configMap": {"name": "cloud"}}],
            "volumeMounts": [{"name": "cloud", "mountPath": "/cloud", "readOnly": True}],
            "extraArgs": [f"--republish-cache-ttl={ROTATION_INTERVAL}"],
        },
        "secrets-store-csi-driver": {
            "linux": {"image": {"repository": "localhost/secrets-store-driver", "tag": tags["secrets-store-driver"]}},
            "enableSecretRotation": True, "rotationPollInterval": ROTATION_INTERVAL, "syncSecret": {"enabled": True},
        },
    }


@pytest.fixture
def helm(installation, kubectl):
    """Runs helm on the cluster, from which the plain installation is gone for the time of the test."""
    file = installation.cluster.directory / "values.yaml"

    def run(*words):
        file.write_text(yaml.safe_dump(values(installation.tags)))
        done = subprocess.run([program(), "--kubeconfig", kubectl.config, "--namespace", SYSTEM, *words], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False, timeout=300, cwd=ROOT, env={"HOME": str(installation.cluster.directory)})
        assert done.returncode == 0, f"helm {words[0]}: {done.stderr}{kubectl.run('-n', SYSTEM, 'describe', 'pods').stdout[-6000:]}"
        return done.stdout
    run.values = ("--values", str(file))
    installation.uninstall()
    try:
        yield run
    finally:
        installation.install()


def test_the_chart_installs_upgrades_and_leaves(helm, installation, kubernetes, kubectl, make_class, make_pod, admin, namespace, emulator):
    installed = helm("install", str(CHART), "--generate-name", *helm.values, "--wait", "--timeout", "120s")
    name = next(line.split()[1] for line in installed.splitlines() if line.startswith("NAME:"))
    wait_until(installation.registered, 60, "the driver to be registered", pause=0.2)

    make_class(secretObjects=SECRET_OBJECTS)
    pod = make_pod(container=ENVIRONMENT).wait_running()
    assert pod.read("secret1") == tutorial.SECRETS["secret1"]
    assert pod.exec("sh", "-c", "echo -n $SECRET_USERNAME") == tutorial.SECRETS["secret1"]

    with Traffic(kubernetes, namespace) as traffic:
        installation.load_images("by-helm")
        helm("upgrade", name, str(CHART), *helm.values, "--wait", "--timeout", "120s")
        traffic.wait_for_more()
    assert traffic.problems == []
    images = {container["image"] for item in admin.list("pods", SYSTEM) for container in item["spec"]["containers"]}
    assert images == {"localhost/secrets-store-driver:by-helm", "localhost/secrets-store-provider-azure:by-helm"}
    emulator.set_secret("secret1", "rotated value")
    wait_until(lambda: pod.read("secret1") == "rotated value", 60, "rotation after the upgrade", pause=0.5)

    pod.delete()
    pod.assert_node_is_clean()
    helm("uninstall", name, "--wait")
    wait_until(lambda: not admin.list("daemonsets", SYSTEM), 60, "the DaemonSets to go", pause=0.2)
    assert admin.find("csidrivers", None, "secrets-store.csi.k8s.io") is None
    assert admin.find("secretproviderclasses", namespace, "azure-kvname"), "definitions and classes stay"


@pytest.fixture
def registry(scratch):
    running = Registry(scratch)
    yield running
    running.stop()


def test_a_chart_in_a_registry_brings_its_own_images(helm, registry, scratch, installation, admin, make_class, make_pod):
    """As after `make release` and `make release-publish`: nothing is imported on the node, and the chart names the images by digest."""
    images = {name: registry.push_image(archive, f"{name}:0.0.9") for name, archive in daemon_archives().items()}
    subprocess.run([ROOT / "release/charts.sh", "0.0.9", images["secrets-store-driver"], images["secrets-store-provider-azure"], scratch],
                   check=True, timeout=300, env={**os.environ, "SOURCE_DATE_EPOCH": "0"})
    helm("push", "--plain-http", str(scratch / "csi-secrets-store-provider-azure-0.0.9.tgz"), f"oci://{registry.address}/charts")

    chosen = values(installation.tags)
    del chosen["linux"]["image"], chosen["secrets-store-csi-driver"]["linux"]
    file = scratch / "values.yaml"
    file.write_text(yaml.safe_dump(chosen))
    helm("install", "csi", f"oci://{registry.address}/charts/csi-secrets-store-provider-azure", "--plain-http", "--version", "0.0.9",
         "--values", str(file), "--wait", "--timeout", "120s")
    wait_until(installation.registered, 60, "the driver to be registered", pause=0.2)
    assert {container["image"] for item in admin.list("pods", SYSTEM) for container in item["spec"]["containers"]} == set(images.values())
    make_class()
    pod = make_pod().wait_running()
    assert pod.read("secret1") == tutorial.SECRETS["secret1"]
    pod.delete()
    pod.assert_node_is_clean()
    helm("uninstall", "csi", "--wait")


def test_the_provider_moves_into_the_nodes_network_for_pod_identity(helm, installation, apply_example, pod_identity, emulator, namespace):
    """The tutorial's own line; a pod that waits for it starts."""
    (line,) = [line for block in tutorial.blocks(tutorial.sections()["Pod identity"]) for line in block.splitlines() if "hostNetwork" in line]
    upgrade = shlex.split(line)
    assert upgrade[:3] == ["helm", "upgrade", "csi"]

    helm("install", "csi", str(CHART), *helm.values, "--wait", "--timeout", "120s")
    wait_until(installation.registered, 60, "the driver to be registered", pause=0.2)
    emulator.set_policy(client_id="bound", permissions=["get"])
    emulator.bind_pod(namespace, "secrets-store-pod-identity", "bound")
    pod = apply_example("pod-identity.yaml")
    assert "no response from NMI" in pod.wait_failed_mount()
    helm(*upgrade[1:], "--wait", "--timeout", "120s")
    assert pod.wait_running(90).read("secret1") == tutorial.SECRETS["secret1"]
    pod.delete(gracePeriodSeconds=1)
    pod.assert_node_is_clean()
    helm("uninstall", "csi", "--wait")
