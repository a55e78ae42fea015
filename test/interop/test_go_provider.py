"""Our driver in front of the Go provider for Azure."""

import pytest
from parity_cases import text_of

from harness import mounts, tutorial
from harness.azure_mounts import item
from harness.process import wait_until
from harness.rpc import CODES, publish_request, unpublish_request

ROTATE = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s")


@pytest.fixture
def go_provider(start_go_azure):
    return start_go_azure()


def publish(driver, node, items, **keywords):
    node.add_class(text=tutorial.class_with((), objects=text_of(items)))
    target = node.target()
    return target, publish_request(target, secrets=tutorial.CREDENTIALS, **keywords)


def test_the_tutorial(driver, node, go_provider):
    node.add_class(text=tutorial.CLASS)
    target = node.target()
    driver.publish(publish_request(target, secrets=tutorial.CREDENTIALS))
    assert mounts.contents(target) == {name: value.encode() for name, value in tutorial.SECRETS.items()}
    driver.unpublish(unpublish_request(target))
    mounts.assert_no_trace(target)


def test_names_modes_and_histories(driver, node, emulator, go_provider):
    for number in range(3):
        emulator.set_secret("history", f"v{number}", created=1_700_000_000 + number)
    target, request = publish(driver, node, [item("secret1", objectAlias="a/b", filePermission="0400"),
                                             item("history", objectVersionHistory=5)])
    driver.publish(request)
    assert mounts.read_volume(target) == {"a/b": (0o400, tutorial.SECRETS["secret1"].encode()), "history/0": (0o644, b"v2"),
                                          "history/1": (0o644, b"v1"), "history/2": (0o644, b"v0")}


def test_a_rotation_brings_the_new_value(start_driver, node, emulator, go_provider):
    driver = start_driver(*ROTATE)
    target, request = publish(driver, node, [item("secret1")])
    driver.publish(request)
    emulator.set_secret("secret1", "changed")

    def arrived():
        driver.publish(request)
        return mounts.contents(target) == {"secret1": b"changed"}
    wait_until(arrived, 20, "the new value", pause=0.1)


def test_its_errors_are_reported_and_leave_no_trace(driver, node, go_provider):
    target, request = publish(driver, node, [item("nosuch")])
    code, message = driver.publish_failure(request)
    assert code != CODES.OK
    assert "failed to mount objects, error: failed to get objectType:secret, objectName:nosuch" in message and "SecretNotFound" in message
    driver.unpublish(unpublish_request(target))
    mounts.assert_no_trace(target)


def test_it_is_restarted_between_mounts(driver, node, start_go_azure):
    first = start_go_azure()
    target, request = publish(driver, node, [item("secret1")])
    driver.publish(request)
    driver.unpublish(unpublish_request(target))
    first.kill()
    start_go_azure(name="go-azure-2")
    driver.publish(request)
    assert mounts.contents(target) == {"secret1": tutorial.SECRETS["secret1"].encode()}
