"""The services of a node in Azure that the provider uses: its metadata service (IMDS), and aad-pod-identity with its node component (NMI).

The emulator serves both; here they get the addresses at which the provider expects them.
"""

import subprocess
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from node import POD_RANGE

from cluster import manifests
from harness.relay import Relay

IMDS = ("169.254.169.254", 80)
NMI = ("127.0.0.1", 2579)  # of the node: pods reach it in the node's network only


def query_of(request):
    """The query of a request in the emulator's log: {parameter: value}."""
    return {name: value for name, (value,) in parse_qs(urlsplit(request["path"]).query, strict_parsing=True).items()}


@contextmanager
def pods_kept_from_imds():
    """As a network policy that rejects: requests of pods do not reach IMDS, those of the node do."""
    def ip(*words):
        subprocess.run(["ip", "rule", *words], check=True)
    local_later, unreachable = ("pref", "2", "lookup", "local"), ("pref", "1", "from", POD_RANGE, "to", IMDS[0], "unreachable")
    ip("add", *local_later)  # the address is local, and by default that comes before all other rules
    ip("del", "pref", "0")
    ip("add", *unreachable)
    yield
    ip("add", "pref", "0", "lookup", "local")
    ip("del", *unreachable)
    ip("del", *local_later)


def _definition(kind, singular, plural, fields):
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.aadpodidentity.k8s.io", "annotations": {"api-approved.kubernetes.io": "unapproved"}},
            "spec": {"group": "aadpodidentity.k8s.io", "scope": "Namespaced", "names": {"kind": kind, "singular": singular, "plural": plural},
                     "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                         "spec": {"type": "object", "properties": {name: {"type": kind_of} for name, kind_of in fields.items()}}}}}}]}}


# The fields that people set, by the names and types that aad-pod-identity 1.8 has for them.
DEFINITIONS = [
    _definition("AzureIdentity", "azureidentity", "azureidentities",
                {"type": "integer", "resourceID": "string", "clientID": "string", "tenantID": "string"}),
    _definition("AzureIdentityBinding", "azureidentitybinding", "azureidentitybindings",
                {"azureIdentity": "string", "selector": "string", "weight": "integer"}),
]


class PodIdentity:
    """aad-pod-identity on this cluster."""

    def __init__(self, admin, emulator):
        self._admin, self._emulator = admin, emulator
        manifests.establish(admin, DEFINITIONS)
        self._nmi = None
        self.start_nmi()

    def start_nmi(self):
        self._nmi = Relay(NMI, self._emulator.node_port)

    def stop_nmi(self):
        if self._nmi is not None:
            self._nmi.close()
        self._nmi = None

    def assign(self, namespace, pod):
        """Acts as its controller for a pod (an object): NMI gets the identity of the binding that selects the pod by its label."""
        label = pod["metadata"].get("labels", {}).get("aadpodidbinding")
        for binding in self._admin.list("azureidentitybindings", namespace):
            if binding["spec"]["selector"] == label:
                identity = self._admin.get("azureidentities", namespace, binding["spec"]["azureIdentity"])
                assert identity["spec"]["type"] == 0, "a managed identity"
                self._emulator.bind_pod(namespace, pod["metadata"]["name"], identity["spec"]["clientID"])
                return
        raise AssertionError(f"no AzureIdentityBinding selects {label!r}")
