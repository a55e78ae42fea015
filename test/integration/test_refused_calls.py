"""A system call that the sandbox does not allow, made inside the running programs by a preloaded shim (peers/forbidden_call_shim.c)."""

import signal
import socket
import subprocess

import pytest

from harness.process import ROOT, wait_until
from harness.programs import metric_sum

pytestmark = pytest.mark.build("dynamic", reason="the call is made by LD_PRELOAD, and sanitized programs have no filter")
CONNECTIONS = 20


@pytest.fixture
def preloaded(scratch):
    shim = scratch / "shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim, ROOT / "test/integration/peers/forbidden_call_shim.c"], check=True)
    return {"LD_PRELOAD": str(shim)}


@pytest.fixture(params=["driver", "provider"])
def start(request, start_driver, start_azure, node, preloaded):
    """start(flag) -> the program and its socket."""
    def start(flag):
        if request.param == "driver":
            return start_driver(flag, env=preloaded), node.csi_socket
        program = start_azure(flag, env=preloaded)
        return program, program.socket
    return start


def connect(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))


def test_a_refused_call_fails_with_eperm_and_is_named_once(start):
    program, path = start("--sandbox=on")
    before = program.log.count("personality: ")
    for _ in range(CONNECTIONS):
        connect(path)
    wait_until(lambda: program.log.count("personality: ") >= before + CONNECTIONS, what="the calls")
    assert "personality: ok" not in program.log and "personality: EPERM" in program.log
    wait_until(lambda: metric_sum(program.metrics(), "sandbox_refused_calls_total") >= CONNECTIONS, what="the metric")
    lines = [line for line in program.log.splitlines() if "system call refused by the sandbox" in line]
    assert len(lines) == 1 and 'call="personality"' in lines[0], lines
    assert program.alive


def test_a_refused_call_ends_the_program_where_that_is_asked_for(start):
    with pytest.raises(AssertionError, match=f"ended with status -{signal.SIGSYS.value}"):
        start("--sandbox=kill")


def test_without_the_sandbox_the_call_is_made(start):
    program, path = start("--sandbox=off")
    connect(path)
    wait_until(lambda: "personality: ok" in program.log, what="the call")
    assert "refused" not in program.log
