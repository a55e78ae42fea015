"""What the daemons give up once they have started (--sandbox)."""

import contextlib
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from harness import rpc
from harness.azure_mounts import Pods, mount_request
from harness.process import BUILD
from harness.programs import metric_sum

pytestmark = pytest.mark.build("dynamic", "static", reason="LeakSanitizer stops all threads from a process of its own, which the sandbox forbids")
CAPABILITIES = {"CHOWN": 0, "DAC_OVERRIDE": 1, "SYS_ADMIN": 21}
DRIVER_MASK = sum(1 << bit for bit in CAPABILITIES.values())
PARTS = ("bounding_set", "capabilities", "no_new_privs", "seccomp")


def status_of(pid):
    """The fields of every thread's /proc/<pid>/task/<tid>/status."""
    return [dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
            for task in Path(f"/proc/{pid}/task").iterdir()]


def descriptors(pid):
    """What they lead to; one that is closed while they are listed is left out."""
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(descriptor)


def check_threads(pid, mask, threads):
    fields = status_of(pid)
    assert len(fields) >= threads
    for one in fields:
        for name in ("CapPrm", "CapEff", "CapBnd"):
            assert int(one[name], 16) & ~mask == 0 and (mask == 0 or int(one[name], 16) == mask), (one["Name"], name, one[name])
        assert int(one["CapInh"], 16) == 0 and int(one["CapAmb"], 16) == 0
        assert one["NoNewPrivs"] == "1" and one["Seccomp"] == "2", one["Name"]
    assert "io_uring" not in "".join(descriptors(pid)), "its requests pass no filter"


@pytest.mark.parametrize("mode", ["on", "kill"])
def test_the_driver_keeps_three_capabilities_and_serves(start_driver, provider, node, mode):
    """All its threads, those of the pool as well: they are there before the first volume."""
    driver = start_driver(f"--sandbox={mode}")
    node.add_class()
    check_threads(driver.pid, DRIVER_MASK, threads=9)
    driver.publish(rpc.publish_request(node.target()))
    driver.unpublish(rpc.unpublish_request(node.target()))
    metrics = driver.metrics()
    assert [metric_sum(metrics, "sandbox_active", part=part) for part in PARTS] == [1] * 4
    assert re.search(rf'"sandbox" mode="{mode}" capabilities=true boundingSet=true noNewPrivs=true landlock=false seccomp=true', driver.log)


@pytest.mark.parametrize("mode", ["on", "kill"])
def test_the_provider_keeps_no_capability_and_serves(start_azure, mode):
    azure = start_azure(f"--sandbox={mode}")
    check_threads(azure.pid, 0, threads=3)
    with Pods(azure.socket) as pods:
        pods.mount(mount_request())
    metrics = azure.metrics()
    assert [metric_sum(metrics, "sandbox_active", part=part) for part in (*PARTS, "landlock")] == [1] * 5
    assert metric_sum(metrics, "sandbox_landlock_version") >= 1


def test_the_sandbox_can_be_off(start_driver, start_azure):
    for program in (start_driver("--sandbox=off"), start_azure("--sandbox=off")):
        assert {one["Seccomp"] for one in status_of(program.pid)} == {"0"}
        assert metric_sum(program.metrics(), "sandbox_active") == 0
        assert '"sandbox" mode="off"' in program.log


@pytest.mark.parametrize("program", ["driver", "provider-azure"])
def test_the_version_names_the_sandbox(program):
    def sandbox(*flags):
        shown = subprocess.run([BUILD / f"bin/secrets-store-{program}", "--version", *flags], capture_output=True, text=True, check=True).stdout
        return {key.lower(): value for key, value in json.loads(shown).items()}["sandbox"]
    assert sandbox().startswith("on: capabilities, no_new_privs, seccomp")
    assert sandbox("--sandbox=kill").startswith("kill: ") and sandbox("--sandbox=off") == "off"
    assert ("Landlock" in sandbox()) == (program == "provider-azure")


@pytest.mark.parametrize("flag,text", [("--sandbox=maybe", "--sandbox maybe is not one of on, kill, off"),
                                       ("--sandbox-allow=etc", "--sandbox-allow: 'etc' is neither an absolute path nor a port"),
                                       ("--sandbox-allow=70000", "--sandbox-allow: '70000'")])
def test_a_wrong_flag_is_named(start_azure, flag, text):
    with pytest.raises(AssertionError, match=re.escape(text)):
        start_azure(flag)


def test_without_the_right_to_set_it_a_part_is_left_out_and_named(start_driver, provider, node):
    """A container runtime may keep CAP_SETPCAP to itself: everything else is set, and the driver serves."""
    driver = start_driver(wrapper=("setpriv", "--bounding-set=-setpcap", "--"))
    node.add_class()
    driver.publish(rpc.publish_request(node.target()))
    assert re.search(r'^W.*"the sandbox is incomplete, continuing without the parts that the system refuses".* boundingSet=false '
                     r'.*missing="bounding_set: reduce the capability bounding set \(needs CAP_SETPCAP\)', driver.log, re.M), driver.log[:2000]
    assert metric_sum(driver.metrics(), "sandbox_active", part="bounding_set") == 0
    assert metric_sum(driver.metrics(), "sandbox_active", part="seccomp") == 1


def test_a_pool_that_cannot_start_is_a_clear_error(start_driver):
    with pytest.raises(AssertionError, match="start the worker pool: 1000 threads .UV_THREADPOOL_SIZE. cannot be started"):
        start_driver(wrapper=("prlimit", f"--as={2 ** 30}", "--"), env={"UV_THREADPOOL_SIZE": "1000"})


def test_a_list_of_the_operator_bounds_where_cloud_files_are(start_azure, emulator, scratch):
    """A class names one (cloudEnvFileName) anywhere, unless the operator says where such files are."""
    clouds = scratch / "clouds"
    clouds.mkdir()
    (clouds / "mine.json").write_text((emulator.directory / "cloud.json").read_text())
    request = mount_request(cloudName="AzureStackCloud", cloudEnvFileName=str(clouds / "mine.json"))
    with Pods(start_azure().socket) as pods:
        pods.mount(request)
    with Pods(start_azure("--sandbox-allow=/etc", name="strict", socket_name="strict").socket) as pods:
        assert "permission denied" in pods.outcome(request).details()
    with Pods(start_azure(f"--sandbox-allow={clouds}", socket_name="other").socket) as pods:
        pods.mount(request)
