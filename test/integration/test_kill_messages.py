"""The driver killed before everything that it sends to anybody (API server, provider, kubelet, log), while it mounts and rotates with an API server.

test_kill_steps.py does the same for files and mounts. What has to hold: a volume is whole or not there, and after the next driver's
publish the status object says what is mounted.
"""

import pytest

from harness import mounts, rpc
from harness.process import wait_until
from harness.programs import Driver
from harness.steps import ONE_WORKER, KilledAt
from test_kill_steps import PUBLISH, STEPS_MAX, Generations, shown
from test_kube_classes import spc

pytestmark = [pytest.mark.slow, pytest.mark.release_only]

SENDS = ("sendto", "sendmsg", "writev", "write", "connect")


@pytest.fixture
def stage(node, emulator, scripted):
    emulator.put_object("pods", "default", "web", {"apiVersion": "v1", "kind": "Pod", "metadata": {
        "name": "web", "namespace": "default", "uid": rpc.POD_UID}, "spec": {"nodeName": "node-1"}})
    emulator.put_object("secretproviderclasses", "default", "azure-kvname", spc())
    generations = Generations()
    scripted(generations)
    return node, emulator, generations


def statuses(emulator):
    return emulator.control("GET", "/kube/secretproviderclasspodstatuses")


def assert_status(emulator, target, generation):
    """One object, and it says what is mounted."""
    def right():
        found = statuses(emulator)
        return len(found) == 1 and found[0]["status"]["objects"] == [{"id": "a", "version": str(generation)}]
    wait_until(right, what=f"the status object of generation {generation}, not {statuses(emulator)}")
    status = statuses(emulator)[0]["status"]
    assert status["targetPath"] == str(target) and status["podName"] == "web"


@pytest.mark.parametrize("flags", [(), ("--enable-secret-rotation=true", "--rotation-poll-interval=0")], ids=["publish", "rotation"])
def test_killed_before_everything_it_sends(stage, flags):
    node, emulator, generations = stage
    target, request = node.target(), rpc.publish_request(node.target())
    flags = (f"--kubeconfig={emulator.kubeconfig}", "-v=0", *flags)
    kills = {}
    for call in SENDS:
        kills[call] = 0
        while True:
            driver = Driver(node, flags, standalone=False, name=f"{call}{kills[call]}", env=ONE_WORKER)
            driver.publish(request)  # puts right what the last kill has left
            assert_status(emulator, target, shown(target))
            if len(flags) == 2:  # the way from nothing
                driver.unpublish(rpc.unpublish_request(target))
                mounts.assert_no_trace(target)
            with KilledAt(driver, call, kills[call] + 1) as kill:
                error = driver.client.future(PUBLISH, request).exception(timeout=30)
                if error is not None:
                    wait_until(lambda: not driver.alive, what="the end of the driver")
            if error is None and not kill.killed:
                assert shown(target) is not None
                driver.destroy()
                break
            seen = shown(target)
            assert seen is not None or len(flags) == 2, "a running pod has lost its volume"
            driver.client.close()
            kills[call] += 1
            assert kills[call] <= STEPS_MAX
    print(kills)
    assert sum(kills.values()) >= 4 and kills["sendto"] >= 1  # at the least: the provider, the API server, the answer
    driver = Driver(node, flags, standalone=False, name="last")
    driver.unpublish(rpc.unpublish_request(target))
    driver.destroy()
    mounts.assert_no_trace(target)
