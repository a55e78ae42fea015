"""Start, mount, fail, stop under valgrind: no leak, no use of uninitialised or freed memory."""

import pytest

from harness import mounts, rpc, tutorial
from harness.azure_mounts import mount, mount_failure
from harness.process import ROOT

VALGRIND = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite,indirect",
            "--errors-for-leak-kinds=definite,indirect", "--num-callers=30", f"--suppressions={ROOT}/test/valgrind.supp"]

pytestmark = [pytest.mark.slow, pytest.mark.release_only]


def test_the_driver_is_clean(node, start_driver, scripted):
    driver = start_driver("--enable-secret-rotation=true", "--rotation-poll-interval=1s", wrapper=VALGRIND)
    node.add_class()
    scripted()
    target = node.target()
    for _ in range(3):
        driver.publish(rpc.publish_request(target, secrets={"a": "b"}), timeout=60)
    assert mounts.contents(target) == {"file": b"content"}
    driver.publish_failure(rpc.publish_request(node.target(volume="other"), volume="other", class_name="nowhere"))
    driver.unpublish(rpc.unpublish_request(target))
    driver.metrics()
    driver.destroy()


def test_the_provider_is_clean(node, start_azure, emulator):
    azure = start_azure(wrapper=VALGRIND)
    with rpc.Client(azure.socket) as client:
        for _ in range(3):
            assert mount(client, "secret1", "secret2", timeout=60).files
        mount_failure(client, "nope", timeout=60)
        mount_failure(client, timeout=60, credentials={**tutorial.CREDENTIALS, "clientsecret": "wrong"})
        emulator.add_fault("blackhole", service="vault")
        mount_failure(client, timeout=2)
        emulator.clear_faults()
    azure.metrics()
    azure.destroy()
