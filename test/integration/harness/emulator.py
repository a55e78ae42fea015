"""The vault emulator and its control API (test/emulator/README.md)."""

import contextlib
import http.client
import json
from pathlib import Path

from harness import tutorial
from harness.process import BUILD, Process, wait_until


class Emulator(Process):
    def __init__(self, directory, name="vault", arguments=()):
        self.directory = Path(directory)
        super().__init__(name, [BUILD / "bin/vault-emulator", "--dir", directory, *arguments], directory)
        wait_until((self.directory / "ready").exists, what="the emulator to be ready")
        ports = json.loads((self.directory / "ports.json").read_text())
        self.tls_port = ports["tls"]
        self.node_port = ports["node"]
        self.control_port = ports["control"]
        self.kubeconfig = self.directory / "kubeconfig"

    def control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=30)) as connection:
            connection.request(method, path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        assert response.status < 400, f"{method} {path}: {response.status} {text[:500]!r}"
        return json.loads(text) if text else None

    def provider_environment(self):
        """The environment in which this emulator is the cloud of the Azure provider."""
        return {"AZURE_ENVIRONMENT_FILEPATH": str(self.directory / "cloud.json"), "SSL_CERT_FILE": str(self.directory / "ca.pem")}

    @property
    def vault_resource(self):
        """The resource of tokens for the vaults of this cloud: the cloud file's keyVaultEndpoint, without the slash at its end."""
        return json.loads((self.directory / "cloud.json").read_text())["keyVaultEndpoint"].rstrip("/")

    def reset(self):
        """The tutorial's state: its tenant, its application, its vault with two secrets; a node and pods without identities, no faults, no tokens,
        counters at zero."""
        vault = f"/vaults/{tutorial.VAULT}"
        calls = [("POST", "/entra/token-lifetime", {"seconds": 3600}),
                 ("POST", "/entra/apps", {"tenant": tutorial.TENANT, "client_id": tutorial.CLIENT_ID, "client_secret": tutorial.CLIENT_SECRET}),
                 ("PUT", vault, {"tenant": tutorial.TENANT}),
                 ("PUT", f"{vault}/policies", {"client_id": tutorial.CLIENT_ID, "permissions": ["get", "list"]}),
                 *(("PUT", f"{vault}/secrets/{name}", {"value": value}) for name, value in tutorial.SECRETS.items())]
        self.control("POST", "/reset", {"calls": [{"method": method, "path": path, "body": body} for method, path, body in calls]})

    def add_app(self, tenant, client_id, client_secret, **more):
        self.control("POST", "/entra/apps", {"tenant": tenant, "client_id": client_id, "client_secret": client_secret, **more})

    def add_vault(self, vault, tenant=tutorial.TENANT, client_id=tutorial.CLIENT_ID, permissions=("get", "list"), **more):
        self.control("PUT", f"/vaults/{vault}", {"tenant": tenant, **more})
        self.control("PUT", f"/vaults/{vault}/policies", {"client_id": client_id, "permissions": list(permissions)})

    def set_secret(self, name, value, vault=tutorial.VAULT, **more):
        return self.control("PUT", f"/vaults/{vault}/secrets/{name}", {"value": value, **more})["version"]

    def set_policy(self, vault=tutorial.VAULT, client_id=tutorial.CLIENT_ID, permissions=(), **kinds):
        """Permissions for all kinds of objects, or with secrets=, keys=, certificates= for one."""
        self.control("PUT", f"/vaults/{vault}/policies", {"client_id": client_id, "permissions": list(permissions),
                                                          **{kind: list(names) for kind, names in kinds.items()}})

    def set_imds(self, system_assigned, user_assigned=(), tenant=tutorial.TENANT, **more):
        """The identities of the node: client ids."""
        self.control("PUT", "/imds", {"tenant": tenant, "system_assigned": system_assigned, "user_assigned": list(user_assigned), **more})

    def bind_pod(self, namespace, pod, client_id, tenant=tutorial.TENANT, **more):
        """NMI has this identity for the pod from now on."""
        self.control("PUT", f"/nmi/pods/{namespace}/{pod}", {"tenant": tenant, "client_id": client_id, **more})

    def unbind_pod(self, namespace, pod):
        self.control("DELETE", f"/nmi/pods/{namespace}/{pod}")

    def set_key(self, name, key, vault=tutorial.VAULT, **more):
        """`key` is a JSON web key."""
        return self.control("PUT", f"/vaults/{vault}/keys/{name}", {"key": key, **more})["version"]

    def set_certificate(self, name, cer, vault=tutorial.VAULT, **more):
        """`cer` is base64 of DER; with secret= and key= the objects behind the certificate are made, too."""
        return self.control("PUT", f"/vaults/{vault}/certificates/{name}", {"cer": cer, **more})["version"]

    def disable(self, kind, name, version="latest", vault=tutorial.VAULT):
        self.control("PATCH", f"/vaults/{vault}/{kind}/{name}/{version}", {"enabled": False})

    def put_object(self, plural, body):
        """Creates or replaces an object of the Kubernetes API."""
        metadata = body["metadata"]
        return self.control("PUT", f"/kube/{plural}/{metadata.get('namespace', '-')}/{metadata['name']}", body)

    def add_fault(self, kind, **rule):
        self.control("POST", "/faults", {"kind": kind, **rule})

    def set_limits(self, **limits):
        """How many requests the services take (README.md of the emulator, "Limits"); what is not given has the published value."""
        self.control("PUT", "/limits", limits)

    def limits(self):
        return self.control("GET", "/limits")

    def clear_limits(self):
        self.control("DELETE", "/limits")

    def clear_faults(self):
        self.control("DELETE", "/faults")

    def set_http(self, **settings):
        """What the TLS port speaks on new connections (README.md of the emulator); without settings what the command line says."""
        self.control("PUT", "/http", settings)

    def silence(self, port=None):
        """The connections that exist swallow everything from now on, new ones work; returns how many. clear_faults() ends it."""
        return self.control("POST", "/connections/silence" + (f"?port={port}" if port else ""))["silenced"]

    def connections(self):
        return self.control("GET", "/connections")

    def counters(self):
        return self.control("GET", "/counters")

    def requests(self, service=None):
        return self.control("GET", "/requests" + (f"?service={service}" if service else ""))

    def reset_counters(self):
        self.control("POST", "/counters/reset")

    @property
    def vault_requests(self):
        return self.counters()["by_service"]["vault"]

    @property
    def token_requests(self):
        return self.counters()["by_service"]["entra"]
