"""Fixtures: a single-node Kubernetes for the whole run, with our driver and our provider installed from our manifests."""

import itertools
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from azure_node import IMDS, PodIdentity  # noqa: E402
from examples import Example  # noqa: E402
from installation import PROVIDER, Installation  # noqa: E402
from node import ADDRESS, DOMAIN  # noqa: E402
from pods import UserPod, pod_spec  # noqa: E402
from single_node import SingleNode  # noqa: E402

from cluster.programs import kubernetes_programs  # noqa: E402
from harness import tutorial  # noqa: E402
from harness.emulator import Emulator  # noqa: E402
from harness.relay import Relay  # noqa: E402

_numbers = itertools.count(1)
SCRATCH = Path(os.environ.get("TEST_SCRATCH", "/tmp"))


@pytest.fixture(scope="session")
def kubernetes():
    """The cluster, its node Ready."""
    assert "E2E_LOGS" in os.environ, "start this with test/e2e/run.sh"
    programs = kubernetes_programs("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl")
    cluster = SingleNode(SCRATCH / "cluster", programs)
    yield cluster
    cluster.destroy()


@pytest.fixture(scope="session")
def the_emulator():
    directory = SCRATCH / "emulator"
    directory.mkdir()
    emulator = Emulator(directory, arguments=["--address", ADDRESS, "--domain", DOMAIN])
    yield emulator
    emulator.destroy()


@pytest.fixture(scope="session")
def the_installation(kubernetes, the_emulator):
    return Installation(kubernetes, the_emulator)


@pytest.fixture
def installation(the_installation):
    """The driver and the provider, installed from our manifests, running and registered."""
    return the_installation


@pytest.fixture
def emulator(the_emulator):
    the_emulator.reset()
    yield the_emulator
    the_emulator.clear_faults()


@pytest.fixture(scope="module")
def nodes_network(the_installation):
    """The provider in the node's network (`linux.hostNetwork=true`), until the end of the module."""
    the_installation.apply_provider(nodes_network=True)
    the_installation.wait_rolled_out(PROVIDER)
    yield
    the_installation.apply_provider()
    the_installation.wait_rolled_out(PROVIDER)


@pytest.fixture
def imds(emulator):
    """The node's metadata service, where it always is; identities by emulator.set_imds()."""
    relay = Relay(IMDS, emulator.node_port)
    yield relay
    relay.close()


@pytest.fixture
def pod_identity(admin, emulator):
    """aad-pod-identity, running."""
    running = PodIdentity(admin, emulator)
    yield running
    running.stop_nmi()


@pytest.fixture
def admin(kubernetes):
    return kubernetes.admin


@pytest.fixture
def kubectl(kubernetes):
    return kubernetes.kubectl


@pytest.fixture
def namespace(admin, installation, emulator):
    """A namespace with the tutorial's credentials and its class, each under the tutorial's name; deleted afterwards, pods and all."""
    name = f"test-{next(_numbers)}"
    admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    admin.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}})
    admin.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "secrets-store-creds"}, "stringData": tutorial.CREDENTIALS}, name)
    yield name
    admin.delete("namespaces", None, name)


@pytest.fixture
def make_class(admin, namespace):
    """make_class(names=("secret1", "secret2"), name="azure-kvname", version="v1", parameters={}, **spec)"""
    def make(names=("secret1", "secret2"), name="azure-kvname", version="v1", parameters=None, **spec):
        values = {"keyvaultName": tutorial.VAULT, "tenantId": tutorial.TENANT, "objects": tutorial.objects_yaml(names), **(parameters or {})}
        return admin.create({"apiVersion": f"secrets-store.csi.x-k8s.io/{version}", "kind": "SecretProviderClass", "metadata": {"name": name},
                             "spec": {"provider": "azure", "parameters": values, **spec}}, namespace)
    return make


@pytest.fixture
def make_pod(kubernetes, namespace):
    """make_pod(name="web", labels=None, **pod_spec's keywords) creates a pod and does not wait for it."""
    made = []

    def make(name="web", labels=None, **keywords):
        made.append(UserPod(kubernetes, namespace, name, pod_spec(**keywords), labels=labels))
        return made[-1]
    yield make
    for pod in made:
        pod.delete(wait=False)
    for pod in made:
        pod.wait_gone()


@pytest.fixture
def apply_example(kubernetes, namespace):
    """apply_example(file, {what it says: what is to stand there instead}) of manifests/examples; returns its pod."""
    made = []

    def apply(file, edits=None):
        made.append(Example(file, edits).apply(kubernetes, namespace))
        return made[-1]
    yield apply
    for pod in made:
        pod.delete(wait=False, gracePeriodSeconds=1)  # `sleep infinity` does not listen
    for pod in made:
        pod.wait_gone()
