"""Fixtures: a single-node Kubernetes for the whole run, with our driver and our provider installed from our manifests."""

import itertools
import os

import pytest
from azure_node import IMDS, PodIdentity
from examples import Example
from installation import AUDIENCE, PROVIDER, Installation
from node import ADDRESS, DOMAIN
from pods import WORKLOAD_CLIENT, UserPod, pod_spec
from single_node import SingleNode

from cluster.programs import ISSUER, kubernetes_programs
from harness import tutorial
from harness.emulator import Emulator
from harness.relay import Relay
from harness.scratch import SCRATCH, scratch_directory

_numbers = itertools.count(1)


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
    emulator = Emulator(scratch_directory("emulator"), arguments=["--address", ADDRESS, "--domain", DOMAIN])
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
def trust(emulator, kubernetes):
    """trust(subject, **more): the application trusts tokens of this cluster for that subject."""
    keys = kubernetes.admin.request("GET", "/openid/v1/jwks")["keys"]
    assert kubernetes.admin.request("GET", "/.well-known/openid-configuration")["issuer"] == ISSUER
    pem = kubernetes.pki.path("sa.pub").read_text()
    emulator.control("POST", "/entra/issuers", {"issuer": ISSUER, "keys": [{"kid": key["kid"], "pem": pem} for key in keys]})

    def trust(subject, audience=AUDIENCE):
        emulator.control("POST", "/entra/apps", {"tenant": tutorial.TENANT, "client_id": WORKLOAD_CLIENT, "federated": [
            {"issuer": ISSUER, "subject": subject, "audience": audience}]})
        emulator.control("PUT", f"/vaults/{tutorial.VAULT}/policies", {"client_id": WORKLOAD_CLIENT, "permissions": ["get"]})
    return trust


@pytest.fixture
def scratch():
    return scratch_directory()


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
    """make_class(names=("secret1", "secret2"), name="azure-kvname", version="v1", parameters={}, annotations={}, **spec)"""
    def make(names=("secret1", "secret2"), name="azure-kvname", version="v1", parameters=None, annotations=None, **spec):
        values = {"keyvaultName": tutorial.VAULT, "tenantId": tutorial.TENANT, "objects": tutorial.objects_yaml(names), **(parameters or {})}
        return admin.create({"apiVersion": f"secrets-store.csi.x-k8s.io/{version}", "kind": "SecretProviderClass",
                             "metadata": {"name": name, "annotations": annotations or {}},
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
