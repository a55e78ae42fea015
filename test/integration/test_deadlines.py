"""Publishes that end at their deadline: each caller learns what the driver waited for, and in time, however many there are."""

import contextlib
import re
import time

import pytest

from harness import mounts, rpc, tutorial
from harness.azure_mounts import mount_request, texts
from harness.process import PATIENCE, wait_until
from harness.scripted_provider import HeldMount
from harness.syscall_faults import ONE_WORKER, StalledAt

CALLS = 300  # of one node: more than the streams and connections that servers usually allow
DEADLINE_S = 5 * PATIENCE


def uid_of(number):
    return f"00000000-0000-0000-0000-{number:012d}"


@pytest.mark.parametrize("connections", ["one connection", "a connection for each, as a kubelet"])
def test_every_caller_of_a_provider_that_hangs_is_told_in_time(driver, node, scripted, connections):
    node.add_class()
    node.add_class("good", provider="good")
    scripted(name="good")
    held = HeldMount()
    scripted(held)
    with contextlib.ExitStack() as stack:
        stack.callback(held.release)
        clients = [stack.enter_context(rpc.Client(node.csi_socket)) for _ in range(1 if connections == "one connection" else CALLS)]
        calls = [clients[number % len(clients)].future(
            rpc.PUBLISH, rpc.publish_request(node.target(pod_uid=uid_of(number)), pod_uid=uid_of(number)), DEADLINE_S) for number in range(CALLS)]
        held.wait_arrived()
        with rpc.Client(node.csi_socket) as other:  # the kubelet's next pod, of another provider
            other.call(rpc.PUBLISH, rpc.publish_request(node.target(), class_name="good"), timeout=DEADLINE_S / 2)
        failures = [call.exception(timeout=30 * PATIENCE) for call in calls]
    assert {failure.code() for failure in failures} == {rpc.CODES.DEADLINE_EXCEEDED}
    waited = [re.search(r'provider "scripted" did not respond within ([0-9.]+) s', failure.details()) for failure in failures]
    strangers = [failure.details() for failure, text in zip(failures, waited) if text is None]
    assert not strangers, f"{len(strangers)} texts of the callers' own: {strangers[0]}"
    assert min(float(text[1]) for text in waited) > 0.7 * DEADLINE_S, "a call has waited before the driver saw it"
    assert mounts.contents(node.target()) == {"file": b"content"}
    wait_until(lambda: len(mounts.mounts_below(node.kubelet)) == 1, what="the mounts of the others to be gone")


def test_mounts_whose_vault_hangs_do_not_hold_up_those_of_another(azure, emulator):
    """Over one connection, as the driver has it."""
    emulator.add_vault("calm")
    emulator.set_secret("secret1", "calm", vault="calm")
    with rpc.Client(azure.socket) as client:
        client.call(rpc.MOUNT, mount_request())  # the token is there
        emulator.add_fault("blackhole", service="vault", host_contains=tutorial.VAULT)
        calls = [client.future(rpc.MOUNT, mount_request(pod=f"pod-{number}"), 20 * PATIENCE) for number in range(CALLS)]
        assert texts(client.call(rpc.MOUNT, mount_request(keyvaultName="calm"), 10 * PATIENCE)) == {"secret1": "calm"}
        assert not any(call.done() for call in calls)
        for call in calls:
            call.cancel()


def test_a_call_that_waits_for_another_one_is_told_so(driver, node, scripted):
    node.add_class()
    held = HeldMount()
    scripted(held)
    request = rpc.publish_request(node.target())
    first = driver.client.future(rpc.PUBLISH, request)
    held.wait_arrived()
    seconds = 4 * PATIENCE
    began = time.monotonic()
    code, text = driver.publish_failure(request, timeout=seconds)
    assert code == rpc.CODES.DEADLINE_EXCEEDED and text.endswith("the driver still waits for another call for the same volume")
    assert time.monotonic() - began < seconds
    held.release()
    first.result(30)


@pytest.mark.release_only  # LeakSanitizer does not work below strace
def test_callers_are_told_that_the_worker_is_stuck(start_driver, node, scripted):
    node.add_class()
    scripted()
    driver = start_driver(env=ONE_WORKER)
    with StalledAt(driver, "fsopen") as stall:
        calls = [driver.client.future(rpc.PUBLISH, rpc.publish_request(node.target(pod_uid=uid_of(number)), pod_uid=uid_of(number)), 4)
                 for number in range(100)]
        stall.wait_stalled()
        texts_seen = {call.exception(30).details() for call in calls}
    assert texts_seen <= {f"the time of the call is over, and the driver still waits for {what}"
                          for what in ("the volume to be prepared", "the SecretProviderClass", "the inspection of the target path")}
    wait_until(lambda: mounts.mounts_below(node.kubelet) == [], what="what was prepared to be removed")


@pytest.mark.release_only
def test_a_failed_mount_whose_rollback_is_stuck_is_told_its_own_cause(start_driver, node, scripted):
    node.add_class()
    held = HeldMount()
    scripted(held)
    driver = start_driver(env=ONE_WORKER)
    with StalledAt(driver, "umount2") as stall:
        call = driver.client.future(rpc.PUBLISH, rpc.publish_request(node.target()), 4)
        stall.wait_stalled()
        failure = call.exception(30)
        assert failure.code() == rpc.CODES.DEADLINE_EXCEEDED and 'provider "scripted" did not respond within' in failure.details()
    held.release()
    wait_until(lambda: mounts.mounts_below(node.kubelet) == [], what="the rollback to end")
