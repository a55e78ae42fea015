"""kill -9 at any time: the next publish and unpublish repair every state it leaves."""

import os
import random
import time

import pytest

from harness import mounts, rpc, tutorial
from harness.programs import Driver
from harness.scripted_provider import mount_response

CONTENT = {"a": b"1" * 5000, "sub/b": b"2"}
EXPECTED = {"a": (0o644, b"1" * 5000), "sub/b": (0o644, b"2")}


@pytest.fixture
def seeded():
    seed = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"TEST_SEED={seed}")
    return random.Random(seed)


@pytest.mark.parametrize("flags", [(), ("--enable-secret-rotation=true", "--rotation-poll-interval=1s")], ids=["once", "rotating"])
@pytest.mark.slow
def test_killed_at_random_moments_of_a_publish(node, scripted, seeded, flags):
    node.add_class()
    target = node.target()
    generation = [0]

    def mount(request, context):
        generation[0] += 1
        return mount_response({"a": CONTENT["a"], "sub/b": str(generation[0]).encode()}, versions={"a": str(generation[0])})
    scripted(mount)
    for round_number in range(25):
        driver = Driver(node, flags, name=f"driver{round_number}")
        call = driver.client.future(rpc.PUBLISH, rpc.publish_request(target))
        # between "before the request arrives" and "after the response"
        time.sleep(seeded.random() * 0.012)
        driver.kill()
        call.exception(timeout=10)
        driver.client.close()
        # never anything half: nothing there, or a whole generation
        if mounts.mounts_below(target):
            seen = mounts.contents(target)
            assert seen == {} or set(seen) == {"a", "sub/b"}
            assert seen == {} or "ro" in mounts.mount_at(target).options  # empty: the provider might have written itself
    driver = Driver(node, flags, name="last")
    try:
        driver.publish(rpc.publish_request(target))
        assert set(mounts.contents(target)) == {"a", "sub/b"}
        assert mounts.contents(target)["a"] == CONTENT["a"]
        assert len([name for name in os.listdir(target) if name.startswith("..20")]) == 1
        assert mounts.mount_at(target) is not None
        driver.unpublish(rpc.unpublish_request(target))
        mounts.assert_no_trace(target)
        assert mounts.mounts_below(node.kubelet) == []
        assert sorted(os.listdir(node.kubelet)) == ["csi.sock", "plugins_registry", "pods"]
    finally:
        driver.destroy()


def test_killed_between_publish_and_unpublish(node, scripted):
    node.add_class()
    target = node.target()
    scripted(lambda request, context: mount_response(CONTENT))
    first = Driver(node, name="first")
    first.publish(rpc.publish_request(target))
    first.kill()
    first.client.close()
    assert mounts.read_volume(target) == EXPECTED
    second = Driver(node, name="second")
    try:
        second.unpublish(rpc.unpublish_request(target))
        mounts.assert_no_trace(target)
    finally:
        second.destroy()


@pytest.mark.slow
def test_killed_at_random_moments_of_an_unpublish(node, scripted, seeded):
    node.add_class()
    target = node.target()
    scripted(lambda request, context: mount_response(CONTENT))
    for round_number in range(15):
        driver = Driver(node, name=f"driver{round_number}")
        driver.publish(rpc.publish_request(target))
        assert mounts.read_volume(target) == EXPECTED
        call = driver.client.future(rpc.UNPUBLISH, rpc.unpublish_request(target))
        time.sleep(seeded.random() * 0.006)
        driver.kill()
        call.exception(timeout=10)
        driver.client.close()
    driver = Driver(node, name="last")
    try:
        driver.unpublish(rpc.unpublish_request(target))
        mounts.assert_no_trace(target)
    finally:
        driver.destroy()


def test_the_azure_provider_killed_and_restarted_serves_again(node, driver, start_azure, emulator):
    node.add_class(text=tutorial.CLASS)
    first = start_azure()
    target = node.target()
    request = rpc.publish_request(target, secrets=tutorial.CREDENTIALS)
    driver.publish(request)
    driver.unpublish(rpc.unpublish_request(target))
    first.kill()
    start_azure(name="azure2")
    driver.publish(request)
    assert set(mounts.contents(target)) == {"secret1", "secret2"}
