"""The driver killed at every single step of a publish, a rotation and an unpublish; each time the next driver repairs the volume.

test_kill.py does the same at random times. Here strace kills before every system call that reads or changes files and mounts, one
after the other, so no step is left out.
"""

import os
from pathlib import Path

import grpc
import pytest

from harness import mounts, rpc
from harness.generations import Generations, shown
from harness.process import wait_until
from harness.programs import Driver
from harness.scripted_provider import mount_response
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


# Of every other generation: one file shrinks, one grows, one becomes a directory and back, the others come and go.
SHAPES = ({"a": 500, "sub/b": 9, "sub/gone": 1, "turn": 3}, {"a": 20, "sub/b": 900, "come": 5, "turn/below": 2})


class Shapes:
    """A provider whose every response is a generation of other files than the last one; and there are times when it cannot respond."""

    def __init__(self):
        self.number, self.away = 0, False

    def __call__(self, request, context):
        if self.away:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the vault is away")
        self.number += 1
        return mount_response(self.files(self.number), versions={"a": str(self.number)})

    @staticmethod
    def files(number):
        return {path: f"generation {number} ".encode() * count for path, count in SHAPES[number % 2].items()}


def is_between(content, old, new):
    """Every byte is one of these contents at this place, and the end is that of one of them; None: there is no such file."""
    whole = [text for text in (old, new) if text is not None]
    return len(content) in map(len, whole) and all(any(byte == text[at] for text in whole if at < len(text)) for at, byte in enumerate(content))


@pytest.mark.parametrize("layouts", [(True, True), (False, True), (True, False)], ids=["in-place", "to-in-place", "from-in-place"])
def test_killed_at_every_step_of_a_rotation_in_place(stage, scripted, layouts):
    """A volume of such a class may be torn by the kill: every file has bytes of the old and the new contents only. It stays so while the provider
    cannot answer, and the next driver's first call that gets an answer heals it, whatever the interval. The files stay the same files."""
    node, target, _ = stage
    provider = Shapes()
    scripted(provider)
    text = (node.classes / "default-azure-kvname.yaml").read_text()
    annotated = text.replace("metadata:", 'metadata:\n  annotations: {secrets-store.csi.k8s.io/update-in-place: "true"}')
    before, inodes, torn = [0], set(), [0]

    def files():  # of either layout, or of both
        paths = [Path(top) / name for top, _, names in os.walk(target, followlinks=True) for name in names]
        return {name: path.read_bytes() for path in paths if not (name := str(path.relative_to(target))).startswith("..") and path.exists()}

    def call_without_a_response():
        provider.away, driver = True, Driver(node, ROTATE, name="without")
        driver.client.future(rpc.PUBLISH, rpc.publish_request(target)).exception(timeout=20)
        driver.destroy()
        provider.away = False

    def prepare(driver):
        node.add_class(text=annotated if layouts[0] else text)
        driver.publish(rpc.publish_request(target))
        assert mounts.contents(target, in_place=layouts[0]) == provider.files(provider.number)
        assert len([name for name in os.listdir(target) if name.startswith("..")]) == (0 if layouts[0] else 2), "leftovers of an interrupted rotation"
        inodes.add((target / "a").stat().st_ino)
        before[0] = provider.number
        node.add_class(text=annotated if layouts[1] else text)

    def check(succeeded):
        old, new = provider.files(before[0]), provider.files(provider.number)
        if succeeded:
            assert mounts.contents(target, in_place=layouts[1]) == new
        found = files()
        torn[0] += found not in (old, new)
        if torn[0] in (1, 5):  # each waits for the provider for some seconds
            call_without_a_response()
            assert files() == found, "a call without an answer has changed the volume"
        assert set(old) & set(new) <= set(found), "a file that both have is missing"
        assert all(is_between(content, old.get(path), new.get(path)) for path, content in found.items())
    kills = kill_at_every_step(node, ROTATE, prepare, rpc.PUBLISH, rpc.publish_request(target), check,
                               (*FILE_CALLS, "renameat2", "pwrite64", "ftruncate", "fallocate"))
    assert sum(kills.values()) >= 25 and torn[0] >= 5, "the steps of a rotation were not seen"
    if all(layouts):
        assert kills["pwrite64"] == 2 and kills["fsetxattr"] >= 4 and kills["ftruncate"] == 1 and kills["fallocate"] == 1
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
