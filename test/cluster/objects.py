"""Objects of the API that tests make: classes, and pods with one volume of ours."""

from harness import rpc


def spc(name="azure-kvname", provider="scripted", parameters=None, version="v1", **spec):
    """A SecretProviderClass; keywords go into its spec."""
    return {"apiVersion": f"secrets-store.csi.x-k8s.io/{version}", "kind": "SecretProviderClass", "metadata": {"name": name},
            "spec": {"provider": provider, "parameters": parameters or {"colour": "green"}, **spec}}


class PodVolume:
    """A pod in the API, and what a kubelet knows of its one volume."""

    def __init__(self, admin, node, namespace, name, class_name, volume, owners):
        attributes = {"secretProviderClass": class_name}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "ownerReferences": owners or []},
                "spec": {"nodeName": "node-1", "containers": [{"name": "app", "image": "app"}], "terminationGracePeriodSeconds": 0,
                         "volumes": [{"name": volume, "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": True,
                                                              "volumeAttributes": attributes}}]}}
        self.admin, self.namespace, self.name, self.class_name, self.volume = admin, namespace, name, class_name, volume
        self.object = admin.create(body, namespace)
        self.uid = self.object["metadata"]["uid"]
        self.target = node.target(self.uid, volume)

    def publish_request(self, **keywords):
        return rpc.publish_request(self.target, class_name=self.class_name, namespace=self.namespace, pod=self.name, pod_uid=self.uid,
                                   volume=self.volume, **keywords)

    def unpublish_request(self):
        return rpc.unpublish_request(self.target, pod_uid=self.uid, volume=self.volume)

    def delete(self):
        self.admin.delete("pods", self.namespace, self.name, gracePeriodSeconds=0)
