"""Helm on this repository's charts: lint and rendering."""

import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHARTS = ROOT / "manifests/chart"
DRIVER = CHARTS / "secrets-store-csi-driver"
PROVIDER = CHARTS / "csi-secrets-store-provider-azure"
KUBE_VERSION = "1.34.0"
FOR_A_SHORT_RUN = {"GOGC": "400", "GOMAXPROCS": "1"}  # most of it is the start; without these it takes a third more


@cache
def program():
    done = subprocess.run(["bash", ROOT / "test/charts/get-helm.sh"], stdout=subprocess.PIPE, text=True, check=True, timeout=900)
    return done.stdout.strip()


@cache
def upstream_charts():
    """The directory of the upstream charts: driver/ and azure/."""
    done = subprocess.run(["bash", ROOT / "test/interop/get-peers.sh", "charts"], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def helm(*arguments, values=None):
    """(exit status, standard output, standard error); `values` is what a values file would hold."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values or {}, file)
        file.flush()
        done = subprocess.run([program(), *arguments, "--values", file.name], env={**os.environ, **FOR_A_SHORT_RUN}, capture_output=True, text=True,
                              timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


class Strict(yaml.CSafeLoader):
    """A key that comes twice is an error, as it is to every strict reader of rendered charts."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        assert not twice, f"{', '.join(twice)} twice{node.start_mark}"
        return super().construct_mapping(node, deep)


def template(chart, values=None, *flags, name="csi", namespace="kube-system", kube_version=KUBE_VERSION):
    return helm("template", name, chart, "--namespace", namespace, "--kube-version", kube_version, *flags, values=values)


def render(chart, values=None, *flags, **where):
    """The objects of a release."""
    status, output, errors = template(chart, values, *flags, **where)
    assert status == 0, errors
    return [item for item in yaml.load_all(output, Strict) if item]


def render_copies(chart, all_values, directory):
    """As render(), of one copy of the chart for each of `all_values` (see with_values_of), all in one run of Helm, as charts of a chart: a list
    of lists of objects. Helm's start takes several times as long as rendering."""
    (directory / "Chart.yaml").write_text("apiVersion: v2\nname: all\nversion: 0.0.0\n")
    for number, values in enumerate(all_values):
        copy = with_values_of(chart, values, directory / "charts" / str(number))
        description = copy / "Chart.yaml"
        description.write_text(re.sub(r"^name: .*", f"name: copy-{number}", description.read_text(), flags=re.MULTILINE))
        copy.rename(directory / "charts" / f"copy-{number}")
    status, output, errors = template(directory)
    assert status == 0, errors
    found = [[] for _ in all_values]
    for text in filter(str.strip, re.split(r"^---$", output, flags=re.MULTILINE)):
        number = re.match(r"\n# Source: all/charts/copy-(\d+)/", text).group(1)
        found[int(number)] += [item for item in yaml.load_all(text, Strict) if item]
    return found


def refusal(chart, values=None, **where):
    """The sentence with which the chart stops."""
    status, _, errors = template(chart, values, **where)
    assert status != 0, "it renders"
    (line,) = [line for line in errors.splitlines() if line.startswith("Error: ")]
    return line.split("): ", 1)[-1]


def with_values_of(chart, values, directory):
    """A copy of the chart as `helm upgrade --reuse-values` renders it: the values of the former release, and none of its own values.yaml.
    Those of a chart inside it stay, as they do in Helm."""
    copy = Path(directory) / chart.name
    shutil.copytree(chart, copy)
    (copy / "values.yaml").write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return copy


def notes(chart, values=None, *flags, **where):
    """NOTES.txt as an installation prints it. `helm template` does not; a template of the same text does."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / chart.name
        shutil.copytree(chart, copy)
        text = (copy / "templates/NOTES.txt").read_text()
        (copy / "templates/notes.yaml").write_text(
            '{{- define "test.notes" }}' + text + '{{ end }}\nkind: Notes\ntext: |\n  {{- include "test.notes" . | nindent 2 }}\n')
        return one(render(copy, values, *flags, **where), "Notes")["text"]


def one(items, kind, name=None):
    found = [item for item in items if item["kind"] == kind and name in (None, item.get("metadata", {}).get("name"))]
    assert len(found) == 1, f"{len(found)} {kind} {name or ''}"
    return found[0]


EVERYTHING_DRIVER = {
    "podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}, "grafanaDashboard": {"enabled": True},
    "networkPolicy": {"enabled": True}, "syncSecret": {"enabled": True}, "enableSecretRotation": True, "logFormatJSON": True, "logVerbosity": 5,
    "providerHealthCheck": True, "rotationPollInterval": "30s", "commonLabels": {"team": "a"}, "imagePullSecrets": [{"name": "pull"}],
    "tokenRequests": [{"audience": "api://AzureADTokenExchange", "expirationSeconds": 3600}],
    "linux": {"removeStartupTaint": True, "priorityClassName": "system-node-critical", "podAnnotations": {"a": "b"}, "podLabels": {"c": "d"},
              "daemonsetAnnotations": {"e": "f"}, "nodeSelector": {"g": "h"}, "env": [{"name": "X", "value": "some text"}], "extraArgs": ["--debug"],
              "volumes": [{"name": "v", "emptyDir": {}}], "volumeMounts": [{"name": "v", "mountPath": "/v"}],
              "image": {"digest": "sha256:" + "0" * 64}},
    "preventPodSchedulingIfMissing": True, "classValidation": {"action": "Deny"},
}
EVERYTHING_PROVIDER = {
    "podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}, "networkPolicy": {"enabled": True}, "logFormatJSON": True,
    "logVerbosity": 5, "constructPEMChain": False, "writeCertAndKeyInSeparateFiles": True, "cloudName": "AzureChinaCloud",
    "imagePullSecrets": [{"name": "pull"}],
    "linux": {"hostNetwork": True, "priorityClassName": "system-node-critical", "podAnnotations": {"a": "b"}, "podLabels": {"c": "d"},
              "nodeSelector": {"g": "h"}, "customUserAgent": "x y", "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
              "volumes": [{"name": "v", "emptyDir": {}}], "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
    "secrets-store-csi-driver": EVERYTHING_DRIVER,
}
