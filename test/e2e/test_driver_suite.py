"""The end-to-end suite of the Secrets Store CSI driver in Go (test/bats/e2e-provider.bats of its module), against ours.

The suite is not ours and is not changed. It wants kubectl, a cluster with the driver installed by its chart, and a provider called
e2e-provider, whose program is not part of the module; the one below responds as the suite expects. DRIVER_SUITE names the module's directory,
see `make e2e-driver-suite`.
"""

import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest
import yaml
from images import Link, archive, with_busybox
from installation import AUDIENCE, SYSTEM
from node import ADDRESS

from charts.helm import DRIVER as CHART
from charts.helm import program
from harness.process import wait_until
from harness.scripted_provider import ScriptedProvider, mount_response

SUITE = os.environ.get("DRIVER_SUITE")
PROVIDERS = Path("/var/run/secrets-store-csi-providers")
KEY = b"-----BEGIN PUBLIC KEY-----\nThis is mock key\n-----END PUBLIC KEY-----"

pytestmark = pytest.mark.skipif(not SUITE, reason="make e2e-driver-suite runs this")


class SuiteProvider:
    """e2e-provider: two objects. Over HTTP it receives that one has been rotated, and the audience of the token that it must get."""

    def __init__(self):
        self.secret, self.audience = b"secret", None
        PROVIDERS.mkdir(parents=True, exist_ok=True)
        self.grpc = ScriptedProvider(PROVIDERS / "e2e-provider.sock", self.mount)
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                url = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(url.query).items()}
                if url.path == "/rotation":
                    provider.secret = b"rotated" if query["rotated"] == "true" else b"secret"
                elif url.path == "/validate-token-requests":
                    provider.audience = query["audience"]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *words):
                pass
        self.http = ThreadingHTTPServer((ADDRESS, 8080), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def mount(self, request, context):
        attributes = json.loads(request.attributes)
        if self.audience is not None and self.audience not in json.loads(attributes["csi.storage.k8s.io/serviceAccount.tokens"]):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"there is no token for {self.audience}")
        known = {"foo": self.secret, "fookey": KEY}
        wanted = [yaml.safe_load(text) for text in yaml.safe_load(attributes["objects"])["array"]]
        return mount_response({item["objectName"]: (json.loads(request.permission), known[item["objectName"]]) for item in wanted},
                      {f"secret/{item['objectName']}": "v2" if self.secret == b"rotated" else "v1" for item in wanted})

    def stop(self):
        self.http.shutdown()
        self.http.server_close()
        self.grpc.stop()


def import_images(kubernetes):
    """Under the names that the suite's pods have. Its curl only ever fetches one page."""
    curl = b'#!/bin/sh\nfor last; do :; done\nexec /bin/busybox wget -q -O - "$last"\n'
    files = {**with_busybox(), **{f"bin/{name}": Link("busybox") for name in ("tail", "printenv")}, "bin/curl": (0o755, curl)}
    for reference in ("registry.k8s.io/e2e-test-images/busybox:1.29-4", "docker.io/curlimages/curl:7.75.0"):
        kubernetes.containerd.import_image(archive(kubernetes.directory / "suite.tar", reference, files, {"Env": ["PATH=/bin"]}))


@pytest.fixture
def helm(installation, kubectl):
    """The driver installed by its chart, in place of the plain installation."""
    file = installation.cluster.directory / "suite-values.yaml"
    file.write_text(yaml.safe_dump({
        "linux": {"image": {"repository": "localhost/secrets-store-driver", "tag": installation.tags["secrets-store-driver"]}},
        "enableSecretRotation": True, "rotationPollInterval": "30s", "syncSecret": {"enabled": True}, "tokenRequests": [{"audience": AUDIENCE}]}))

    def run(*words):
        done = subprocess.run([program(), "--kubeconfig", kubectl.config, "--namespace", SYSTEM, *words], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False, timeout=300, env={"HOME": str(installation.cluster.directory)})
        assert done.returncode == 0, f"helm {words[0]}: {done.stderr}"
    installation.uninstall()
    run("install", "csi-secrets-store", str(CHART), "--values", str(file), "--wait", "--timeout", "120s")
    wait_until(installation.registered, 60, "the driver to be registered", pause=0.2)
    yield
    run("uninstall", "csi-secrets-store", "--wait")
    installation.install()


@pytest.fixture
def suite_provider(kubernetes, admin):
    provider = SuiteProvider()
    # the suite finds the provider's address by the label of its pod; this one has the node's
    admin.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "e2e-provider", "labels": {"app": "csi-secrets-store-e2e-provider"}},
                  "spec": {"hostNetwork": True, "terminationGracePeriodSeconds": 0, "tolerations": [{"operator": "Exists"}],
                           "containers": [{"name": "provider", "image": "localhost/app:e2e"}]}}, SYSTEM)
    yield provider
    admin.delete("pods", SYSTEM, "e2e-provider")
    provider.stop()


def test_the_suite_of_the_driver_in_go_passes(kubernetes, kubectl, helm, suite_provider, tmp_path):
    import_images(kubernetes)
    (tmp_path / "kubectl").symlink_to(kubectl.program)
    done = subprocess.run(["bats", "--tap", "test/bats/e2e-provider.bats"], cwd=SUITE, capture_output=True, text=True, check=False, timeout=1200,
                          stdin=subprocess.DEVNULL, env={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "KUBECONFIG": str(kubectl.config)})
    print(done.stdout)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("ok ", "not ok "))]
    plan = next(line for line in done.stdout.splitlines() if line.startswith("1.."))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(lines) == int(plan[3:]) > 20
    assert [line for line in lines if line.startswith("not ok") or "# skip" in line] == []
    assert suite_provider.audience == AUDIENCE, "the suite has not requested tokens"
