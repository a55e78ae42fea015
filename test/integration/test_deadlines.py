"""Publishes that end at their deadline: each caller is told what the driver waited for, and in time, however many there are."""

import contextlib
import re

import pytest

from harness import mounts, rpc, tutorial
from harness.azure_mounts import mount_request, texts
from harness.process import PATIENCE, wait_until
from harness.scripted_provider import HeldMount

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
