"""cloud.py - the emulated vault and API server, with the classes, secrets and identities of all cases."""

import http.client
import json

from growth import cases
from harness.emulator import Emulator

TENANT, VAULT, CLIENT_ID, SECRET = "bench", "benchvault", "bench", "bench-secret"


class Cloud(Emulator):
    def __init__(self, directory):
        super().__init__(directory)
        self._kept = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=60)
        self.add_app(TENANT, CLIENT_ID, SECRET)
        self.add_vault(VAULT, TENANT, CLIENT_ID, ("get",))

    def _put(self, path, body):
        """As control(), on one connection: there are tens of thousands."""
        self._kept.request("PUT", path, json.dumps(body), {"Content-Type": "application/json"})
        response = self._kept.getresponse()
        text = response.read()
        assert response.status < 300, (path, response.status, text[:200])

    def _secrets(self, prefix, count, value):
        for number in range(count):
            self._put(f"/vaults/{VAULT}/secrets/{prefix}-{number}", {"value": value})

    def _class(self, name, objects):
        listed = "".join(f"  - |\n    objectName: {each}\n    objectType: secret\n" for each in objects)
        self._put(f"/kube/secretproviderclasses/default/{name}", {
            "apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass", "metadata": {"name": name, "namespace": "default"},
            "spec": {"provider": "azure", "parameters": {"keyvaultName": VAULT, "tenantId": TENANT, "objects": "array:\n" + listed}}})

    def _fill_class(self, name, objects, volumes, value):
        """NAME-shared, which all volumes use, and NAME-distinct-N of volume N, whose objects no other has."""
        self._secrets(f"{name}-s", objects, value)
        self._class(f"{name}-shared", [f"{name}-s-{number}" for number in range(objects)])
        for volume in range(volumes):
            self._secrets(f"{name}-d{volume}", objects, value)
            self._class(f"{name}-distinct-{volume}", [f"{name}-d{volume}-{number}" for number in range(objects)])

    def fill(self, growth, sizes):
        if growth.name == "volumes":
            self._fill_class("volumes", 1, sizes[-1], "a value of this volume")
        elif growth.name == "objects":
            for size in sizes:
                self._fill_class(f"objects{size}", size, cases.volumes_of(size), "a value of this object")
        elif growth.name == "value":
            for size in sizes:
                self._fill_class(f"value{size}", cases.VALUE_OBJECTS, cases.volumes_of(cases.VALUE_OBJECTS), "v" * size)
        elif growth.name == "classes":
            self._fill_class("classes", 1, sizes[-1], "a value of this class")
            for number in range(sizes[-1]):  # many classes with the same object
                self._class(f"classes-shared-{number}", ["classes-s-0"])
        else:
            self._fill_class("identities", 1, sizes[-1], "a value of this identity")
            for number in range(sizes[-1]):
                self.add_app(TENANT, f"{CLIENT_ID}-{number}", SECRET)
                self.set_policy(VAULT, f"{CLIENT_ID}-{number}", ("get",))
