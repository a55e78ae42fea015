#!/usr/bin/python3
"""sandbox.py - runs a command that may be root and still cannot harm the machine.

    test/tools/sandbox.py COMMAND...

The command gets a mount namespace of its own in which every mount is read-only, but for

- /tmp and /dev/shm, each a new tmpfs; /var/tmp, which is build/tmp
- build/ of the checkout and the cache directory (cache.sh)
- /proc, whose files are not removed by anybody

Whatever the command mounts or leaves in /tmp is gone when it ends. READ_ONLY is a directory of the sandbox's own that is read-only as well:
integration/test_sandbox.py shows there what would happen to a path of the machine.
"""

import ctypes
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
CACHE = Path(os.environ.get("CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "secrets-store-csi").absolute()
READ_ONLY = Path("/tmp/read-only")

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS = 0x20000
MS_BIND, MS_REC, MS_PRIVATE, MS_SHARED = 0x1000, 0x4000, 0x40000, 0x100000
SYS_MOUNT_SETATTR = 442  # the same number on all architectures; Linux 5.12
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_ATTR_RDONLY = 1


class _MountAttributes(ctypes.Structure):
    _fields_ = [("set", ctypes.c_uint64), ("clear", ctypes.c_uint64), ("propagation", ctypes.c_uint64), ("userns_fd", ctypes.c_uint64)]


def _checked(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"sandbox.py: {what}: {os.strerror(number)}")


def mount(source, target, kind=None, flags=0, options=None):
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind, options)]
    _checked(_libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]), f"mount {target}")


def _set_read_only(path, read_only, recursive):
    attributes = _MountAttributes(set=MOUNT_ATTR_RDONLY if read_only else 0, clear=0 if read_only else MOUNT_ATTR_RDONLY)
    _checked(_libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), AT_RECURSIVE if recursive else 0, ctypes.byref(attributes),
                           ctypes.sizeof(attributes)), f"mount_setattr {path}")


def new_mount_namespace():
    """For the calling thread and what it starts. Nothing that is mounted there reaches other namespaces."""
    _checked(_libc.unshare(CLONE_NEWNS), "a mount namespace")
    mount(None, "/", flags=MS_REC | MS_PRIVATE)


def _cover_tmp(keep):
    """A tmpfs over /tmp, in which the directories of `keep` that are below it are still seen."""
    below = [(path, os.open(path, os.O_PATH)) for path in keep if path.is_relative_to("/tmp")]
    mount("tmp", "/tmp", "tmpfs", options="mode=1777")
    for path, fd in below:
        path.mkdir(parents=True, exist_ok=True)
        mount(f"/proc/self/fd/{fd}", path, flags=MS_BIND | MS_REC)
        os.close(fd)


def enter():
    """Puts this process (which has one thread) into the sandbox."""
    (BUILD / "tmp").mkdir(parents=True, exist_ok=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    new_mount_namespace()
    _cover_tmp([ROOT, CACHE])
    mount("shm", "/dev/shm", "tmpfs", options="mode=1777")
    mount(BUILD / "tmp", "/var/tmp", flags=MS_BIND)
    for path in (BUILD, CACHE):
        mount(path, path, flags=MS_BIND | MS_REC)
    (READ_ONLY / "empty").mkdir(parents=True)
    (READ_ONLY / "file").write_text("still here\n")
    mount(READ_ONLY, READ_ONLY, flags=MS_BIND)
    _set_read_only("/", True, recursive=True)
    for path in ("/tmp", "/dev/shm", "/var/tmp", "/proc"):
        _set_read_only(path, False, recursive=False)
    for path in (BUILD, CACHE):
        _set_read_only(path, False, recursive=True)
    os.environ["TMPDIR"] = "/tmp"
    os.chdir(os.getcwd())  # the directory of the new namespace


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: sandbox.py COMMAND...")
    enter()
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
