"""results.py - the pytest plugin that notes what a whole suite came to and with which versions of others: build/results/SUITE[-KEY].json.

Only a run of all tests of a suite is noted, and only if none failed. `make matrix` takes the notes over into test/results and writes
docs/support-matrix.md from them (matrix.py).
"""

import json
import os
import platform
import re
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(os.environ.get("RESULTS_DIR") or ROOT / "build/results")


def output(*argv):
    return subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def pinned(path, name):
    """The version behind `name` in a script that fetches a program."""
    return re.search(rf"\b{name}[= ]v(\S+)", (ROOT / path).read_text()).group(1)


def kubernetes():
    directory = output("bash", ROOT / "test/cluster/get-kubernetes.sh", "kube-apiserver")
    return output(Path(directory) / "kube-apiserver", "--version").split()[1].lstrip("v")


def containerd():
    return output("containerd", "--version").split()[2].lstrip("v")


def go_programs():
    script = "test/interop/get-peers.sh"
    return {"Secrets Store CSI driver in Go": pinned(script, "driver_version"), "Azure provider in Go": pinned(script, "azure_version")}


# Of each suite: the versions of others' programs that it runs, and the part that the name of its file ends in.
SUITES = {
    "e2e": lambda: ({"Kubernetes": kubernetes(), "containerd": containerd()}, f"kubernetes-{kubernetes()}"),
    "apiserver": lambda: ({"Kubernetes": kubernetes()}, f"kubernetes-{kubernetes()}"),
    "interop": lambda: ({**go_programs(), "Kubernetes": kubernetes()}, f"driver-{go_programs()['Secrets Store CSI driver in Go']}"),
    "sanity": lambda: ({"csi-sanity": pinned("test/sanity/get-csi-sanity.sh", "csi-sanity")}, ""),
}


def debian():
    text = Path("/etc/os-release").read_text(encoding="utf-8")
    return re.search(r'^VERSION_ID="?([^"\n]*)', text, re.MULTILINE).group(1)


def whole_suites(config):
    """The suites of which everything runs."""
    given = [Path(word).resolve() for word in config.args]
    if config.option.keyword or config.option.markexpr or getattr(config.option, "deselect", None):
        return []
    return [name for name in SUITES if ROOT / "test" / name in given]


def note(suite, passed, skipped):
    versions, key = SUITES[suite]()
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{suite}{'-' + key if key else ''}.json"
    path.write_text(json.dumps({
        "suite": suite, "versions": versions, "debian": debian(), "machine": platform.machine(),
        "build": Path(os.environ.get("BUILD", "build/release")).name, "passed": passed, "skipped": skipped,
        "date": time.strftime("%Y-%m-%d", time.gmtime())}, indent=2) + "\n")


def pytest_sessionfinish(session, exitstatus):
    if os.environ.get("PYTEST_XDIST_WORKER") or exitstatus != 0:
        return
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    for suite in whole_suites(session.config):
        counts = [sum(report.nodeid.startswith(f"test/{suite}/") for report in terminal.stats.get(outcome, ()) if report.when in ("call", "setup"))
                  for outcome in ("passed", "skipped")]
        try:
            if counts[0] > 0:
                note(suite, *counts)
        except (OSError, subprocess.SubprocessError, AttributeError, IndexError) as error:
            terminal.write_line(f"the results of {suite} are not noted: {error}")
