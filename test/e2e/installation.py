"""Our driver and our provider on the cluster: the objects of manifests/ with the images of this build, changed only where a comment says so."""

import copy

import yaml
from images import daemon_archives, reference_of
from node import ADDRESS, CLOUD_HOSTS, NAME

from cluster import manifests
from harness.process import ROOT, wait_until

DRIVER_NAME = "secrets-store.csi.k8s.io"
DRIVER = "csi-secrets-store"
PROVIDER = "csi-secrets-store-provider-azure"
SYSTEM = "kube-system"
AUDIENCE = "api://AzureADTokenExchange"
ROTATION_INTERVAL = "2s"


def with_images(item, tags):
    """The DaemonSet with REGISTRY/name:VERSION replaced by the image of this build."""
    item = copy.deepcopy(item)
    spec = item["spec"]["template"]["spec"]
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        name = container["image"].rsplit("/", 1)[-1].split(":")[0]
        container["image"] = f"localhost/{name}:{tags[name]}"
    return item


def provider_in_the_nodes_network():
    """The provider's DaemonSet, changed as its comment says for pod identity."""
    text = (ROOT / "manifests/deploy/provider-azure.yaml").read_text()
    for old, new in (("# hostNetwork: true", "hostNetwork: true"), ("# dnsPolicy: ", "dnsPolicy: "), ("maxSurge: 1", "maxSurge: 0"),
                     ("maxUnavailable: 0", "maxUnavailable: 1")):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return next(item for item in yaml.safe_load_all(text) if item["kind"] == "DaemonSet")


class Installation:
    def __init__(self, cluster, emulator):
        self.cluster, self.emulator, self.admin = cluster, emulator, cluster.admin
        self.tags = {}
        self.load_images("e2e")
        self.put_cloud()
        self.daemon_sets = {item["metadata"]["name"]: item for item in manifests.load("deploy", ["DaemonSet"])}
        assert set(self.daemon_sets) == {DRIVER, PROVIDER}
        self.install()

    def install(self):
        """`kubectl apply -f manifests/crds/ -f manifests/deploy/`, and wait until it serves."""
        manifests.establish(self.admin, manifests.crds())
        for item in [*manifests.rbac(), *manifests.policies(), self.csidriver()]:
            self.admin.apply(item)
        self.apply_driver()
        self.apply_provider()
        self.wait_rolled_out(DRIVER)
        self.wait_rolled_out(PROVIDER)
        wait_until(self.registered, 60, "the driver to be registered", pause=0.2)

    def uninstall(self):
        """The same backwards, but for the definitions: people's classes go with them."""
        for name in (DRIVER, PROVIDER):
            self.remove(name)
        for item in [*manifests.rbac(), *manifests.policies(), self.csidriver()]:
            plural = self.admin.plural_of(item["apiVersion"], item["kind"])
            self.admin.delete(plural, item["metadata"].get("namespace"), item["metadata"]["name"])

    def csidriver(self):
        item = manifests.load("deploy", ["CSIDriver"])[0]
        # for workload identity, as the manifest says
        item["spec"]["tokenRequests"] = [{"audience": AUDIENCE}]
        if int(self.admin.request("GET", "/version")["minor"]) >= 35:
            item["spec"]["serviceAccountTokenInSecrets"] = True
        return item

    def load_images(self, tag):
        """Gives the release's images a tag of their own and uses them under it from now on: an upgrade, to Kubernetes."""
        for name, archive in daemon_archives().items():
            self.cluster.containerd.import_image(archive, reference_of(archive), f"localhost/{name}:{tag}")
            self.tags[name] = tag

    def put_cloud(self):
        """The place of the emulator, for the provider: the settings of an operator with a cloud of one's own."""
        data = {name: (self.emulator.directory / name).read_text() for name in ("cloud.json", "ca.pem")}
        self.admin.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cloud", "namespace": SYSTEM}, "data": data})

    def apply_driver(self, args=()):
        item = with_images(self.daemon_sets[DRIVER], self.tags)
        container = item["spec"]["template"]["spec"]["containers"][0]
        # the tests do not wait for minutes
        container["args"] = [*container["args"], f"--rotation-poll-interval={ROTATION_INTERVAL}", "-v=5", *args]
        self.admin.apply(item)

    def apply_provider(self, args=(), nodes_network=False):
        item = with_images(provider_in_the_nodes_network() if nodes_network else self.daemon_sets[PROVIDER], self.tags)
        spec = item["spec"]["template"]["spec"]
        # as if there were no DNS
        spec["hostAliases"] = [{"ip": ADDRESS, "hostnames": list(CLOUD_HOSTS)}]
        container = spec["containers"][0]
        container["args"] = [*container["args"], "--cloud-name=AzureStackCloud", f"--republish-cache-ttl={ROTATION_INTERVAL}", "-v=5", *args]
        container["env"] = [*container.get("env", []), {"name": "AZURE_ENVIRONMENT_FILEPATH", "value": "/cloud/cloud.json"},
                            {"name": "SSL_CERT_FILE", "value": "/cloud/ca.pem"}]
        container["volumeMounts"] = [*container["volumeMounts"], {"name": "cloud", "mountPath": "/cloud", "readOnly": True}]
        spec["volumes"] = [*spec["volumes"], {"name": "cloud", "configMap": {"name": "cloud"}}]
        self.admin.apply(item)

    def wait_rolled_out(self, name, timeout=120):
        def rolled_out():
            item = self.admin.get("daemonsets", SYSTEM, name)
            status = item["status"]
            return (status.get("observedGeneration") == item["metadata"]["generation"] and status.get("desiredNumberScheduled") == 1
                    and status.get("updatedNumberScheduled") == 1 and status.get("numberAvailable") == 1)
        try:
            wait_until(rolled_out, timeout, f"the DaemonSet {name}", pause=0.2)
        except AssertionError:
            raise AssertionError(self.describe(name)) from None

    def describe(self, name):
        """Everything that a person would read for the cause of a failure."""
        pods = [pod["metadata"]["name"] for pod in self.pods(name)]
        texts = [self.cluster.kubectl.run("-n", SYSTEM, "describe", "pod", pod).stdout[-4000:] for pod in pods]
        return f"{name} does not come up\n" + "\n".join(texts) + self.logs(name)

    def pods(self, name):
        return [pod for pod in self.admin.list("pods", SYSTEM)
                if any(owner["name"] == name for owner in pod["metadata"].get("ownerReferences", []))]

    def logs(self, name):
        return "\n".join(self.cluster.kubectl.run("-n", SYSTEM, "logs", pod["metadata"]["name"]).stdout for pod in self.pods(name))

    def registered(self):
        item = self.admin.find("csinodes", None, NAME)
        return item is not None and any(driver["name"] == DRIVER_NAME for driver in item["spec"].get("drivers") or [])

    def remove(self, name):
        self.admin.delete("daemonsets", SYSTEM, name, propagationPolicy="Foreground")
        # an object of the same name that is applied before the old one is gone would go with it
        wait_until(lambda: not self.pods(name) and self.admin.find("daemonsets", SYSTEM, name) is None, 120, f"{name} to be gone", pause=0.2)
