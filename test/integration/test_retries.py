"""Who repeats a failed call: the provider its requests, the driver a call to a provider that does not ask it otherwise."""

import time

import pytest

from harness import mounts, rpc, tutorial
from harness.rpc import CODES

PUSHBACK = "grpc-retry-pushback-ms"
TRIES = 3  # of the driver
REFUSED_PAUSE_S = 1  # between them


@pytest.mark.parametrize("service, kind, texts", [
    ("vault", "reset", ["no response from", "send to"]), ("vault", "status", ["returned HTTP 503 after 4 tries"]), ("entra", "close", ["no response from"])])
def test_what_the_azure_provider_has_tried_is_not_tried_again(driver, node, azure, emulator, service, kind, texts):
    """Twelve requests, and half a minute until the pod's Event names the cause, were it otherwise."""
    node.add_class(text=tutorial.class_with(["secret1"]))
    emulator.add_fault(kind, service=service, **({"status": 503} if kind == "status" else {}))
    emulator.reset_counters()
    began = time.monotonic()
    code, text = driver.publish_failure(rpc.publish_request(node.target(), secrets=tutorial.CREDENTIALS), timeout=60)
    print(f"{service} {kind}: {emulator.counters()['by_service'][service]} requests in {time.monotonic() - began:.1f} s: {text}")
    assert code == CODES.UNAVAILABLE and any(alternative in text for alternative in texts), text
    assert emulator.counters()["by_service"][service] == 4
    emulator.clear_faults()
    driver.publish(rpc.publish_request(node.target(), secrets=tutorial.CREDENTIALS))
    assert mounts.contents(node.target()) == {"secret1": tutorial.SECRETS["secret1"].encode()}


class Away:
    """A mount function that fails with UNAVAILABLE and these trailers, and counts."""

    def __init__(self, *pushbacks):
        self.trailers = [(PUSHBACK, value) for value in pushbacks]
        self.calls = 0

    def __call__(self, request, context):
        self.calls += 1
        context.set_trailing_metadata(self.trailers)
        context.abort(CODES.UNAVAILABLE, "the store is away")


@pytest.mark.parametrize("pushbacks, calls", [
    ([], TRIES), (["0"], TRIES), (["50"], TRIES), (["-1"], 1), (["-30000"], 1), (["soon"], 1), (["60000"], 1)],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None)
def test_a_provider_says_whether_and_when_it_is_called_again(driver, node, scripted, pushbacks, calls):
    """A pause that is longer than the time of the call is not waited for."""
    node.add_class()
    away = Away(*pushbacks)
    scripted(away)
    began = time.monotonic()
    code, text = driver.publish_failure(rpc.publish_request(node.target()), timeout=30)
    seconds = time.monotonic() - began
    assert code == CODES.UNAVAILABLE and text.endswith('provider "scripted": the store is away')
    assert away.calls == calls
    if not pushbacks:
        assert seconds >= (TRIES - 1) * REFUSED_PAUSE_S
    elif calls > 1:
        assert (calls - 1) * int(pushbacks[0]) / 1000 <= seconds
    mounts.assert_no_trace(node.target())
