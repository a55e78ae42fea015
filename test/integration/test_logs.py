"""One dialect of JSON logs in both programs, as log shippers read it: rsyslog itself, and the contracts of Fluent Bit's and Vector's parsers."""

import json
import re
import shutil
import subprocess
import tomllib
from datetime import datetime, timedelta, timezone

import pytest

from harness import rpc, tutorial
from harness.process import BUILD, ROOT, Process, wait_until

PAGE = (ROOT / "docs/logs.md").read_text()
FIRST = ["timestamp", "level", "caller", "message"]


def blocks(heading):
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE).group(1)
    return re.findall(r"^```\w*\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


@pytest.fixture
def logs(node, start_driver, start_azure):
    """{program: its log} after a mount and one that fails, with JSON; each with both streams."""
    node.add_class(text=tutorial.CLASS)
    driver = start_driver("--log-format-json=true")
    azure = start_azure("--log-format-json=true", "-v=5")
    driver.publish(rpc.publish_request(node.target(), secrets=tutorial.CREDENTIALS))
    driver.publish_failure(rpc.publish_request(node.target(volume="x"), volume="x", secrets={"clientid": "a\u2028\"\n\tb", "clientsecret": "ä"}))
    driver.unpublish(rpc.unpublish_request(node.target()))
    wait_until(lambda: '"level":"error"' in driver.log and '"level":"error"' in azure.log, what="the errors")
    return {"driver": driver, "provider": azure}


def split(log):
    """At line feeds alone, as log shippers do: text of others may hold the line separators of Unicode."""
    return log.removesuffix("\n").split("\n") if log else []


def lines_of(log):
    return [json.loads(line) for line in split(log)]


def test_both_programs_write_one_dialect(logs):
    for program in logs.values():
        lines = lines_of(program.log)
        assert len(lines) > 3
        for line in lines:
            assert list(line)[:4] == FIRST and line["level"] in ("error", "warning", "info") and re.fullmatch(r"\w+\.c:\d+", line["caller"]), line
            assert ("v" in line) == (line["level"] == "info") and ("err" in line) <= ("code" in line), line
            assert all(re.fullmatch(r"[a-z][a-zA-Z0-9]*", key) for key in line), line
            assert all(isinstance(value, (str, int, bool)) for value in line.values()), line
    errors = {name: [line for line in lines_of(program.log) if line["level"] == "error"] for name, program in logs.items()}
    assert all(len(found) == 1 for found in errors.values()), errors
    assert errors["driver"][0]["pod"] == errors["provider"][0]["pod"] == "default/web"


def test_errors_are_on_stderr_and_all_else_on_stdout(node, scratch):
    """In both programs."""
    for program, flags in (("driver", ["--nodeid=x", f"--class-dir={node.classes}", "--metrics-addr=0"]),
                           ("provider-azure", ["--driver-write-secrets=false"])):
        done = subprocess.run([BUILD / f"bin/secrets-store-{program}", f"--endpoint=unix://{scratch}/none/deep/x.sock", "--log-format-json",
                               *flags], capture_output=True, text=True, timeout=60, check=False)
        assert [line["level"] for line in lines_of(done.stderr)] == ["error"], done
        assert lines_of(done.stdout) and "error" not in [line["level"] for line in lines_of(done.stdout)], done


def test_every_key_is_documented_and_no_other():
    tables = PAGE[PAGE.index("## Keys"):PAGE.index("## Fluent Bit")]
    cells = [line.split("|") for line in tables.splitlines() if line.startswith("| ")]
    listed = {key for row in cells for key in re.findall(r"`([a-z][a-zA-Z0-9]*)`", row[1] if row[1].strip().startswith("`") else row[2])}
    listed -= {"error", "warning", "info", "name"} - {"warning"}
    used = {"timestamp", "level", "caller", "message", "v", "err", "code"}
    for source in (path for directory in ("common", "driver", "provider-azure") for path in (ROOT / directory).rglob("*.c")):
        used |= set(re.findall(r'\bLOG_(?:STR|INT|UINT|BOOL|OBJECT)\(\s*"([^"]+)"', source.read_text()))
    assert sorted(key for key in used if not re.fullmatch(r"[a-z][a-zA-Z0-9]*", key)) == []
    assert sorted(used - listed) == [] and sorted(listed - used) == []


def test_the_time_format_of_the_fluent_bit_parser_reads_our_time(logs):
    """Fluent Bit's %L is the fraction of a second; the rest is strptime(3)."""
    (config,) = blocks("Fluent Bit")
    parser = config[config.index("[PARSER]"):]
    settings = dict(re.findall(r"^    (\w+) +(.+)$", parser, re.MULTILINE))
    assert settings["Format"] == "json" and settings["Time_Key"] == "timestamp"
    time_format = settings["Time_Format"].replace("%L", "%f")
    now = datetime.now(timezone.utc)
    for program in logs.values():
        for line in lines_of(program.log):
            then = datetime.strptime(line["timestamp"], time_format).replace(tzinfo=timezone.utc)
            assert now - timedelta(minutes=5) < then <= now
            assert datetime.fromisoformat(line["timestamp"].replace("Z", "+00:00")) == then  # RFC 3339, which Vector's %+ is


def test_a_line_survives_the_container_runtimes_prefix(logs):
    """The CRI format, by the expression that log shippers use for it: our lines are never split."""
    cri = re.compile(r"^(?P<time>[^ ]+) (?P<stream>stdout|stderr) (?P<logtag>[^ ]*) (?P<message>.*)$")
    for program in logs.values():
        lines = split(program.log)
        assert len(lines) > 1, "the start alone has more"
        for line in lines:
            assert len(line) < 16 * 1024  # containerd splits longer ones
            assert json.loads(cri.match(f"2026-11-30T02:18:11.516486000Z stderr F {line}")["message"]) == json.loads(line)


def test_the_vector_configuration_is_whole():
    (text,) = blocks("Vector")
    config = tomllib.loads(text)
    assert config["transforms"]["secrets_store"]["inputs"] == list(config["sources"])
    for chart in (ROOT / "manifests/deploy").glob("*.yaml"):
        for name in re.findall(r"^  name: (csi-secrets-store\S*)$", chart.read_text(), re.MULTILINE) if "DaemonSet" in chart.read_text() else []:
            assert name in config["sources"]["kubernetes"]["extra_label_selector"]


def test_rsyslog_reads_both_logs(logs, scratch):
    rsyslogd = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin")
    assert rsyslogd, "make deps-test installs it"
    (config,) = blocks("rsyslog")
    wanted = {}
    for name, program in logs.items():
        directory = scratch / f"rsyslog-{name}"
        directory.mkdir()
        out = directory / "out"
        (directory / "rsyslog.conf").write_text(f'global(workDirectory="{directory}")\n'
                                                + config.replace('"LOG"', f'"{program.log_path}"').replace('"OUT"', f'"{out}"'))
        wanted[name] = lines_of(program.log)
        shipper = Process(f"rsyslogd-{name}", [rsyslogd, "-n", "-f", directory / "rsyslog.conf", "-i", directory / "pid"], directory)
        try:
            wait_until(lambda: out.exists() and len(split(out.read_text())) >= len(wanted[name]), 30, f"rsyslogd\n{shipper.log}")
        finally:
            shipper.kill()
            shipper.popen.wait()
        rows = [line.split("\t") for line in split(out.read_text())]
        assert [row[:4] for row in rows] == [[line["timestamp"], line["level"], line["message"], line.get("pod", "")] for line in wanted[name]]
        assert [row[4] for row in rows if row[4]] == [line["err"] for line in wanted[name] if "err" in line]
