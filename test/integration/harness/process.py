"""Child processes of the tests: started with a log file each, never outliving the test run."""

import itertools
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

BUILD = Path(os.environ.get("BUILD", "build/release")).resolve()
ROOT = Path(__file__).resolve().parents[3]
SANITIZED = "asan" in BUILD.name
STATIC = "static" in BUILD.name
# Sanitizers make programs several times slower; waiting limits (never measured durations) are stretched by this.
PATIENCE = 5.0 if SANITIZED else 1.0


def wait_until(condition, timeout=60.0, what="the condition", pause=0.002):
    """Polls `condition` until it gives something true, and returns that. The first pause is `pause` seconds; they grow to 50 ms. The usual
    `timeout` only ends a test that fails, on a busy machine as well; a test of how long something takes gives one of its own."""
    deadline = time.monotonic() + timeout * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"timeout while waiting for {what}")
        time.sleep(pause)
        pause = max(pause, min(pause * 1.3, 0.05))


class Process:
    """A program under test. `stop()` asserts a clean end: status 0, and no word of a sanitizer in the log."""

    def __init__(self, name, argv, directory, env=None, cwd=None, user=None):
        self.name = name
        self.log_path = Path(directory) / f"{name}.log"
        self._log = open(self.log_path, "ab")
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"}
        environment.update(env or {})
        for key in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if key in os.environ:
                environment.setdefault(key, os.environ[key])
        # setpriv (util-linux) and no preexec_fn: Python code between fork and exec can hang when gRPC's threads run
        argv = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
        self.popen = subprocess.Popen(
            [str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=self._log,
            stderr=self._log, env=environment, cwd=cwd or directory, close_fds=True, user=user)

    @property
    def pid(self):
        return self.popen.pid

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    @property
    def alive(self):
        return self.popen.poll() is None

    def kill(self, signum=signal.SIGKILL):
        self.popen.send_signal(signum)
        return self.popen.wait(timeout=30)

    def stop(self, timeout=60):
        """SIGTERM; returns the exit status."""
        if self.alive:
            self.popen.send_signal(signal.SIGTERM)
        try:
            status = self.popen.wait(timeout=timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.name} did not end after SIGTERM\n{self.log[-4000:]}") from None
        finally:
            self._log.close()
        return status

    def assert_clean(self, status):
        log = self.log
        for word in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "Assertion `"):
            assert word not in log, f"{self.name}: {word}\n{log[-8000:]}"
        findings = "\n".join(line for line in log.splitlines() if line.startswith("=="))  # valgrind's
        assert status == 0, f"{self.name} ended with status {status}\n{log[-4000:]}\n{findings[:6000]}"

    def destroy(self):
        """For fixtures: whatever state it is in, end it and complain if the end was not clean."""
        if self.popen.returncode is None:
            self.assert_clean(self.stop())

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_seconds(self):
        """The processor time of all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_kib(self):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0


# Ports that nobody is given by accident (they are below the kernel's range for clients), each worker's in a block of its own.
_BLOCK = 500
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_first_port = 10000 + (os.getppid() + _worker) % 44 * _BLOCK
_ports = itertools.cycle(range(_first_port, _first_port + _BLOCK))


def free_port():
    """A port of 127.0.0.1 that nothing listens on, and that this test run does not give to anybody else for a while."""
    for port in itertools.islice(_ports, _BLOCK):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no free port from {_first_port} on")
