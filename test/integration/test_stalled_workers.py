"""The driver while the kernel holds the thread of its loop, and then its only worker: callers that hang up, other calls, and health checks.

strace stalls a thread before one system call, so that the time at which a caller hangs up is not left to chance. Work that comes alone is done by
the loop's thread (driver/base/worker.h): the first call that stalls takes the loop from it, and the next one the worker.
"""

import grpc
import pytest
from proto import csi_pb2

from harness import mounts, rpc
from harness.http_get import get
from harness.process import free_port, wait_until
from harness.programs import metric_sum
from harness.rpc import CODES
from harness.syscall_faults import ONE_WORKER, StalledAt

pytestmark = pytest.mark.release_only  # LeakSanitizer does not work below strace

NO_WORKER = "no worker thread has been free for 2000 ms"


@pytest.fixture
def health_port():
    return free_port()


@pytest.fixture
def mounted(node, start_driver, scripted, health_port):
    """(driver, target) of a volume, with one worker."""
    node.add_class()
    scripted()
    driver = start_driver(f"--health-addr=127.0.0.1:{health_port}", env=ONE_WORKER)
    driver.publish(rpc.publish_request(node.target()))
    return driver, node.target()


def hang_up(driver, call):
    """The caller cancels, and the driver has taken note: the next call on the connection gets a response. The one before has sent `call` on its
    way: grpcio would reset a stream that it has not opened, and end the connection by that."""
    driver.client.call("/csi.v1.Identity/GetPluginInfo", timeout=10)
    call.cancel()
    with pytest.raises(grpc.FutureCancelledError):
        call.result(10)
    driver.client.call("/csi.v1.Identity/GetPluginInfo", timeout=10)


def unpublished(driver, status):
    return metric_sum(driver.metrics(), "node_unpublish_total" if status == CODES.OK else "node_unpublish_error_total")


def test_an_unpublish_whose_caller_hangs_up_ends_by_itself(mounted):
    driver, target = mounted
    with StalledAt(driver, "umount2") as stall:
        call = driver.client.future(rpc.UNPUBLISH, rpc.unpublish_request(target))
        stall.wait_stalled()
        hang_up(driver, call)
        assert mounts.mount_at(target) is not None
    wait_until(lambda: "volume unpublished" in driver.log, what="the end of the unpublish")
    mounts.assert_no_trace(target)
    assert unpublished(driver, CODES.OK) == 1 and unpublished(driver, CODES.CANCELLED) == 0
    driver.unpublish(rpc.unpublish_request(target))  # the kubelet's next call


def test_an_unpublish_that_waits_for_another_one_ends_with_its_caller(mounted):
    driver, target = mounted
    with StalledAt(driver, "umount2") as stall:
        first = driver.client.future(rpc.UNPUBLISH, rpc.unpublish_request(target))
        stall.wait_stalled()
        second = driver.client.future(rpc.UNPUBLISH, rpc.unpublish_request(target))
        hang_up(driver, second)
        wait_until(lambda: unpublished(driver, CODES.CANCELLED) == 1, what="the cancelled unpublish to be counted")
        assert not first.done()
    first.result(20)
    mounts.assert_no_trace(target)
    assert unpublished(driver, CODES.OK) == 1


def test_stats_that_are_cancelled_while_the_worker_runs_harm_nothing(mounted):
    driver, target = mounted
    request = csi_pb2.NodeGetVolumeStatsRequest(volume_id="v", volume_path=str(target))
    with StalledAt(driver, "fstatfs") as stall:
        call = driver.client.future(rpc.STATS, request)
        stall.wait_stalled()
        hang_up(driver, call)
    assert {entry.unit for entry in driver.client.call(rpc.STATS, request).usage} == {csi_pb2.VolumeUsage.BYTES, csi_pb2.VolumeUsage.INODES}
    assert mounts.contents(target) == {"file": b"content"}


def test_other_volumes_are_mounted_while_the_kernel_holds_a_thread(mounted, node):
    driver, target = mounted
    others = [node.target(volume=name) for name in ("first", "second", "third")]
    with StalledAt(driver, "umount2") as stall:
        call = driver.client.future(rpc.UNPUBLISH, rpc.unpublish_request(target))
        stall.wait_stalled()
        for other in others:
            driver.publish(rpc.publish_request(other))
            assert mounts.contents(other) == {"file": b"content"}
        assert not call.done()
    call.result(20)
    mounts.assert_no_trace(target)
    for other in others:
        driver.unpublish(rpc.unpublish_request(other))


def test_without_a_free_worker_the_driver_is_unhealthy_until_one_is_free(mounted, node, health_port):
    driver, target = mounted
    other = node.target(volume="other")
    driver.publish(rpc.publish_request(other))
    assert get(health_port, "/healthz") == (200, "ok\n")
    with StalledAt(driver, "umount2") as stall:
        calls = [driver.client.future(rpc.UNPUBLISH, rpc.unpublish_request(target))]
        stall.wait_stalled()
        assert get(health_port, "/healthz") == (200, "ok\n")
        calls.append(driver.client.future(rpc.UNPUBLISH, rpc.unpublish_request(other)))
        assert get(health_port, "/healthz") == (503, f"not healthy: {NO_WORKER}")
        code, message = rpc.failure(driver.client.call, rpc.PROBE)
        assert code == CODES.FAILED_PRECONDITION and message == f"not healthy: {NO_WORKER}"
        hang_up(driver, driver.client.future(rpc.PROBE, csi_pb2.ProbeRequest()))
    for call in calls:
        call.result(20)
    assert get(health_port, "/healthz") == (200, "ok\n")
    assert driver.client.call(rpc.PROBE).ready.value is True
