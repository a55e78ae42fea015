"""Secrets must not be found anywhere but in the mounted files: not in logs, errors, metrics, environment, arguments, core dumps."""

import base64
import os
import resource
import secrets as random_source
import signal
import subprocess
import urllib.parse
from pathlib import Path

import grpc
import pytest

from harness import mounts, rpc, tutorial
from harness.process import SANITIZED, wait_until

FRAGMENT = 12


def canary(label):
    """A value that occurs nowhere else; with characters that every encoding changes."""
    return f"CANARY-{label}-{random_source.token_urlsafe(24)}/+=&%\"<\u00fc>"


def forms(value):
    """The value as it could show up: plain, encoded, or in pieces."""
    raw = value.encode()
    whole = {value, raw.hex(), raw.hex().upper(), urllib.parse.quote(value), urllib.parse.quote_plus(value)}
    for shift in range(3):  # base64 looks different at each of three offsets
        whole.add(base64.b64encode(b"x" * shift + raw).decode()[4:-4])
        whole.add(base64.urlsafe_b64encode(b"x" * shift + raw).decode()[4:-4])
    pieces = {value[i:i + FRAGMENT] for i in range(10, len(value) - FRAGMENT)}
    return whole | pieces


def assert_absent(values, text, where):
    for label, value in values.items():
        for form in forms(value):
            assert form not in text, f"{label} was found in {where}"


def process_text(process):
    """The files of /proc that other processes can read."""
    text = ""
    for name in ("environ", "cmdline"):
        text += Path(f"/proc/{process.pid}/{name}").read_bytes().decode(errors="replace")
    return text


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_leaves_by_any_log_error_or_metric(node, start_driver, start_azure, emulator, log_format):
    flags = ["-v=10", f"--log-format-json={'true' if log_format == 'json' else 'false'}"]
    values = {"vault secret 1": canary("v1"), "vault secret 2": canary("v2"), "rotated secret": canary("rot"),
              "client secret": canary("cs"), "wrong client secret": canary("wcs"), "service account token": canary("sat")}
    emulator.add_app(tutorial.TENANT, tutorial.CLIENT_ID, values["client secret"])
    emulator.set_secret("secret1", values["vault secret 1"])
    emulator.set_secret("secret2", values["vault secret 2"])
    driver = start_driver(*flags, "--enable-secret-rotation=true", "--rotation-poll-interval=1s")
    azure = start_azure(*flags, "--republish-cache-ttl=0")
    node.add_class(text=tutorial.CLASS)
    node.add_class("missing", text=tutorial.class_with(["secret1", "nope"], name="missing"))
    node.add_class("badpath", text=tutorial.class_with([], name="badpath", objects=(
        "array:\n  - |\n    objectName: secret1\n    objectType: secret\n  - |\n    objectName: secret2\n    objectType: secret\n"
        "    objectAlias: secret1/x\n")))
    node.add_class("hex", text=tutorial.class_with([], name="hex", objects=(
        "array:\n  - |\n    objectName: secret1\n    objectType: secret\n    objectEncoding: hex\n")))
    node.add_class("pfx", text=tutorial.class_with([], name="pfx", objects=(
        "array:\n  - |\n    objectName: secret1\n    objectType: secret\n    objectFormat: pfx\n")))
    node.add_class("workload", text=tutorial.class_with(["secret1"], name="workload", extra="    clientID: some-client\n"))
    node.add_class("nobody", provider="nobody")
    target = node.target()
    good = {"clientid": tutorial.CLIENT_ID, "clientsecret": values["client secret"]}
    tokens = {"csi.storage.k8s.io/serviceAccount.tokens":
              '{"api://AzureADTokenExchange":{"token":"%s","expirationTimestamp":"2099-01-01T00:00:00Z"}}'
              % values["service account token"].replace('"', '\\"')}
    broken_tokens = {"csi.storage.k8s.io/serviceAccount.tokens": values["service account token"]}
    errors = []

    def failing(timeout=20, **keywords):
        keywords.setdefault("secrets", good)
        try:
            driver.publish(rpc.publish_request(target, **keywords), timeout=timeout)
            driver.unpublish(rpc.unpublish_request(target))
        except grpc.RpcError as error:
            errors.append(error.details())

    # every way to fail that can be arranged
    failing(class_name="missing")
    failing(class_name="badpath")
    failing(class_name="hex")
    failing(class_name="pfx")
    failing(class_name="nobody")
    failing(class_name="absent")
    failing(class_name="workload", attributes=tokens)
    failing(class_name="workload", attributes=broken_tokens)
    failing(class_name="workload", secrets={**good, **tokens})
    failing(readonly=False)
    failing(secrets={**good, "clientsecret": values["wrong client secret"]})
    failing(secrets={"clientsecret": good["clientsecret"]})
    for kind, rule in (("garbage", {}), ("truncate", {}), ("reset", {}), ("status", {"status": 403}), ("status", {"status": 500})):
        for service in ("entra", "vault"):
            emulator.control("POST", "/entra/revoke-tokens")
            emulator.add_fault(kind, service=service, **rule)
            failing(timeout=3)
            emulator.clear_faults()
    # success, rotation, and the same again
    driver.publish(rpc.publish_request(target, secrets={**good, **tokens}))
    assert mounts.contents(target)["secret1"] == values["vault secret 1"].encode()
    emulator.set_secret("secret1", values["rotated secret"])

    def rotated():
        driver.publish(rpc.publish_request(target, secrets=good, attributes=tokens))
        return mounts.contents(target)["secret1"] == values["rotated secret"].encode()
    wait_until(rotated, timeout=15, what="the rotation")
    assert len(errors) >= 12

    for process in (driver, azure):
        assert_absent(values, process.metrics(), f"the metrics of {process.name}")
        assert_absent(values, process_text(process), f"/proc of {process.name}")
    assert_absent(values, "\n".join(errors), "an error")
    driver.unpublish(rpc.unpublish_request(target))
    for process in (driver, azure):
        process.destroy()
        assert process.log, "nothing was logged: this test would prove nothing"
        assert_absent(values, process.log, f"the log of {process.name}")
    # and no file of the node holds one
    for path in node.directory.rglob("*"):
        if path.is_file() and not path.is_socket():
            assert_absent(values, path.read_bytes().decode(errors="replace"), path)


@pytest.mark.parametrize("which", ["driver", "azure"])
def test_no_core_dump_is_possible(request, which):
    process = request.getfixturevalue(which)
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    core = [line for line in limits.splitlines() if line.startswith("Max core file size")][0].split()
    assert core[-3:-1] == ["0", "0"]


@pytest.mark.parametrize("which", ["start_driver", "start_azure"])
@pytest.mark.parametrize("signum", [signal.SIGABRT, pytest.param(signal.SIGSEGV, marks=pytest.mark.build(
    "dynamic", "static", reason="the sanitizer handles SIGSEGV itself"))])
def test_a_crash_leaves_no_core_file(request, which, signum):
    """Without the sandbox, which does not let the kernel make one either. How the process ended does not depend on where core_pattern leads to."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        process = request.getfixturevalue(which)("--sandbox=off")
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
    process.popen.send_signal(signum)
    ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    process.popen.wait(30)
    if SANITIZED and ended.si_code == os.CLD_EXITED:  # by the sanitizer
        assert ended.si_status != 0
    else:
        assert (ended.si_code, ended.si_status) == (os.CLD_KILLED, signum), "CLD_DUMPED: the kernel has written its memory"


NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def nobody_can_read(pid, what):
    return subprocess.run([*NOBODY, "head", "-c", "1", f"/proc/{pid}/{what}"], capture_output=True, check=False).returncode == 0


def test_another_process_of_the_same_user_cannot_read_the_memory(node, start_azure):
    """PR_SET_DUMPABLE 0: /proc of the process belongs to root. An ordinary process of that user can be read, which proves the means."""
    node.providers.chmod(0o777)
    azure = start_azure(wrapper=NOBODY)
    ordinary = subprocess.Popen([*NOBODY, "sleep", "60"])
    try:
        wait_until(lambda: nobody_can_read(ordinary.pid, "environ"), what="an ordinary process to be readable")
        for what in ("environ", "maps"):
            assert not nobody_can_read(azure.pid, what)
    finally:
        ordinary.kill()
        ordinary.wait()

