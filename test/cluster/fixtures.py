"""Fixtures: one control plane for the whole run, with our CRDs and our roles; a namespace and a driver account for each test.

A plugin of pytest, as harness/fixtures.py is, whose fixtures (node, scripted, start_driver, emulator, azure, ...) these need.
"""

import itertools

import pytest

from cluster import manifests
from cluster.account import Account
from cluster.objects import PodVolume
from cluster.programs import ControlPlane, kubernetes_programs
from harness.process import wait_until
from harness.scratch import SCRATCH

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def control_plane():
    """etcd, kube-apiserver and kube-controller-manager with our CRDs, exactly our roles, and our admission policies."""
    plane = ControlPlane(SCRATCH / "control-plane", kubernetes_programs("kube-apiserver", "kube-controller-manager"))
    try:
        manifests.establish(plane.admin, manifests.crds())
        wait_until(lambda: plane.admin.find("namespaces", None, "kube-system"), 30, "the namespace kube-system", pause=0.02)
        for item in [*manifests.rbac(), *manifests.policies()]:
            plane.admin.apply(item)
        yield plane
    finally:
        plane.destroy()


@pytest.fixture
def server(control_plane):
    """The API server; a test that stopped it or changed its roles leaves it running with exactly ours."""
    yield control_plane.server
    if not control_plane.server.process.alive:
        control_plane.server.start()


@pytest.fixture
def admin(server):
    return server.admin


@pytest.fixture
def namespace(admin):
    """A namespace of the test's own, with the service account that pods need: the controller makes it as well, but may be late."""
    name = f"test-{next(_numbers)}"
    admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    admin.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}})
    return name


@pytest.fixture
def account(server, scratch):
    """The driver's service account, with the rights that manifests/deploy gives it."""
    return Account(server, *manifests.DRIVER_ACCOUNT, scratch)


@pytest.fixture
def start_cluster_driver(start_driver, account):
    """Starts drivers that find their API server by the account's kubeconfig."""
    return lambda *flags, **keywords: start_driver(f"--kubeconfig={account.kubeconfig}", *flags, standalone=False, **keywords)


@pytest.fixture
def cluster_driver(start_cluster_driver):
    return start_cluster_driver()


@pytest.fixture
def make_pod(admin, node, namespace):
    """make_pod(name="web", class_name="azure-kvname", volume="secrets", owners=None): the pod is in the API when it returns."""
    def make(name="web", class_name="azure-kvname", volume="secrets", owners=None):
        return PodVolume(admin, node, namespace, name, class_name, volume, owners)
    return make
