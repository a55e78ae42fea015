"""The files of manifests/examples, applied as a person does: edited where they say so, with an image that the node has."""

import yaml
from pods import UserPod

from harness import tutorial
from harness.process import ROOT

TENANT = "00000000-0000-0000-0000-000000000000"  # what stands in the examples for it


class Example:
    """`edits`: {what the file says: what is to stand there instead}, besides tenant and image."""

    def __init__(self, file, edits=None):
        text = (ROOT / "manifests/examples" / file).read_text()
        for old, new in {"image: busybox": "image: localhost/app:e2e", TENANT: tutorial.TENANT, **(edits or {})}.items():
            assert old in text, f"{file} does not say {old!r}"
            text = text.replace(old, new)
        self.text = text
        objects = {item["kind"]: item for item in yaml.safe_load_all(text)}
        self.pod = objects["Pod"]
        assert objects["SecretProviderClass"]["spec"]["parameters"]["keyvaultName"] == tutorial.VAULT

    def apply(self, cluster, namespace):
        """`kubectl apply -f`; returns its pod."""
        cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=self.text)
        return UserPod.of(cluster, namespace, self.pod["metadata"]["name"])
