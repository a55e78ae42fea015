"""docs/quick-start.md without an Azure account, typed in a fresh clone: every command of its section, in order."""

import json
import os
import re
import subprocess

import pytest
import yaml

from charts.helm import PROVIDER, render
from harness.clone import clone_of
from harness.process import ROOT, free_port

pytestmark = [pytest.mark.once, pytest.mark.skipif(os.geteuid() != 0, reason="the driver mounts")]
SECTION = (ROOT / "docs/quick-start.md").read_text().split("## Without an Azure account\n")[1].split("\n## ")[0]
CLUSTER = "### With a cluster\n"
# kubectl and helm note what they were given; the emulator is the real one
STAND_IN = """\
#!/usr/bin/python3
import json, os, sys
said = sys.stdin.read() if sys.argv[-2:] == ["-f", "-"] else ""
with open(os.environ["RECORD"], "a") as record:
    print(json.dumps([os.path.basename(sys.argv[0]), sys.argv[1:], said]), file=record)
"""


def blocks_of(section):
    return re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def bash(script, directory, **environment):
    done = subprocess.run(["bash", "-euc", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + script], cwd=directory, capture_output=True, text=True,
                          timeout=60, check=False, stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_command_of_the_quick_start(scratch):
    section = SECTION.split(CLUSTER)[0]
    build, *blocks = blocks_of(section)
    assert build == "make programs emulator\n" and len(blocks) == 5
    rest = re.sub(r"^```sh\n.*?^```$", "", section, flags=re.DOTALL | re.MULTILINE)
    assert not re.findall(r"^    \S|^```", rest, re.MULTILINE)  # no command that is not typed here
    script = "".join(f"echo '== {number}'\n{block}" for number, block in enumerate(blocks))
    typed = bash(script, clone_of(scratch), TMPDIR=str(scratch))
    parts = dict(re.findall(r"== (\d)\n(.*?)(?=== \d\n|\Z)", typed, re.DOTALL))
    assert sorted(parts) == ["0", "1", "2", "3", "4"]
    # cat prints no line feed behind a secret
    assert re.fullmatch(r"published.*\nvolume id.*\nhello from the vaulta new value", parts["2"].strip()), parts["2"]
    first, second = re.split(r"(?=^driver )", parts["3"], flags=re.MULTILINE)[1:]
    assert "wrong" not in first and re.search(r"^vault +ok", first, re.MULTILINE), first
    assert re.search(r"^token +wrong +.*AADSTS7000215", second, re.MULTILINE) and "docs/troubleshooting.md#identity" in second, second
    assert parts["4"].startswith("unpublished") and list(scratch.glob("tmp.*")) == []


@pytest.fixture
def typed(scratch):
    """The blocks for a cluster, typed: (the clone, [(program, words, standard input)]). The emulator runs until the end of the test."""
    clone, bin_directory, record = clone_of(scratch), scratch / "bin", scratch / "record"
    bin_directory.mkdir()
    for name in ("kubectl", "helm"):
        (bin_directory / name).write_text(STAND_IN)
        (bin_directory / name).chmod(0o755)
    script = "".join(blocks_of(SECTION.split(CLUSTER)[1]))
    assert "address=192.0.2.10\n" in script and "--port 8443" in script
    script = script.replace("address=192.0.2.10\n", "address=127.0.0.1\n").replace("--port 8443", f"--port {free_port()}")
    bash(script + "cp -r vault kept", clone, PATH=f"{bin_directory}:/usr/bin:/bin", RECORD=str(record))
    return clone, [json.loads(line) for line in record.read_text().splitlines()]


def test_every_command_with_a_cluster(typed, start_azure, emulator):
    """The emulator has the names that the page gives it, and the provider that the chart makes of the values reads them."""
    clone, calls = typed
    assert [(program, words[0]) for program, words, _ in calls] == [
        ("kubectl", "create"), ("helm", "install"), ("kubectl", "create"), ("kubectl", "apply"), ("kubectl", "wait"), ("kubectl", "exec")]
    cloud = json.loads((clone / "kept/cloud.json").read_text())
    assert re.fullmatch(r"https://login\.127\.0\.0\.1\.nip\.io:\d+/", cloud["activeDirectoryEndpoint"])
    assert cloud["keyVaultDNSSuffix"].startswith("vault.127.0.0.1.nip.io:")
    assert calls[0][1] == ["create", "configmap", "cloud", "-n", "kube-system", "--from-file=vault/cloud.json", "--from-file=vault/ca.pem"]
    assert calls[1][1] == ["install", "csi", "manifests/chart/csi-secrets-store-provider-azure", "-n", "kube-system", "-f", "cloud.yaml"]
    objects = render(PROVIDER, yaml.safe_load((clone / "cloud.yaml").read_text()))
    (container,) = [container for item in objects if item["kind"] == "DaemonSet"
                    for container in item["spec"]["template"]["spec"]["containers"] if "provider-azure" in container["image"]]
    assert {"name": "cloud", "mountPath": "/cloud", "readOnly": True} in container["volumeMounts"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert (environment["AZURE_ENVIRONMENT_FILEPATH"], environment["SSL_CERT_FILE"]) == ("/cloud/cloud.json", "/cloud/ca.pem")
    assert "--cloud-name=AzureStackCloud" in container["args"]
    # a provider starts with that file as its cloud
    start_azure(env={"AZURE_ENVIRONMENT_FILEPATH": str(clone / "kept/cloud.json"), "SSL_CERT_FILE": str(clone / "kept/ca.pem")})
    demo = json.loads((clone / "kept/demo.json").read_text())
    assert f"clientid={demo['client_id']}" in calls[2][1] and f"clientsecret={demo['client_secret']}" in calls[2][1]
    spc, pod = yaml.safe_load_all(calls[3][2])
    assert spc["spec"]["parameters"]["tenantID"] == demo["tenant"] and spc["spec"]["parameters"]["keyvaultName"] == demo["vault"]
    (volume,) = pod["spec"]["volumes"]
    assert volume["csi"]["volumeAttributes"] == {"secretProviderClass": spc["metadata"]["name"]}
    assert volume["csi"]["nodePublishSecretRef"]["name"] == calls[2][1][3]
