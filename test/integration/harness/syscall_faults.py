"""Faults at one system call of a program: strace attaches to it and kills it before its n-th call of a kind, or lets that call fail."""

import signal
import subprocess
from pathlib import Path

from harness.process import wait_until

# Every system call by which a worker changes files and mounts; a kill before one that only reads leaves what the last change has left.
# strace counts each kind by itself, and per thread: there is one worker.
FILE_CALLS = ("mkdirat", "symlinkat", "renameat", "unlinkat", "fchmod", "fsetxattr", "fsopen", "fsmount", "mount_setattr", "move_mount",
              "open_tree", "umount2", "mount")
KILLS_MAX = 200  # far above the number of calls of one kind in any operation
ONE_WORKER = {"UV_THREADPOOL_SIZE": "1"}
# strace lets a call fail by putting another number in its place, and a filter of system calls ends the process for that.
WITHOUT_FILTER = "--sandbox=off"


class SyscallFault:
    """with SyscallFault(process, "mkdirat", "error=ENOSPC:when=2"): what strace injects into these system calls of the process (strace(1), "Tampering")."""

    def __init__(self, process, call, injection):
        self.process = process
        self.argv = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                     "-e", f"inject={call}:{injection}", "-p", str(process.pid)]

    def _traced(self):
        assert self.strace.poll() is None, "strace has ended"
        try:
            tasks = list(Path(f"/proc/{self.process.pid}/task").iterdir())
            return all("TracerPid:\t0\n" not in (task / "status").read_text() for task in tasks)
        except OSError:
            return False

    def __enter__(self):
        self.strace = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._traced, what="strace to attach")
        return self

    def __exit__(self, *_):
        """After this the process runs untraced, or is dead. A strace whose process was killed may miss the signal and hang."""
        self.strace.send_signal(signal.SIGTERM)
        try:
            self.strace.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self.strace.kill()
            self.strace.wait()


class StalledAt(SyscallFault):
    """with StalledAt(process, "umount2"): a thread that makes this call waits before it, as in a kernel that hangs, until the block ends."""

    def __init__(self, process, call):
        super().__init__(process, call, "delay_enter=600s")

    def wait_stalled(self):
        """Returns when a thread waits. Threads whose calls are only traced stop as well, but at once go on."""
        streaks = {}

        def stalled():
            for task in Path(f"/proc/{self.process.pid}/task").iterdir():
                stopped = "\nState:\tt" in (task / "status").read_text()
                streaks[task] = streaks.get(task, 0) + 1 if stopped else 0
            return any(streak >= 10 for streak in streaks.values())
        wait_until(stalled, pause=0.02, what="a thread that waits in its call")


class KilledAt(SyscallFault):
    """with KilledAt(process, "renameat", 2): the process gets SIGKILL when a thread is about to make its 2nd such call."""

    def __init__(self, process, call, number):
        super().__init__(process, call, f"signal=KILL:when={number}")

    @property
    def killed(self):
        """Was the call reached? Use after leaving the block, and after the peer has seen the response or the end."""
        return self.process.popen.poll() == -signal.SIGKILL
