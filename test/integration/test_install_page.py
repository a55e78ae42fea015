"""docs/install.md without Kubernetes: every command of its section, with directories of the test's own in the place of the machine's."""

import json
import re
import shlex
import subprocess

import pytest

from harness import tutorial
from harness.process import BUILD, ROOT, Process, free_port, wait_until
from harness.programs import sandbox_flag

SECTION = (ROOT / "docs/install.md").read_text().split("## Without Kubernetes\n")[1].split("\n## ")[0]
DIRECTORIES = ("/run/secrets-store-providers", "/run/secrets-store", "/etc/secrets-store/classes", "/etc/secrets-store/creds", "/mnt")


@pytest.fixture
def typed(scratch):
    """The commands, {program: [words of each]}; the directories that have to exist do."""
    found = {}
    for command in re.findall(r"^    (\S(?:\\\n|.)*)$", SECTION, re.MULTILINE):
        line = re.sub(r"(?<==)(?=/)|(?<=unix://)(?=/)", str(scratch), command.replace("\\\n", " ").replace("$(hostname)", "node-1"))
        program, *words = shlex.split(line)
        found.setdefault(program, []).append(words)
    for directory in DIRECTORIES:
        assert directory in SECTION
        (scratch / directory[1:]).mkdir(parents=True)
    return found


def test_every_command_without_kubernetes(typed, scratch, emulator):
    assert {program: len(commands) for program, commands in typed.items()} == {
        "secrets-store-driver": 1, "secrets-store-provider-azure": 1, "secrets-store-ctl": 2}
    (scratch / "etc/secrets-store/classes/class.yaml").write_text(tutorial.class_with(["secret1"]))
    for key, value in tutorial.CREDENTIALS.items():
        (scratch / "etc/secrets-store/creds" / key).write_text(value)
    # ports of the machine are not the test's to take, and its cloud is the emulator
    more = {"secrets-store-driver": ("--metrics-addr=0", "--health-addr=0", "--additional-provider-volume-paths="),
            "secrets-store-provider-azure": (f"--healthz-port={free_port()}", "--prometheus-port=0", "--cloud-name=AzureStackCloud")}
    daemons = [Process(program, [BUILD / "bin" / program, *typed[program][0], *flags, sandbox_flag()], scratch, env=emulator.provider_environment())
               for program, flags in more.items()]
    for daemon in daemons:
        wait_until(lambda log=daemon.log_path: "listening" in log.read_text(), what=f"{daemon.name} to listen")
    publish, unpublish = ([BUILD / "bin/secrets-store-ctl", *words] for words in typed["secrets-store-ctl"])
    subprocess.run(publish, check=True, timeout=60)
    assert (scratch / "mnt/secrets/secret1").read_text() == tutorial.SECRETS["secret1"]
    (status,) = (scratch / "run/secrets-store/status").glob("*.json")
    assert json.loads(status.read_text())["status"]["mounted"] is True
    subprocess.run(unpublish, check=True, timeout=60)
    assert not (scratch / "mnt/secrets").exists()
    for daemon in daemons:
        daemon.assert_clean(daemon.stop())
