"""A service account as a pod has it: a token from TokenRequest in a file, and a kubeconfig that names the file."""

from pathlib import Path

from cluster.client import Client


class Account:
    def __init__(self, server, namespace, name, directory):
        self.server, self.namespace, self.name = server, namespace, name
        self.directory = Path(directory)
        self.token_file = self.directory / f"{name}.token"
        self.put_token(self.new_token())
        self.kubeconfig = server.kubeconfig(self.directory / f"{name}.kubeconfig", token_file=self.token_file)

    @property
    def user(self):
        return f"system:serviceaccount:{self.namespace}:{self.name}"

    def new_token(self, seconds=3600, audiences=(), bound_to=None):
        """bound_to: an object (a Secret or a Pod) with whose end the token ends, too."""
        spec = {"expirationSeconds": seconds, "audiences": list(audiences)}
        if bound_to is not None:
            spec["boundObjectRef"] = {"apiVersion": bound_to["apiVersion"], "kind": bound_to["kind"],
                                      "name": bound_to["metadata"]["name"], "uid": bound_to["metadata"]["uid"]}
        path = self.server.admin.path("serviceaccounts/token", self.namespace, self.name, version="v1")
        response = self.server.admin.request("POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
        return response["status"]["token"]

    def put_token(self, token):
        """Replaces the file in one step, as the kubelet does."""
        temporary = self.token_file.with_suffix(".new")
        temporary.write_text(token)
        temporary.rename(self.token_file)

    def client(self):
        return Client("127.0.0.1", self.server.port, self.server.pki.path("ca.crt"), token=self.token_file.read_text())
