"""The mounts of the kernel's table, and the files that a pod sees in a volume."""

import os
import re
import stat
from pathlib import Path


class Mount:
    def __init__(self, line):
        left, right = line.rstrip("\n").split(" - ", 1)
        fields = left.split(" ")
        self.path = re.sub(r"\\(\d{3})", lambda match: chr(int(match.group(1), 8)), fields[4])
        self.options = set(fields[5].split(","))
        self.type, self.source, super_options = right.split(" ", 2)
        self.super_options = set(super_options.split(","))


def mounts_below(path, pid="self"):
    path = os.path.realpath(path)
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        mounts = [Mount(line) for line in lines]
    return [mount for mount in mounts if mount.path == path or mount.path.startswith(path + "/")]


def mount_at(path):
    found = [mount for mount in mounts_below(path) if mount.path == os.path.realpath(path)]
    assert len(found) <= 1, f"{len(found)} mounts are stacked at {path}"
    return found[0] if found else None


def read_volume(target, in_place=False):
    """{relative path: (mode, bytes)} of what an application sees: everything not starting with '..', links followed. With `in_place` there are no
    links."""
    files = {}
    for top in sorted(os.listdir(target)):
        if top.startswith(".."):
            continue
        path = Path(target) / top
        assert path.is_symlink() != in_place, f"{top} is no link into ..data" if not in_place else f"{top} is a link"
        entries = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        for entry in entries:
            mode = stat.S_IMODE(os.stat(entry).st_mode)
            files[str(entry.relative_to(target))] = (mode, entry.read_bytes())
    return files


def contents(target, in_place=False):
    return {path: data for path, (_, data) in read_volume(target, in_place).items()}


def assert_no_trace(target):
    """Nothing is mounted there and the directory itself is gone."""
    assert mounts_below(target) == []
    assert not os.path.lexists(target)
