"""The driver killed before everything that it sends (to API server, provider, kubelet, log), while it mounts and rotates with an API server.

test_kill_steps.py does the same for files and mounts. A volume has to be whole or not there, and after the next driver's
publish the status object says what is mounted, and the Secret of the class holds it.
"""

import base64

import pytest

from harness import mounts, rpc
from harness.generations import Generations, shown
from harness.kube import pod, spc
from harness.process import wait_until
from harness.programs import Driver
from harness.secret_sync import secret_object
from harness.syscall_faults import KILLS_MAX, ONE_WORKER, KilledAt

pytestmark = [pytest.mark.slow, pytest.mark.release_only]

SENDS = ("sendto", "sendmsg", "writev", "write", "connect")


@pytest.fixture
def stage(node, emulator, scripted):
    emulator.put_object("pods", pod())
    emulator.put_object("secretproviderclasses", spc(secret_objects=[secret_object(data=[("a", "key")])]))
    generations = Generations()
    scripted(generations)
    return node, emulator, generations


def statuses(emulator):
    return emulator.control("GET", "/kube/secretproviderclasspodstatuses")


def collect_garbage(emulator):
    """The garbage collection after the pod's end: its status object and the Secret go."""
    for plural in ("secretproviderclasspodstatuses", "secrets"):
        for item in emulator.control("GET", f"/kube/{plural}"):
            emulator.control("DELETE", f"/kube/{plural}/default/{item['metadata']['name']}")


def recorded(emulator, target):
    """Are the one status object and the one Secret those of the mounted contents?"""
    generation, found = shown(target), statuses(emulator)
    if len(found) != 1 or found[0]["status"]["objects"] != [{"id": "a", "version": str(generation)}]:
        return False
    assert found[0]["status"]["targetPath"] == str(target) and found[0]["status"]["podName"] == "web"
    secrets = [item for item in emulator.control("GET", "/kube/secrets") if item["metadata"]["name"] == "synced"]
    return len(secrets) == 1 and secrets[0]["data"] == {"key": base64.b64encode(Generations.text(generation)).decode()}


@pytest.mark.parametrize("rotation", [False, True], ids=["publish", "rotation"])
def test_killed_before_everything_it_sends(stage, rotation):
    node, emulator, _ = stage
    target, request = node.target(), rpc.publish_request(node.target())
    flags = [f"--kubeconfig={emulator.kubeconfig}", "-v=0", "--secret-sync-check-interval=1s", "--rotation-poll-interval=0",
             f"--enable-secret-rotation={str(rotation).lower()}"]
    kills = {}
    for call in SENDS:
        kills[call] = 0
        while True:
            driver = Driver(node, flags, standalone=False, name=f"{call}{kills[call]}", env=ONE_WORKER)
            driver.publish(request)  # repairs the state after the last kill
            wait_until(lambda: recorded(emulator, target), what="status object and Secret")
            if not rotation:  # the way from nothing
                driver.unpublish(rpc.unpublish_request(target))
                mounts.assert_no_trace(target)
                collect_garbage(emulator)
            with KilledAt(driver, call, kills[call] + 1) as kill:
                error = driver.client.future(rpc.PUBLISH, request).exception(timeout=30)
                # a rotation check responds before it is recorded
                wait_until(lambda: not driver.alive or (error is None and recorded(emulator, target)), what="the records, or the end")
            if driver.responds():
                driver.destroy()
                break
            wait_until(lambda: kill.killed, what="the end of what was killed")
            seen = shown(target)
            assert seen is not None or not rotation, "a running pod has lost its volume"
            driver.client.close()
            kills[call] += 1
            assert kills[call] <= KILLS_MAX
    print(kills)
    assert sum(kills.values()) >= 6 and kills["sendto"] >= 2  # at the least: the status object and the Secret
    driver = Driver(node, flags, standalone=False, name="last")
    driver.unpublish(rpc.unpublish_request(target))
    driver.destroy()
    mounts.assert_no_trace(target)
