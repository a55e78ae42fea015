"""`helm upgrade` from the upstream charts, back, and again, on a node where pods start and end all the while."""

import subprocess

import pytest
import upstream
import yaml
from installation import ROTATION_INTERVAL, SYSTEM
from node import KUBELET_ROOT
from pods import volume
from traffic import PodStream

from charts.helm import PROVIDER as CHART
from charts.helm import program
from cluster import manifests
from harness import mounts, tutorial
from harness.process import ROOT, wait_until

STATUSES = "secretproviderclasspodstatuses"
SYNCED = [{"secretName": "synced", "type": "Opaque", "data": [{"objectName": "secret1", "key": "username"}]}]
# The Go provider would ask login.microsoftonline.com about the login host of any other identity.
IDENTITY = "the-nodes-own"
PARAMETERS = {"cloudName": "AzureStackCloud", "useVMManagedIdentity": "true"}


@pytest.fixture
def release(installation, kubernetes, kubectl, scratch_directory_of_release):
    """Runs helm; the plain installation and our definitions are gone for the time of the test, and the definitions of upstream are there."""
    def helm(*words):
        done = subprocess.run([program(), "--kubeconfig", kubectl.config, "--namespace", SYSTEM, *map(str, words)], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False, timeout=300, cwd=ROOT, env={"HOME": str(scratch_directory_of_release)})
        assert done.returncode == 0, f"helm {words[0]}: {done.stderr}{kubectl.run('-n', SYSTEM, 'describe', 'pods').stdout[-6000:]}"
        return done.stdout
    upstream.load_images(kubernetes.containerd, scratch_directory_of_release)
    installation.uninstall()
    kubectl("apply", "--server-side", "--force-conflicts", "-f", upstream.crds())
    try:
        yield helm
    finally:
        helm("uninstall", "csi", "--wait", "--ignore-not-found")
        wait_until(lambda: not kubernetes.admin.list("daemonsets", SYSTEM), 60, "the DaemonSets to go", pause=0.2)
        manifests.establish(kubernetes.admin, manifests.crds())
        installation.install()


@pytest.fixture
def scratch_directory_of_release(kubernetes):
    directory = kubernetes.directory / "release"
    directory.mkdir()
    return directory


def ours(tags):
    """What migrate.md sets, and the cloud of the test."""
    driver, provider = tags["secrets-store-driver"], tags["secrets-store-provider-azure"]
    sub = upstream.SUBCHART
    sets = {"linux.image.repository": "localhost/secrets-store-provider-azure", "linux.image.tag": provider,
            f"{sub}.linux.image.repository": "localhost/secrets-store-driver", f"{sub}.linux.image.tag": driver,
            f"{sub}.rbac.upstreamDriver": "true",
            "linux.env[0].name": "AZURE_ENVIRONMENT_FILEPATH", "linux.env[0].value": "/cloud/cloud.json",
            "linux.env[1].name": "SSL_CERT_FILE", "linux.env[1].value": "/cloud/ca.pem",
            "linux.extraArgs[0]": f"--republish-cache-ttl={ROTATION_INTERVAL}"}
    return [word for name, value in sets.items() for word in ("--set", f"{name}={value}")]


def test_upgrade_from_upstream_back_and_again_while_pods_start(release, installation, kubernetes, kubectl, make_class, make_pod, admin, namespace,
                                                               emulator, imds, scratch_directory_of_release):
    directory = scratch_directory_of_release
    chart, values = upstream.chart(directory), directory / "values.yaml"
    values.write_text(yaml.safe_dump(upstream.values(ROTATION_INTERVAL)))

    def runs(*images):
        """Both DaemonSets are rolled out, with these images and no other container."""
        for name, image in zip((upstream.DRIVER, upstream.PROVIDER), images, strict=True):
            installation.wait_rolled_out(name, 180)
            (pod,) = [item for item in installation.pods(name) if "deletionTimestamp" not in item["metadata"]]
            assert image in [container["image"] for container in pod["spec"]["containers"]]
        wait_until(installation.registered, 60, "the driver to be registered", pause=0.2)
        assert {item["metadata"]["name"] for item in admin.list("daemonsets", SYSTEM)} == {upstream.DRIVER, upstream.PROVIDER}

    def runs_upstream():
        runs(f"{upstream.DRIVER_IMAGE}:{upstream.TAG}", f"{upstream.PROVIDER_IMAGE}:{upstream.TAG}")

    def runs_ours():
        runs(*(f"localhost/{name}:{installation.tags[name]}" for name in ("secrets-store-driver", "secrets-store-provider-azure")))

    emulator.set_imds(IDENTITY)
    emulator.set_policy(client_id=IDENTITY, permissions=["get"])
    release("install", "csi", chart, "--values", values, "--wait", "--timeout", "180s")
    runs_upstream()
    make_class(parameters=PARAMETERS)
    make_class(name="with-sync", parameters=PARAMETERS, secretObjects=SYNCED)
    kept = [make_pod("of-upstream", volumes=[volume(class_name="with-sync", credentials=None)]).wait_running(120)]
    wait_until(lambda: admin.find("secrets", namespace, "synced"), 60, "the Secret", pause=0.2)

    def volumes_are_right():
        for pod in kept:
            assert pod.read("secret1") == tutorial.SECRETS["secret1"] and pod.read("secret2")
            assert pod.container["restartCount"] == 0

    with PodStream(kubernetes, namespace, [volume(credentials=None)]) as stream:
        stream.wait_for_more()
        kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=release("show", "crds", CHART))
        release("upgrade", "csi", CHART, "--reuse-values", *ours(installation.tags), "--wait", "--timeout", "180s")
        runs_ours()
        stream.wait_for_more()
        kept.append(make_pod("of-ours", volumes=[volume(class_name="with-sync", credentials=None)]).wait_running(120))
        volumes_are_right()
        emulator.set_secret("secret2", "rotated value")
        for pod in kept:
            wait_until(lambda pod=pod: pod.read("secret2") == "rotated value", 90, f"rotation of {pod.name}", pause=0.5)
        checked = [item for item in admin.list(STATUSES, namespace) if item["status"].get("lastCheckedTime")]
        assert checked, "fields of our definitions are lost"

        release("rollback", "csi", "1", "--wait", "--timeout", "180s")
        runs_upstream()
        stream.wait_for_more()
        volumes_are_right()

        release("upgrade", "csi", CHART, "--reuse-values", *ours(installation.tags), "--wait", "--timeout", "180s")
        runs_ours()
        stream.wait_for_more()
        volumes_are_right()
    assert stream.problems == []
    print(f"{stream.done} pods, the slowest in {stream.longest:.0f} s")

    emulator.set_secret("secret2", "rotated again")
    for pod in kept:
        wait_until(lambda pod=pod: pod.read("secret2") == "rotated again", 90, f"rotation of {pod.name}", pause=0.5)
    for pod in kept:
        pod.delete()
        pod.assert_node_is_clean()
    wait_until(lambda: not admin.list("pods", namespace), 60, "the pods to go", pause=0.2)
    wait_until(lambda: not admin.list(STATUSES, namespace), 60, "the status objects to go", pause=0.2)
    wait_until(lambda: not admin.find("secrets", namespace, "synced"), 60, "the Secret to go", pause=0.2)
    wait_until(lambda: not [mount for mount in mounts.mounts_below(KUBELET_ROOT / "pods") if "kubernetes.io~csi" in str(mount)], 60,
               "the volumes to go", pause=0.2)
