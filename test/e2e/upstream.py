"""The upstream charts and programs on the cluster, as the release that ours replace: the Go driver and the Go provider, with stand-ins for the sidecars."""

import shutil
import subprocess
from pathlib import Path

import yaml
from images import archive, with_busybox

from charts.helm import upstream_charts
from harness.process import ROOT

SUBCHART = "secrets-store-csi-driver"
DRIVER = "secrets-store-csi-driver"  # DaemonSets of a release `csi` of the Azure chart
PROVIDER = "csi-csi-secrets-store-provider-azure"
TAG = "v1"
REGISTRY = "localhost/upstream"
DRIVER_IMAGE = f"{REGISTRY}/kubernetes-csi/secrets-store/driver"
PROVIDER_IMAGE = f"{REGISTRY}/azure/secrets-store/provider-azure"


def _printed(*words):
    done = subprocess.run(["bash", *words], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return Path(done.stdout.strip())


def load_images(containerd, directory):
    peers = _printed("test/interop/get-peers.sh", "driver", "azure")
    sidecars = _printed("test/e2e/get-sidecars.sh")
    system = {**with_busybox(("mount", "umount")), "tmp/.keep": (0o644, b"")}
    # the chart of the Go provider has no value for its environment
    cloud = {"Env": ["AZURE_ENVIRONMENT_FILEPATH=/cloud/cloud.json", "SSL_CERT_FILE=/cloud/ca.pem"]}
    images = {
        DRIVER_IMAGE: ({"driver": peers / "driver", **system}, {"Entrypoint": ["/driver"], "Env": ["PATH=/bin"]}),
        PROVIDER_IMAGE: ({"azure": peers / "azure"}, {"Entrypoint": ["/azure"], **cloud}),
        f"{REGISTRY}/registrar": ({"sidecars": sidecars}, {"Entrypoint": ["/sidecars", "registrar"]}),
        f"{REGISTRY}/livenessprobe": ({"sidecars": sidecars}, {"Entrypoint": ["/sidecars", "livenessprobe"]}),
    }
    for name, (files, config) in images.items():
        path = archive(directory / "upstream.tar", f"{name}:{TAG}", files, config)
        containerd.import_image(path)
        path.unlink()


def chart(directory):
    """The Azure chart with the driver's chart inside it. Theirs is fetched from a repository of charts; here it is that of the Go module."""
    charts = upstream_charts()
    whole = Path(directory) / "upstream-chart"
    shutil.copytree(charts / "azure", whole)
    shutil.copytree(charts / "driver", whole / "charts" / SUBCHART)
    (whole / "Chart.lock").unlink()
    version = yaml.safe_load((charts / "driver/Chart.yaml").read_text())["version"]
    description = yaml.safe_load((whole / "Chart.yaml").read_text())
    (dependency,) = description["dependencies"]
    dependency["version"] = version
    (whole / "Chart.yaml").write_text(yaml.safe_dump(description))
    return whole


def crds():
    return upstream_charts() / "driver/crds"


def values(rotation_interval):
    """What an operator of the upstream charts has set."""
    def image(name):
        return {"repository": name, "tag": TAG}
    return {
        "linux": {
            "image": image(PROVIDER_IMAGE), "resources": {"limits": {"cpu": 1, "memory": "200Mi"}},
            "volumes": [{"name": "cloud", "configMap": {"name": "cloud"}}],
            "volumeMounts": [{"name": "cloud", "mountPath": "/cloud", "readOnly": True}],
        },
        SUBCHART: {
            "enableSecretRotation": True, "rotationPollInterval": rotation_interval, "syncSecret": {"enabled": True},
            "linux": {
                "image": image(DRIVER_IMAGE), "registrarImage": image(f"{REGISTRY}/registrar"),
                "livenessProbeImage": image(f"{REGISTRY}/livenessprobe"), "driver": {"resources": {"limits": {"cpu": 1}}},
                # the image of their hook has kubectl; the test applies the definitions
                "crds": {"enabled": False},
            },
        },
    }
