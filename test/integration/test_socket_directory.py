"""A provider without rights in a directory of root's: the init container prepares the directory, the provider serves in it."""

import os
import socket
import stat
import subprocess

import pytest

from harness.process import BUILD, PATIENCE, wait_until

PROGRAM = BUILD / "bin/secrets-store-provider-azure"
USER = 65532
SANITIZER = {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}


def prepare(path, owner=f"{USER}:{USER}", capabilities="chown"):
    """The init container: root with one capability."""
    return subprocess.run(["setpriv", f"--bounding-set=-all,+{capabilities}", "--no-new-privs", PROGRAM, f"--endpoint=unix://{path}",
                           f"--prepare-socket-dir={owner}"],
                          capture_output=True, text=True, timeout=30 * PATIENCE, check=False, env=SANITIZER)


def unprivileged(path):
    """The provider's container: a user, no group but its own, no capabilities."""
    return subprocess.Popen(["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--bounding-set=-all", "--no-new-privs", PROGRAM,
                             f"--endpoint=unix://{path}", "--healthz-port=0", "--prometheus-port=0"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=SANITIZER)


def responds(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        return client.recv(9)[3:4] == b"\x04"  # its SETTINGS


@pytest.fixture
def directory(scratch):
    path = scratch / "providers"
    path.mkdir(mode=0o755)
    scratch.chmod(0o755)
    return path


def end(process):
    process.terminate()
    process.communicate(timeout=30 * PATIENCE)
    assert process.returncode == 0


def test_without_it_the_provider_names_the_missing_directory(directory):
    process = unprivileged(directory / "azure.sock")
    _, log = process.communicate(timeout=30 * PATIENCE)
    assert process.returncode == 1
    assert b"Permission denied" in log


def test_the_directory_is_the_groups_and_the_socket_the_users_alone(directory):
    path = directory / "azure.sock"
    assert prepare(path).returncode == 0
    status = directory.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, USER, 0o1775)
    process = unprivileged(path)
    wait_until(path.exists, what="its socket")
    assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (USER, 0o700)
    assert responds(path)
    end(process)
    assert not path.exists()


def test_it_takes_over_from_a_provider_of_root(directory):
    path = directory / "azure.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
        old.listen()
        assert prepare(path).returncode == 0
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))  # the old one serves on until it is replaced
        inode = path.stat().st_ino
        process = unprivileged(path)
        wait_until(lambda: path.stat().st_ino != inode, what="the new socket")
        assert responds(path)
        end(process)


def test_two_instances_overlap_without_a_gap(directory):
    """A rolling upgrade with maxSurge: the new one renames its socket over the old one's, the old one leaves the new one's alone."""
    path = directory / "azure.sock"
    assert prepare(path).returncode == 0
    old = unprivileged(path)
    wait_until(path.exists, what="its socket")
    inode = path.stat().st_ino
    assert prepare(path).returncode == 0
    new = unprivileged(path)
    wait_until(lambda: path.stat().st_ino != inode, what="the new socket")
    end(old)
    assert responds(path)
    end(new)


def test_other_peoples_files_stay(directory):
    other = directory / "vault.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(other))
        (directory / "azure.sock").symlink_to(other)
        assert prepare(directory / "azure.sock").returncode == 0
        assert other.stat().st_uid == 0 and (directory / "azure.sock").lstat().st_uid == 0


@pytest.mark.parametrize("owner", ["0:1", "1:0", "1", "1:", ":1", "a:b", "1:1:1", "1:-1", "4294967296:1", "1:99999999999999999999"])
def test_an_invalid_owner_is_refused(directory, owner):
    result = prepare(directory / "azure.sock", owner)
    assert result.returncode == 1
    assert "numbers above 0" in result.stderr
    assert stat.S_IMODE(directory.stat().st_mode) == 0o755
