"""The tests run as root: what they reach outside their scratch directory is read-only (tools/sandbox.py)."""

import errno
import os
import subprocess
from pathlib import Path

import pytest
from sandbox import BUILD, CACHE, READ_ONLY

from harness import rpc
from harness.mounts import mounts_below
from harness.process import ROOT
from harness.scratch import SCRATCH

EMPTY = READ_ONLY / "empty"
WRITABLE = ("/tmp", "/dev/shm", "/var/tmp", "/proc", str(BUILD), str(CACHE))


@pytest.mark.parametrize("change", [
    lambda: EMPTY.rmdir(), lambda: (READ_ONLY / "file").unlink(), lambda: (READ_ONLY / "file").write_text(""), lambda: (READ_ONLY / "new").mkdir(),
    lambda: READ_ONLY.rename(READ_ONLY.parent / "elsewhere")], ids=["rmdir", "unlink", "write", "mkdir", "rename"])
def test_nothing_outside_can_be_changed(change):
    with pytest.raises(OSError) as failure:
        change()
    assert failure.value.errno in (errno.EROFS, errno.EBUSY)
    assert EMPTY.is_dir() and (READ_ONLY / "file").read_text() == "still here\n"


def test_an_unpublish_outside_fails_and_removes_nothing(driver):
    """Shown with a directory of the sandbox's own: a system path is handed to no program, not even to see it refused."""
    _, message = rpc.failure(driver.unpublish, rpc.unpublish_request(EMPTY))
    assert os.strerror(errno.EROFS) in message
    assert EMPTY.is_dir()


def test_every_mount_but_those_for_writing_is_read_only():
    for mount in mounts_below("/"):
        if mount.path in WRITABLE or mount.path.startswith((f"{SCRATCH}/", f"{BUILD}/", f"{CACHE}/")) or mount.path == str(SCRATCH):
            continue
        assert "ro" in mount.options, f"{mount.path} ({mount.type}) is writable"


def test_a_command_in_a_sandbox_of_its_own_is_held_as_well():
    """As the runner starts the unit test programs."""
    script = f"rmdir {EMPTY}; rm {READ_ONLY}/file; ls {READ_ONLY}"
    done = subprocess.run([Path(ROOT, "test/tools/sandbox.py"), "sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.count(os.strerror(errno.EROFS)) == 2, done.stderr
    assert done.stdout.split() == ["empty", "file"]
