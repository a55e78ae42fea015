"""Memory that never reaches swap: all of it, or with a small RLIMIT_MEMLOCK that of secrets (common/process/memory_lock.h)."""

import re
from pathlib import Path

import pytest

from harness import rpc, tutorial
from harness.azure_mounts import Pods, mount_request
from harness.memory import mappings
from harness.process import BUILD
from harness.programs import metric_sum
from harness.scripted_provider import mount_response

pytestmark = pytest.mark.build("dynamic", "static", reason="sanitized programs lock nothing: their shadow memory is larger than any limit")
STATIC = BUILD.name.startswith("static")
MIB = 1024 * 1024


def limited(size):
    """As in a container: root without the right to raise its limit, or any other user."""
    return ("prlimit", f"--memlock={size}:{size}", "--", "setpriv", "--bounding-set=-sys_resource,-ipc_lock", "--")


def written(pid):
    """The private mappings that the process can write, where a secret can be, and that could reach the swap."""
    return [one for one in mappings(pid) if one.permissions == "rw-p" and one.name not in ("[vvar]", "[vdso]") and not one.droppable]


def mappings_with(pid, needle):
    """The mappings in whose memory the bytes are."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for one in written(pid):
            try:
                memory.seek(one.start)
                if needle in memory.read(one.end - one.start):
                    found.append(one)
            except OSError:  # not readable: guard pages, or gone since
                continue
    return found


def locked_kib(pid):
    return int(re.search(r"^VmLck:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE).group(1))


def check_all_locked(program):
    assert locked_kib(program.pid) > 0
    unlocked = [one.name or hex(one.start) for one in written(program.pid) if not one.locked]
    assert not unlocked
    assert all(one.fields["Swap"] == "0 kB" for one in written(program.pid))
    assert [metric_sum(program.metrics(), "memory_locked", scope=scope) for scope in ("all", "secrets")] == [1, 1]
    assert '"memory is locked" scope="all"' in program.log


def test_all_memory_is_locked_where_there_is_no_limit(start_driver, provider, node, start_azure):
    """Also what is mapped later: the stacks of threads, large allocations. Only pages that are used are in memory. (No limit: here by CAP_IPC_LOCK,
    which a program without sandbox keeps, since this machine may not let root raise RLIMIT_MEMLOCK.)"""
    driver, azure = start_driver("--sandbox=off"), start_azure("--sandbox=off")
    node.add_class()
    driver.publish(rpc.publish_request(node.target()))
    with Pods(azure.socket) as pods:
        pods.mount(mount_request())
    check_all_locked(driver)
    check_all_locked(azure)
    for program in (driver, azure):
        assert program.rss_kib() < locked_kib(program.pid), "memory was filled that nobody touched"


@pytest.mark.build("static", reason="the dynamic linker reads relocations and symbols at other times")
@pytest.mark.parametrize("flags", [(), ("--sandbox=off",)])
def test_pages_that_only_the_start_needed_are_given_back(start_driver, start_azure, flags):
    """The first mapping holds relocations. Without sandbox all memory is locked, and pages are given back as well."""
    for program in (start_driver(*flags), start_azure(*flags)):
        executable = Path(f"/proc/{program.pid}/exe").resolve()
        unchanged = [one for one in mappings(program.pid) if one.name == str(executable) and "w" not in one.permissions]
        assert sum(one.resident for one in unchanged) < sum(one.end - one.start for one in unchanged) * 2 / 3
        assert unchanged[0].resident == 0


@pytest.mark.parametrize("limit", [8 * MIB, 300 * 1024])
def test_with_a_small_limit_the_memory_of_secrets_is_locked(start_azure, limit):
    azure = start_azure(wrapper=limited(limit))
    value = tutorial.SECRETS["secret1"].encode()
    with Pods(azure.socket) as pods:
        for _ in range(20):
            pods.mount(mount_request())
    assert 0 < locked_kib(azure.pid) * 1024 <= limit
    assert [metric_sum(azure.metrics(), "memory_locked", scope=scope) for scope in ("all", "secrets")] == [0, 1]
    assert '"memory is locked" scope="secrets"' in azure.log
    holders = mappings_with(azure.pid, value)
    assert any(one.locked for one in holders), "the provider keeps the value for republishes"
    if STATIC and limit == 8 * MIB:  # a development build has OpenSSL, whose buffers stay where they are
        assert [one.name for one in holders if not one.locked and one.name != "[stack]"] == []


@pytest.mark.parametrize("limit", [8 * MIB, 64 * 1024, 0])
def test_no_limit_ever_fails_a_mount(start_driver, start_azure, scripted, node, limit):
    """More in flight than may be locked: the rest is not locked, and counted."""
    big = b"x" * (3 * MIB)
    scripted(lambda request, context: mount_response({"file": big}))
    node.add_class()
    driver = start_driver(wrapper=limited(limit))
    for i in range(4):
        driver.publish(rpc.publish_request(node.target(volume=f"v{i}")))
    assert (node.target(volume="v0") / "file").read_bytes() == big
    with Pods(start_azure(wrapper=limited(limit)).socket) as pods:
        pods.mount(mount_request())
    if limit == 0:
        assert "no memory can be locked, secrets may reach the swap" in driver.log
    else:
        assert '"memory is locked" scope="secrets"' in driver.log
