"""The documents on flags and metrics agree with the programs."""

import re
import subprocess

import pytest

from harness import rpc
from harness.kube import pod, spc
from harness.process import BUILD, ROOT
from harness.reference import CTL_COMMANDS, flags_document

METRICS = (ROOT / "docs/metrics.md").read_text()


def test_the_flag_reference_is_the_help_of_the_programs():
    assert (ROOT / "docs/flags.md").read_text() == flags_document(), "make reference writes it"


def test_every_command_of_ctl_is_in_the_reference():
    usage = subprocess.run([BUILD / "bin/secrets-store-ctl"], capture_output=True, text=True, timeout=30, check=False)
    commands = re.findall(r"^  (\w+) +\w", usage.stdout + usage.stderr, re.MULTILINE)
    assert sorted(commands) == sorted(CTL_COMMANDS)


def documented():
    """{name: (type, labels)} of the driver's metrics."""
    rows = re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \|([^|]*)\|", METRICS, re.MULTILINE)
    return {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def declared():
    """The same as the sources of the driver declare it (static const struct metric_desc), and the HTTP client; common/process has the rest."""
    found = {}
    for source in sorted([*(ROOT / "driver").rglob("*.c"), *(ROOT / "common/http").glob("*.c")]):
        for body in re.findall(r"struct metric_desc \w+ = \{(.*?)\};", source.read_text(), re.DOTALL):
            name = re.search(r'\.name = "(\w+)"', body).group(1)
            kind = re.search(r"\.type = METRIC_(\w+)", body).group(1).lower()
            labels = re.search(r"\.labels = \{([^}]*)\}", body)
            found[name] = (kind, tuple(re.findall(r'"(\w+)"', labels.group(1))) if labels else ())
    return found


def test_every_metric_of_the_driver_is_documented_with_its_labels():
    common = ("process_", "log_", "mount_", "mounts_", "sandbox_", "memory_locked", "secret_memory_")  # of common/process
    assert declared() == {name: entry for name, entry in documented().items() if not name.startswith(common)}


@pytest.fixture
def exercised(node, start_driver, emulator, scripted):
    """/metrics of a driver that has done everything once."""
    emulator.put_object("pods", pod())
    emulator.put_object("secretproviderclasses", spc())
    driver = start_driver(f"--kubeconfig={emulator.kubeconfig}", "--enable-secret-rotation=true", "--rotation-poll-interval=0", standalone=False)
    scripted()
    request = rpc.publish_request(node.target())
    driver.publish(request)
    driver.publish(request)
    driver.publish_failure(rpc.publish_request(node.target(volume="x"), volume="x", class_name="nowhere"))
    driver.unpublish(rpc.unpublish_request(node.target()))
    return driver.metrics()


def test_every_scraped_metric_is_documented(exercised):
    scraped = dict(re.findall(r"^# TYPE (\w+) (\w+)$", exercised, re.MULTILINE))
    known = documented()
    assert {name: known.get(name, (None,))[0] for name in scraped} == scraped
    for name in scraped:
        for labels in re.findall(rf"^{name}(?:_sum)?\{{(.*)\}} ", exercised, re.MULTILINE):
            assert tuple(re.findall(r'(\w+)="', labels)) == known[name][1], name
    # the names and labels that dashboards and the upstream suite use
    for sample in ('node_publish_total{provider="scripted",os_type="linux"}', 'node_unpublish_total{os_type="linux"}',
                   'rotation_reconcile_total{provider="scripted",os_type="linux",rotated="false"}',
                   'node_publish_error_total{provider="",error_type="SecretProviderClassNotFound",os_type="linux"}',
                   'rotation_reconcile_duration_sec_count{os_type="linux"}'):
        assert sample in exercised
