"""Who repeats a failed call: the driver, unless the provider asks it not to."""

import time

import pytest

from harness import mounts, rpc
from harness.rpc import CODES

PUSHBACK = "grpc-retry-pushback-ms"
TRIES = 3  # of the driver
REFUSED_PAUSE_S = 1  # between them


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
