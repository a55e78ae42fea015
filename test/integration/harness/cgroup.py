"""A memory cgroup of a test's own, with a limit, for one program."""

import subprocess
import uuid
from pathlib import Path

import pytest


class MemoryCgroup:
    """In the hierarchy of this machine, which is mounted at a directory of the test: /sys/fs/cgroup is read-only here. Cgroups of version 1 only:
    in those of version 2 a cgroup with processes of its own can have no children with limits. `charge()` and `end()` belong to it."""

    def __init__(self, scratch, limit):
        if not any(line.split()[0] == "memory" and line.split()[1] != "0" for line in Path("/proc/cgroups").read_text().splitlines()[1:]):
            pytest.skip("this machine has no memory cgroups of version 1")
        self.mount = Path(scratch) / "cgroups"
        self.mount.mkdir()
        subprocess.run(["mount", "-t", "cgroup", "-o", "memory", "cgroup", self.mount], check=True)
        self.path = self.mount / f"secrets-store-test-{uuid.uuid4()}"
        self.path.mkdir()
        self.wrapper = ["bash", "-c", 'echo $$ > "$0"/cgroup.procs; exec "$@"', self.path]
        (self.path / "memory.limit_in_bytes").write_text(str(limit))

    def number(self, name):
        return int((self.path / name).read_text())

    def stat(self):
        return {name: int(value) for name, value in (line.split() for line in (self.path / "memory.stat").read_text().splitlines())}

    def used(self):
        return self.number("memory.usage_in_bytes")

    def kernel(self):
        return self.number("memory.kmem.usage_in_bytes")

    def kills(self):
        return int(dict(line.split() for line in (self.path / "memory.oom_control").read_text().splitlines())["oom_kill"])

    def end(self):
        self.path.rmdir()
        subprocess.run(["umount", self.mount], check=True)
