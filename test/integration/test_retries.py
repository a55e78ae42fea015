"""Who repeats a failed call: the provider its requests, the driver a call to a provider that does not ask it otherwise."""

import threading
import time

import pytest

from harness import mounts, rpc, tutorial
from harness.process import PATIENCE, wait_until
from harness.programs import metric_sum
from harness.rpc import CODES
from harness.scripted_provider import mount_response

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


def test_a_caller_that_gives_up_leaves_the_providers_cause_in_log_and_metrics(driver, node, scripted):
    """Not only that it did not wait for the provider, of which everybody would think that it was silent."""
    node.add_class()
    away = Away()
    scripted(away)
    call = driver.client.future(rpc.PUBLISH, rpc.publish_request(node.target()), 30)
    wait_until(lambda: away.calls == 2, what="the second call to the provider")
    call.cancel()
    wait_until(lambda: "volume could not be published" in driver.log, what="the outcome in the log")
    (line,) = [line for line in driver.log.splitlines() if "volume could not be published" in line]
    assert 'the caller did not wait for the provider, which failed before: provider \\"scripted\\": the store is away' in line
    assert metric_sum(driver.metrics(), "node_publish_error_total", error_type="GRPCProviderError") == 1
    assert metric_sum(driver.metrics(), "node_publish_error_total") == 1


def test_a_caller_whose_time_passes_during_another_try_is_told_why_the_first_one_failed(driver, node, scripted):
    node.add_class()
    away, released = Away(), threading.Event()

    def first_away_then_silent(request, context):
        if away.calls == 0:
            away(request, context)
        released.wait(30)
        return mount_response({"file": b"content"})
    scripted(first_away_then_silent)
    code, text = driver.publish_failure(rpc.publish_request(node.target()), timeout=3 * PATIENCE)
    assert code == CODES.DEADLINE_EXCEEDED and "did not respond within" in text
    assert text.endswith('; it failed before: provider "scripted": the store is away')
    released.set()
