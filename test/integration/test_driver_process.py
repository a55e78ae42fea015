"""The driver as a process: its command line, as manifests of the driver that we replace and of its old releases write it."""

import json
import os
import subprocess
from datetime import datetime

import pytest

from harness import mounts, rpc
from harness.process import BUILD, PATIENCE, ROOT

PROGRAM = BUILD / "bin/secrets-store-driver"
# Every flag of its command line reference that this driver has no use for, and those of releases up to 1.0.
WITHOUT_EFFECT = ["--enable-pprof=true", "--pprof-port=6065", "-vmodule=x=1", "-logtostderr=true", "-alsologtostderr", "-stderrthreshold=2", "-log_dir=/x",
                  "-log_file=/x", "-log_file_max_size=1", "-log_backtrace_at=a:1", "-one_output", "-skip_headers=false", "-skip_log_headers",
                  "-add_dir_header", "--filtered-watch-secret=true", "--debug=true", "--grpc-supported-providers=azure", "--min-provider-version=0.0.1"]


def run(scratch, *arguments):
    """A start that has to end by itself."""
    return subprocess.run([PROGRAM, f"--endpoint=unix://{scratch}/csi.sock", "--nodeid=node-1", "--metrics-addr=0", f"--class-dir={scratch}", *arguments],
                          capture_output=True, text=True, timeout=20 * PATIENCE, check=False,
                          env={"PATH": "/usr/bin:/bin", **{key: value for key, value in os.environ.items() if key.endswith("SAN_OPTIONS")}})


@pytest.mark.parametrize("flag", ["--version", "-version", "--version=true", "-version=T"])
def test_version_is_one_json_line_with_the_known_keys(scratch, flag):
    result = run(scratch, flag)
    assert result.returncode == 0 and result.stdout.count("\n") == 1 and result.stderr == ""
    version = json.loads(result.stdout)
    assert list(version) == ["BuildVersion", "GitCommit", "BuildDate", "Sandbox"]
    assert version["BuildVersion"] == (ROOT / "VERSION").read_text().strip() and datetime.fromisoformat(version["BuildDate"])


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_ends_with_success(scratch, flag):
    result = run(scratch, flag)
    assert result.returncode == 0 and "-rotation-poll-interval" in result.stdout


@pytest.mark.parametrize("flags, word", [
    (["--no-such-flag"], "no-such-flag"), (["--rotation-poll-interval=120"], "rotation-poll-interval"),
    (["--enable-secret-rotation=yes"], "enable-secret-rotation"), (["--max-call-recv-msg-size=0"], "max-call-recv-msg-size"),
    (["--provider-health-check-interval=0"], "provider-health-check-interval"), (["-v=much"], "-v"), (["--nodeid"], "nodeid"),
])
def test_a_wrong_flag_ends_the_start_with_2_and_names_it(scratch, flags, word):
    result = run(scratch, *flags)
    assert result.returncode == 2
    wrong, hint = result.stderr.splitlines()  # not the whole usage, below which a reader of the log would not find the first line
    assert word in wrong and hint == "Try 'secrets-store-driver --help'."


@pytest.mark.parametrize("flags, text", [
    (["--nodeid="], "--nodeid is not set"),
    (["--drivername="], "--drivername '' is not the name of a CSI driver"),
    (["--drivername=a/b"], "--drivername 'a/b' is not the name of a CSI driver"),
    (["--drivername=" + 64 * "a"], "is not the name of a CSI driver"),
    (["--drivername=-a"], "is not the name of a CSI driver"),
    (["--metrics-backend=statsd"], "unknown --metrics-backend statsd"),
    (["--endpoint=npipe://csi"], "invalid endpoint: npipe://csi"),
    (["--endpoint=unix://C:\\csi\\csi.sock"], "paths of Windows are not supported"),
])
def test_an_impossible_setting_ends_the_start_with_1_and_names_it(scratch, flags, text):
    result = run(scratch, *flags)
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("E")]
    assert len(lines) == 1 and "start failed" in lines[0]
    assert text in lines[0].replace('\\\\', '\\').replace('\\"', '"')


def test_a_socket_whose_directory_is_missing_is_named(scratch):
    result = run(scratch, f"--endpoint=unix://{scratch}/none/csi.sock")
    assert result.returncode == 1 and f"bind {scratch}/none/csi.sock: No such file or directory" in result.stderr, result.stderr


def test_a_class_directory_that_is_missing_is_a_warning_at_the_start(start_driver, node, scripted):
    """A typing error, or a configuration tool that comes later: the driver starts."""
    scripted()
    warning = "the class directory cannot be opened, mounts fail until it can"
    node.classes.rename(node.directory / "moved")
    driver = start_driver()
    (line,) = [line for line in driver.log.splitlines() if warning in line]
    assert line.startswith("W") and f"open the class directory '{node.classes}': No such file or directory" in line
    code, text = driver.publish_failure(rpc.publish_request(node.target()))
    assert code == rpc.CODES.NOT_FOUND and f"open the class directory '{node.classes}'" in text
    node.classes.mkdir()
    node.add_class()
    driver.publish(rpc.publish_request(node.target()))
    assert driver.log.count(warning) == 1
    driver.stop()
    assert warning not in start_driver(name="next").log


def test_the_arguments_of_old_manifests_are_accepted(start_driver, node, scripted):
    """Verbosity and response limit as high as an installation may have set them; values given apart from the flag."""
    scripted()
    node.add_class()
    driver = start_driver(*WITHOUT_EFFECT, "--metrics-backend", "PROMETHEUS", "-v=99", "--max-call-recv-msg-size", "2147483647")
    driver.publish(rpc.publish_request(node.target()))
    assert mounts.contents(node.target()) == {"file": b"content"}
    assert "--enable-pprof is ignored" in driver.log


def test_a_word_that_ends_the_flags_is_reported(start_driver):
    driver = start_driver("--provider-health-check", "false", "--nosuch")
    assert 'not a flag: ignored with everything after it" word="false"' in driver.log
