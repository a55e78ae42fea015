"""The provider as a process: command line, start, end, health, metrics, log."""

import json
import os
import re
import signal
import socket
import stat
import subprocess

import pytest

from harness import rpc, tutorial
from harness.azure_mounts import Pods, mount_request
from harness.http_get import get, get_with_headers
from harness.process import BUILD, PATIENCE, ROOT, free_port, wait_until
from harness.rpc import CODES
from harness.socket_rival import Rival

PROGRAM = BUILD / "bin/secrets-store-provider-azure"


def run(*arguments, env=None):
    """A start that has to end by itself."""
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=20 * PATIENCE, check=False,
                          env={"PATH": "/usr/bin:/bin", **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}, **(env or {})})


# ---- command line ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["--version", "-version", "--version=true", "-version=1"])
def test_version_is_one_json_line(flag):
    result = run(flag)
    assert result.returncode == 0 and result.stdout.count("\n") == 1
    assert set(json.loads(result.stdout)) == {"version", "buildDate", "sandbox"}


@pytest.mark.parametrize("flag", ["-h", "--help", "-help"])
def test_help_ends_with_success_and_names_the_flags(flag):
    result = run(flag)
    assert result.returncode == 0
    for name in ("endpoint", "cloud-name", "republish-cache-ttl", "healthz-port", "prometheus-port", "construct-pem-chain"):
        assert f"-{name}" in result.stdout + result.stderr
    assert "'secrets-store-provider-azure lint' checks the parameters of a class" in result.stdout


@pytest.mark.parametrize("arguments,word", [
    (["--no-such-flag"], "no-such-flag"), (["--healthz-port=x"], "healthz-port"), (["--healthz-timeout=5"], "healthz-timeout"),
    (["--construct-pem-chain=maybe"], "construct-pem-chain"), (["--endpoint"], "endpoint"), (["--healthz-port=65536"], "healthz-port"),
])
def test_a_wrong_flag_ends_the_start_with_2_and_names_it(arguments, word):
    result = run(*arguments)
    assert result.returncode == 2
    wrong, hint = result.stderr.splitlines()
    assert word in wrong and hint == "Try 'secrets-store-provider-azure --help'."


@pytest.mark.parametrize("arguments,env,text", [
    (["--endpoint=azure.sock"], {}, "invalid endpoint: azure.sock"),
    (["--endpoint=unix://"], {}, "invalid endpoint: unix://"),
    (["--endpoint=http://localhost:1"], {}, "invalid endpoint: http://localhost:1"),
    (["--endpoint=unix:///no/such/directory/azure.sock"], {}, "/no/such/directory/azure.sock"),
    (["--cloud-name=MoonCloud"], {}, "MoonCloud"),
    (["--cloud-name=AzureStackCloud"], {}, "AZURE_ENVIRONMENT_FILEPATH"),
    (["--cloud-name=AzureStackCloud"], {"AZURE_ENVIRONMENT_FILEPATH": "/no/such/file"}, "/no/such/file"),
    (["--metrics-backend=statsd"], {}, "statsd"),
    (["--healthz-path=healthz"], {}, "healthz"),
])
def test_an_impossible_setting_ends_the_start_with_1_and_names_it(scratch, arguments, env, text):
    defaults = [f"--endpoint=unix://{scratch}/a.sock", f"--healthz-port={free_port()}", f"--prometheus-port={free_port()}"]
    result = run(*defaults, *arguments, env=env)
    assert result.returncode == 1
    assert text.lower() in result.stderr.lower()
    assert not (scratch / "a.sock").exists()


def test_a_file_that_is_no_socket_is_left_where_it_is(scratch):
    """The Go provider deletes whatever is at its endpoint; a mistake in a flag must not cost a file."""
    (scratch / "a.sock").write_text("precious")
    result = run(f"--endpoint=unix://{scratch}/a.sock", f"--healthz-port={free_port()}", f"--prometheus-port={free_port()}")
    assert result.returncode == 1 and "a.sock exists and is not a socket" in result.stderr
    assert (scratch / "a.sock").read_text() == "precious"


@pytest.mark.parametrize("which", ["healthz-port", "prometheus-port"])
def test_a_port_in_use_ends_the_start_and_leaves_no_socket(scratch, which):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        ports = {"healthz-port": free_port(), "prometheus-port": free_port(), which: taken.getsockname()[1]}
        result = run(f"--endpoint=unix://{scratch}/a.sock", *(f"--{name}={port}" for name, port in ports.items()))
    assert result.returncode == 1
    assert str(ports[which]) in result.stderr
    assert not (scratch / "a.sock").exists()


def test_flags_of_old_manifests_are_accepted(start_azure, emulator):
    azure = start_azure("--driver-write-secrets=false", "--debug", "-logtostderr=true", "-alsologtostderr", "-stderrthreshold=2",
                        "-v=99", "-vmodule=x=1", "-log_dir=/x", "-log_file=/x", "-log_file_max_size=1", "-log_backtrace_at=a:1",
                        "-one_output", "-skip_headers=false", "-skip_log_headers", "-add_dir_header", "--enable-pprof=true",
                        "--pprof-port=6060", "--custom-user-agent=mine/1", "--metrics-backend=PROMETHEUS")
    with Pods(azure.socket) as pods:
        assert pods.mount(mount_request()).files
    assert "--driver-write-secrets" in azure.log and "--enable-pprof" in azure.log
    assert not (azure.socket.parent / "x").exists()


def test_a_word_that_ends_the_flags_is_reported(start_azure):
    azure = start_azure("--log-format-json=false", "--construct-pem-chain", "false", "--nosuch")
    assert 'not a flag: ignored with everything after it" word="false"' in azure.log


# ---- start and end ---------------------------------------------------------------------------------------------------------------


def test_the_socket_is_for_its_owner_and_replaces_an_old_one(node, start_azure):
    killed = start_azure()
    killed.kill()
    assert killed.socket.exists()
    azure = start_azure()
    with Pods(azure.socket) as pods:
        assert pods.mount(mount_request()).files
    mode = azure.socket.lstat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o700


def test_a_running_mount_is_finished_and_the_socket_removed_at_the_end(azure, emulator):
    with Pods(azure.socket) as pods:
        pods.mount(mount_request())
        emulator.add_fault("latency", service="vault", latency_ms=700)
        running = pods.client.future(rpc.MOUNT, mount_request())
        wait_until(lambda: emulator.counters()["in_flight"] == 1, what="the mount to be on its way")
        azure.popen.send_signal(signal.SIGTERM)
        assert running.result(timeout=20 * PATIENCE).files
    assert azure.popen.wait(timeout=20 * PATIENCE) == 0
    assert not azure.socket.exists()
    assert "terminating" in azure.log


@pytest.mark.slow
def test_a_mount_that_hangs_does_not_hold_up_the_end_for_ever(azure, emulator):
    emulator.add_fault("blackhole", service="vault")
    with Pods(azure.socket) as pods:
        hanging = pods.client.future(rpc.MOUNT, mount_request(), timeout=100)
        wait_until(lambda: emulator.counters()["in_flight"] == 1, what="the mount to be on its way")
        status = azure.stop(timeout=15)  # the drain time is 10 s
        assert status == 0
        failure = hanging.exception(timeout=10)
        assert failure.code() == CODES.UNAVAILABLE and failure.details() == "the provider is stopping"  # so that the driver calls the next one


# ---- health ----------------------------------------------------------------------------------------------------------------------


def test_health_goes_through_the_socket(azure):
    assert get(azure.health_port, "/healthz") == (200, "ok")
    assert get(azure.health_port, "/")[0] == 404
    with Rival(azure.socket):
        status, body = get(azure.health_port, "/healthz")
        assert status == 503 and body.endswith("\n") and "azure.sock" in body
    assert get(azure.health_port, "/healthz") == (200, "ok")


def test_health_path_and_port_are_flags_and_the_port_can_be_shared(start_azure):
    port = free_port()
    start_azure(f"--healthz-port={port}", f"--prometheus-port={port}", "--healthz-path=/alive", "--healthz-timeout=1s")
    assert get(port, "/alive") == (200, "ok")
    assert "process_open_fds" in get(port, "/metrics")[1]
    assert get(port, "/healthz")[0] == 404


# ---- metrics ---------------------------------------------------------------------------------------------------------------------


def documented_metrics():
    """{name: (type, labels)} of the table in the documentation."""
    found = {}
    for line in (ROOT / "docs/metrics-provider-azure.md").read_text().splitlines():
        match = re.match(r"\| `(\w+)` \| (counter|gauge|histogram) \| ([^|]*)\|", line)
        if match:
            found[match.group(1)] = (match.group(2), tuple(re.findall(r"`(\w+)`", match.group(3))))
    return found


def exposed_metrics(text):
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    found = {}
    for name, kind in types.items():
        suffix = "_count" if kind == "histogram" else ""
        line = re.search(rf"^{name}{suffix}(?:{{(.*)}})? \S+$", text, re.MULTILINE)
        found[name] = (kind, tuple(re.findall(r'(\w+)="', line.group(1) or "")))
    return found


def test_the_documentation_lists_exactly_the_metrics_there_are(azure):
    with Pods(azure.socket) as pods:
        pods.mount(mount_request())
    assert exposed_metrics(azure.metrics()) == documented_metrics()


def test_labels_are_bounded(azure, emulator):
    emulator.add_fault("status", service="vault", path_contains="broken", status=400, body="<html>unusual text</html>")
    with Pods(azure.socket, in_flight=16) as pods:
        before = None
        for round_ in range(2):
            pods.call_all([mount_request([f"missing-{round_}-{i}", f"broken-{round_}-{i}"], pod=f"pod-{round_}-{i}") for i in range(50)])
            text = azure.metrics()
            assert before is None or len(text.splitlines()) == before, "series grow with the names"
            before = len(text.splitlines())
    for word in ("missing-", "broken-", "unusual", tutorial.VAULT.lower(), "pod-"):
        assert word not in text
    for bucket in "0.1 0.2 0.3 0.4 0.5 1 1.5 2 2.5 3 5 10 15 30 +Inf".split():
        assert re.search(rf'^keyvault_request_bucket{{.*object_type="secret".*le="{re.escape(bucket)}"}}', text, re.MULTILINE), bucket
        assert re.search(rf'^grpc_request_bucket{{.*grpc_method="{rpc.MOUNT}".*le="{re.escape(bucket)}"}}', text, re.MULTILINE), bucket


def test_failures_are_counted_by_class(azure, emulator):
    emulator.add_fault("status", service="vault", path_contains="/secrets/busy", status=429, retry_after=3600)
    with Pods(azure.socket) as pods:
        for request in (mount_request(["nothing-here"]), mount_request(["busy"]), mount_request(objects="array: {")):
            pods.outcome(request)
    text = azure.metrics()
    assert re.search(r'^keyvault_request_count{.*error="not_found"} 1$', text, re.MULTILINE)
    assert re.search(r'^keyvault_request_count{.*error="throttled"} 1$', text, re.MULTILINE)
    for code, reason in (("NotFound", "not_found"), ("ResourceExhausted", "throttled"), ("InvalidArgument", "invalid")):
        assert re.search(rf'^grpc_request_count{{.*grpc_method="{rpc.MOUNT}",grpc_code="{code}",grpc_message="{reason}"}} 1$', text, re.MULTILINE)
    assert 'azure_http_requests_total{service="vault",status="429"} 1' in text


def test_nothing_but_metrics_is_on_the_metrics_port(start_azure):
    azure = start_azure("--enable-pprof=true")
    assert get(azure.metrics_port, "/debug/pprof/")[0] == 404
    assert get(azure.metrics_port, "/healthz")[0] == 404
    status, _, headers = get_with_headers(azure.metrics_port, "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")


# ---- log -------------------------------------------------------------------------------------------------------------------------


def test_one_failing_mount_makes_one_error_line(azure):
    with Pods(azure.socket) as pods:
        pods.outcome(mount_request(["nothing-here", "nor-here"]))
    wait_until(lambda: "failed to process mount request" in azure.log, what="the log")
    errors = [line for line in azure.log.splitlines() if line.startswith("E")]
    assert len(errors) == 1
    assert "nothing-here" in errors[0] and "nor-here" in errors[0] and 'pod="default/web"' in errors[0]


def test_levels_of_the_log(start_azure):
    azure = start_azure("-v=5")
    quiet = start_azure("-v=0", socket_name="quiet", name="quiet")
    with Pods(azure.socket) as pods, Pods(quiet.socket) as quiet_pods:
        pods.mount(mount_request(), timeout=9)
        quiet_pods.mount(mount_request())
    for word in ("objectName: secret1", rpc.MOUNT, "tenantId", "file added"):
        assert word in azure.log and word not in quiet.log, word
    assert "listening" in quiet.log
    for log in (azure.log, quiet.log):
        for value in (*tutorial.SECRETS.values(), tutorial.CLIENT_SECRET, "Bearer", "REDACTED"):
            assert value not in log


def test_json_errors_are_on_stderr_and_all_else_on_stdout(scratch):
    """Collectors that take every line on stderr for an error; text is on stderr as a whole."""
    with open(scratch / "taken", "w"):
        pass
    for flags, streams in ((["--log-format-json"], 2), ([], 1)):
        result = run(f"--endpoint=unix://{scratch}/taken", "--driver-write-secrets=false", f"--healthz-port={free_port()}",
                     f"--prometheus-port={free_port()}", *flags)
        assert "start failed" in result.stderr
        assert "driver-write-secrets" in (result.stdout if streams == 2 else result.stderr)
        assert streams == 1 or [json.loads(line)["level"] for line in result.stderr.splitlines()] == ["error"]


def test_json_log_lines(start_azure):
    azure = start_azure("--log-format-json", "-v=5")
    with Pods(azure.socket) as pods:
        pods.mount(mount_request())
        pods.outcome(mount_request(["nothing-here"]))
    wait_until(lambda: "failed to process mount request" in azure.log, what="the log")
    lines = [json.loads(line) for line in azure.log.splitlines()]
    assert all({"timestamp", "level", "caller", "message"} <= set(line) for line in lines)
    errors = [line for line in lines if "err" in line and line["message"] == "failed to process mount request"]
    assert len(errors) == 1 and "nothing-here" in errors[0]["err"]
