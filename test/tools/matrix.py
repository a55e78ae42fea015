#!/usr/bin/python3 -B
"""matrix.py - docs/support-matrix.md from test/results.

   test/tools/matrix.py            prints the page
   test/tools/matrix.py --update   takes build/results over into test/results, and writes the page

A note replaces that of the same suite and minor version of Kubernetes.
"""

import json
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT, NEW, PAGE = ROOT / "test/results", ROOT / "build/results", ROOT / "docs/support-matrix.md"
WHAT = {
    "e2e": ("Pods on a node: kubelet, containerd, charts, manifests, examples", "make e2e"),
    "apiserver": ("The driver with a real kube-apiserver and its controllers", "make test"),
    "interop": ("Our driver with the Go provider, the Go driver with ours, byte for byte", "make interop"),
    "sanity": ("The CSI specification's own test suite", "make test"),
}
HEAD = """\
# Support matrix

What the tests ran, generated from their results by `make matrix`; a test fails if this file and `test/results` differ.
[versioning.md](versioning.md#which-versions-work-together) says what is supported; [limitations.md](limitations.md) what is not.

| What | With | On | Tests passed | Run by | Last run |
| --- | --- | --- | ---: | --- | --- |
"""
TAIL = """
The other tests need no program of others. They run on every change: `make test` (release, sanitized and static build), on Debian 12 and
13 also from nothing (`make fresh`), and in qemu on arm64 (`make static-emulated`).

Not run here, because it cannot be had: AKS, EKS, GKE, OpenShift ([what was tested](openshift.md)), a real Azure Key Vault (an emulator as
strict as Microsoft's own clients expect, `make sdk-test`), Windows.
"""


def oldest():
    """The minor version of Kubernetes that the tests run with by default."""
    return re.search(r"^oldest=v(\d+\.\d+)", (ROOT / "test/cluster/get-kubernetes.sh").read_text(), re.MULTILINE).group(1)


def row(result):
    what, command = WHAT[result["suite"]]
    if not f"{result['versions'].get('Kubernetes', oldest())}.".startswith(f"{oldest()}."):
        command = "make test-full"  # which runs with the newest as well
    versions = "<br>".join(f"{name} {version}" for name, version in result["versions"].items())
    passed = f"{result['passed']}" + (f" ({result['skipped']} skipped)" if result["skipped"] else "")
    return f"| {what} | {versions} | Debian {result['debian']}, {result['machine']} | {passed} | `{command}` | {result['date']} |\n"


def page():
    results = [json.loads(path.read_text()) for path in KEPT.glob("*.json")]
    results.sort(key=lambda result: (list(WHAT).index(result["suite"]), sorted(result["versions"].items())))
    return HEAD + "".join(map(row, results)) + TAIL


def subject(path):
    """What a note is about: the suite, and the minor version of what it ran with."""
    return re.sub(r"(\d+\.\d+)\.\d+$", r"\1", path.stem)


def update():
    KEPT.mkdir(exist_ok=True)
    for path in sorted(NEW.glob("*.json")) if NEW.exists() else []:
        for old in KEPT.glob("*.json"):
            if subject(old) == subject(path):
                old.unlink()
        shutil.copy(path, KEPT)
    PAGE.write_text(page())


if __name__ == "__main__":
    update() if sys.argv[1:] == ["--update"] else sys.stdout.write(page())
