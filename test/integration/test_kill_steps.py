"""The driver killed at every single step of a publish, a rotation and an unpublish; each time the next driver repairs the volume.

test_kill.py does the same at random times. Here strace kills before every system call that reads or changes files and mounts, one
after the other, so no step is left out.
"""

import os

import grpc
import pytest

from harness import mounts, rpc
from harness.generations import Generations, shown
from harness.process import wait_until
from harness.programs import Driver
from harness.syscall_faults import FILE_CALLS, KILLS_MAX, ONE_WORKER, KilledAt

pytestmark = [pytest.mark.slow, pytest.mark.release_only]

ROTATE = ("--enable-secret-rotation=true", "--rotation-poll-interval=0")


@pytest.fixture
def stage(node, scripted):
    node.add_class()
    generations = Generations()
    scripted(generations)
    return node, node.target(), generations


def kill_at_every_step(node, flags, prepare, method, request, check, calls=FILE_CALLS):
    """For each kind of call: prepare(driver), then the RPC with a kill before the 1st, 2nd, ... such call, until none is left; check(succeeded)
    after each. Every time a new driver. Returns how many kills there were, by kind."""
    kills = {}
    for call in calls:
        kills[call] = 0
        while True:
            driver = Driver(node, flags, name=f"{call}{kills[call]}", env=ONE_WORKER)
            prepare(driver)
            with KilledAt(driver, call, kills[call] + 1) as kill:
                error = driver.client.future(method, request).exception(timeout=20)
            if error is not None:
                wait_until(lambda: not driver.alive, what="the end of the driver")
            killed = kill.killed
            assert killed == (error is not None), error
            assert error is None or error.code() == grpc.StatusCode.UNAVAILABLE
            check(not killed)
            if not killed:
                driver.destroy()
                break
            driver.client.close()
            kills[call] += 1
            assert kills[call] <= KILLS_MAX
    print(kills)
    return kills


def finish(node, target):
    """One more driver: everything can be unmounted and removed, and nothing is left anywhere."""
    driver = Driver(node, name="last")
    driver.unpublish(rpc.unpublish_request(target))
    driver.destroy()
    mounts.assert_no_trace(target)
    assert mounts.mounts_below(node.kubelet) == []


def test_killed_at_every_step_of_a_publish(stage):
    node, target, generations = stage
    whole = []

    def prepare(driver):
        driver.publish(rpc.publish_request(target))  # repairs the state after the last kill
        assert shown(target) is not None
        driver.unpublish(rpc.unpublish_request(target))
        mounts.assert_no_trace(target)

    def check(succeeded):
        number = shown(target)  # whole or not there
        assert number is not None or not succeeded
        whole.append(number is not None)
    kills = kill_at_every_step(node, (), prepare, rpc.PUBLISH, rpc.publish_request(target), check)
    assert sum(kills.values()) >= 15 and kills["move_mount"] == 1, "the steps of a publish were not seen"
    assert whole.count(False) >= 15
    finish(node, target)


def test_killed_at_every_step_of_a_rotation(stage):
    node, target, generations = stage
    before = [0]

    def prepare(driver):
        driver.publish(rpc.publish_request(target))
        assert shown(target) == generations.number  # the newest, whatever was there
        versions = [name for name in os.listdir(target) if name.startswith("..") and name != "..data"]
        assert len(versions) == 1, "leftovers of an interrupted rotation"
        before[0] = generations.number

    def check(succeeded):
        number = shown(target)
        assert number is not None, "a running pod has lost its volume"
        assert number in (before[0], generations.number)
        assert number == generations.number or not succeeded
    kills = kill_at_every_step(node, ROTATE, prepare, rpc.PUBLISH, rpc.publish_request(target), check)
    assert sum(kills.values()) >= 15 and kills["renameat"] >= 1, "the steps of a rotation were not seen"
    finish(node, target)


def test_killed_at_every_step_of_a_rotation_in_place(stage):
    """A volume of such a class may be torn by the kill: every file has bytes of the old and the new contents only, and the next driver's first call
    heals it, whatever the interval. The files stay the same files."""
    node, target, generations = stage
    node.add_class(text=(node.classes / "default-azure-kvname.yaml").read_text().replace(
        "metadata:", 'metadata:\n  annotations: {secrets-store.csi.k8s.io/update-in-place: "true"}'))
    before, inodes = [0], set()

    def prepare(driver):
        driver.publish(rpc.publish_request(target))
        assert shown(target, in_place=True) == generations.number
        assert sorted(os.listdir(target)) == ["a", "sub"], "leftovers of an interrupted rotation"
        inodes.add((target / "a").stat().st_ino)
        before[0] = generations.number

    def check(succeeded):
        if succeeded:
            assert shown(target, in_place=True) == generations.number
        old, new = generations.text(before[0]), generations.text(generations.number)
        for content in mounts.contents(target, in_place=True).values():
            assert len(content) in (len(old), len(new))
            assert all(byte in (old[at:at + 1] + new[at:at + 1]) for at, byte in enumerate(content))
    kills = kill_at_every_step(node, ROTATE, prepare, rpc.PUBLISH, rpc.publish_request(target), check,
                               (*FILE_CALLS, "pwrite64", "ftruncate", "fallocate"))
    assert kills["pwrite64"] == 2 and kills["fsetxattr"] >= 4, "the steps of a rotation in place were not seen"
    assert len(inodes) == 1
    finish(node, target)


def test_killed_at_every_step_of_an_unpublish(stage):
    node, target, _ = stage

    def prepare(driver):
        driver.unpublish(rpc.unpublish_request(target))
        mounts.assert_no_trace(target)
        driver.publish(rpc.publish_request(target))
        assert shown(target) is not None

    def check(succeeded):
        if succeeded:
            mounts.assert_no_trace(target)
    kills = kill_at_every_step(node, (), prepare, rpc.UNPUBLISH, rpc.unpublish_request(target), check)
    assert sum(kills.values()) >= 5 and kills["umount2"] == 1, "the steps of an unpublish were not seen"
    finish(node, target)


def test_killed_at_every_step_of_an_unpublish_the_volume_can_be_published_again(stage):
    """A kubelet that restarts may publish a half-removed volume again before the pod's deletion."""
    node, target, _ = stage

    def prepare(driver):
        driver.publish(rpc.publish_request(target))
        assert shown(target) is not None

    kill_at_every_step(node, (), prepare, rpc.UNPUBLISH, rpc.unpublish_request(target), lambda succeeded: None)
    finish(node, target)
