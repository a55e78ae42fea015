"""The driver and its memory limit, in a real cgroup: the pages and inodes of volumes count there, and stay when the driver ends."""

import os
import re

import pytest

from harness import mounts, rpc
from harness.cgroup import MemoryCgroup
from harness.process import ROOT, STATIC
from harness.programs import metric_sum
from harness.rpc import CODES
from harness.scripted_provider import mount_response

pytestmark = pytest.mark.release_only  # memory of sanitized programs is another one

KIB, MIB = 1024, 1024 * 1024
LIMIT = (24 if STATIC else 32) * MIB


@pytest.fixture
def limited(scratch):
    cgroup = MemoryCgroup(scratch, LIMIT)
    yield cgroup
    cgroup.end()


class Volumes:
    def __init__(self, node):
        self.node = node
        self.targets = {}

    def publish(self, driver, number):
        uid = f"00000000-0000-4000-8000-{number:012d}"
        target = self.node.target(pod_uid=uid)
        driver.publish(rpc.publish_request(target, pod=f"pod-{number}", pod_uid=uid))
        self.targets[uid] = target

    def unpublish(self, driver, uid):
        driver.unpublish(rpc.unpublish_request(self.targets.pop(uid), pod_uid=uid))

    def unpublish_all(self, driver):
        for uid in list(self.targets):
            self.unpublish(driver, uid)


@pytest.fixture
def volumes(node):
    return Volumes(node)


def provide(scripted, count, size):
    scripted(lambda request, context: mount_response({f"file{number:03}": b"x" * size for number in range(count)}))


def fill(driver, volumes, first=0):
    """Publishes volumes until one is refused; returns its failure."""
    for number in range(first, first + 10000):
        try:
            volumes.publish(driver, number)
        except rpc.grpc.RpcError as error:
            return error.code(), error.details()
    raise AssertionError("no volume was refused")


@pytest.mark.parametrize("count,size", [(10, 100), (1, MIB)], ids=["ten small files", "one MiB"])
def test_a_volume_that_does_not_fit_is_refused_and_the_driver_lives_and_starts_again(limited, start_driver, node, scripted, volumes, count, size):
    driver = start_driver("-v=0", wrapper=limited.wrapper)
    provide(scripted, count, size)
    node.add_class()
    code, message = fill(driver, volumes)
    assert code == CODES.RESOURCE_EXHAUSTED and re.search(r"no memory for the volume, which needs \d+ KiB: the memory limit of the driver leaves", message)
    assert len(volumes.targets) >= 5 and limited.used() > LIMIT // 2
    assert metric_sum(driver.metrics(), "memory_limit_left_bytes") < 10 * MIB
    driver.stop()
    # its volumes are still charged: the next one begins against the limit
    assert limited.used() > LIMIT - 16 * MIB
    driver = start_driver("-v=0", wrapper=limited.wrapper)
    uid, target = next(iter(volumes.targets.items()))
    assert len(mounts.contents(target)) == count
    published = len(volumes.targets)
    assert fill(driver, volumes, 20000)[0] == CODES.RESOURCE_EXHAUSTED
    assert len(volumes.targets) < published + published // 5
    for uid in list(volumes.targets)[:len(volumes.targets) // 4]:  # pods end: there is space again
        volumes.unpublish(driver, uid)
    volumes.publish(driver, 30000)
    volumes.unpublish_all(driver)
    driver.stop()
    assert limited.kills() == 0


@pytest.fixture
def unlimited(scratch):
    cgroup = MemoryCgroup(scratch, 1024 * MIB)
    yield cgroup
    cgroup.end()


@pytest.mark.parametrize("files", [1, 10, 100])
def test_what_a_volume_costs_is_what_the_page_says(unlimited, start_driver, node, scripted, volumes, files):
    page = (ROOT / "docs/install.md").read_text()
    per_volume, per_file, per_page = (int(number) for number in re.search(
        r"(\d+) KiB for each volume, (\d+) KiB for each file, and (\d+) KiB for each page", page).groups())
    driver = start_driver("-v=0", wrapper=unlimited.wrapper)
    provide(scripted, files, 100)
    node.add_class()
    for number in range(20):
        volumes.publish(driver, number)
    kernel, pages = unlimited.kernel(), unlimited.stat()["shmem"]
    for number in range(20, 120):
        volumes.publish(driver, number)
    cost = (unlimited.kernel() - kernel + unlimited.stat()["shmem"] - pages) / 100 / KIB
    stated = per_volume + files * (per_file + per_page)
    assert 0.7 * stated < cost < 1.1 * stated, f"{cost:.1f} KiB, stated are {stated}"
    root = next(iter(volumes.targets.values()))
    inodes = {os.lstat(os.path.join(path, name)).st_ino for path, directories, names in os.walk(root) for name in [".", *directories, *names]}
    assert len(inodes) == 3 + 2 * files  # root, version, ..data; each file and its link
    volumes.unpublish_all(driver)
    driver.stop()
