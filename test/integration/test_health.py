"""The driver's health and log: /healthz, /readyz, Probe, /metrics, and the form of log lines."""

import json
import re

import grpc
import pytest
from proto import pluginregistration_pb2

from harness import mounts, rpc
from harness.http_get import get
from harness.kube import pod, spc
from harness.process import free_port, wait_until
from harness.programs import metric_sum


@pytest.fixture
def clustered(node, start_driver, emulator):
    """A driver that gets its classes from the emulated API server; (driver, port of the health pages)."""
    port = free_port()
    emulator.put_object("pods", pod())
    emulator.put_object("secretproviderclasses", spc())
    driver = start_driver(f"--kubeconfig={emulator.kubeconfig}", f"--health-addr=127.0.0.1:{port}", standalone=False)
    return driver, port


def test_a_healthy_driver_says_ok(clustered):
    driver, port = clustered
    assert get(port, "/healthz") == (200, "ok\n")
    assert get(port, "/readyz") == (200, "ok\n")
    assert driver.client.call(rpc.PROBE).ready.value is True


def test_without_the_api_server_the_driver_is_degraded_and_serves_mounted_volumes(clustered, node, emulator, scripted):
    driver, port = clustered
    scripted()
    target = node.target()
    driver.publish(rpc.publish_request(target))
    assert metric_sum(driver.metrics(), "kube_api_up") == 1

    emulator.add_fault("close", service="kube")
    code, _ = driver.publish_failure(rpc.publish_request(node.target(volume="other"), volume="other"), timeout=3)
    assert code == grpc.StatusCode.UNAVAILABLE
    wait_until(lambda: metric_sum(driver.metrics(), "kube_api_up") == 0, what="the gauge to fall")
    status, text = get(port, "/healthz")
    assert status == 200  # a restart would not help
    assert text == "ok\ndegraded: the Kubernetes API does not respond\n"
    assert driver.client.call(rpc.PROBE).ready.value is True
    driver.publish(rpc.publish_request(target))  # a restarted container: the volume is complete
    assert mounts.contents(target) == {"file": b"content"}
    driver.unpublish(rpc.unpublish_request(target))
    mounts.assert_no_trace(target)
    degraded = [line for line in driver.log.splitlines() if "does not respond" in line and "API" in line and "] \"" in line
                and not line.startswith("E")]
    assert len(degraded) <= 1, "the trouble is logged when it begins, not at each request"

    emulator.clear_faults()
    driver.publish(rpc.publish_request(target))
    assert get(port, "/healthz") == (200, "ok\n")
    assert metric_sum(driver.metrics(), "kube_api_up") == 1
    assert metric_sum(driver.metrics(), "kube_api_requests_total", method="GET", resource="secretproviderclasses", code="200") >= 2
    assert metric_sum(driver.metrics(), "kube_api_requests_total", code="none") >= 1  # of whatever came first


def test_the_driver_is_ready_when_the_kubelet_has_registered_it(node, start_driver):
    port = free_port()
    driver = start_driver(f"--registration-dir={node.registry}", f"--health-addr=127.0.0.1:{port}")
    assert get(port, "/readyz") == (503, "the kubelet has not registered the driver yet\n")
    assert metric_sum(driver.metrics(), "kubelet_registered") == 0
    assert get(port, "/healthz") == (200, "ok\n")
    socket = node.registry / "secrets-store.csi.k8s.io-reg.sock"
    wait_until(socket.exists, what="the registration socket")
    with rpc.Client(socket) as client:
        client.call(rpc.NOTIFY, pluginregistration_pb2.RegistrationStatus(plugin_registered=True))
        assert get(port, "/readyz") == (200, "ok\n")
        assert metric_sum(driver.metrics(), "kubelet_registered") == 1
        client.call(rpc.NOTIFY, pluginregistration_pb2.RegistrationStatus(plugin_registered=False, error="no"))
    assert get(port, "/readyz")[0] == 503


def test_a_provider_that_stops_responding_to_health_checks_is_seen(node, start_driver, scripted):
    node.add_class()
    driver = start_driver("--provider-health-check=true", "--provider-health-check-interval=1s", "-v=0")
    provider = scripted()
    driver.publish(rpc.publish_request(node.target()))
    wait_until(lambda: "provider_up" in driver.metrics() and metric_sum(driver.metrics(), "provider_up", provider="scripted") == 1,
               what="the first check")
    provider.stop()
    wait_until(lambda: metric_sum(driver.metrics(), "provider_up", provider="scripted") == 0, what="the failed check", timeout=20)
    scripted()
    wait_until(lambda: metric_sum(driver.metrics(), "provider_up", provider="scripted") == 1, what="the recovery", timeout=20)
    assert driver.log.count("provider health check failed") == 1
    assert driver.log.count("provider is healthy again") == 1


def test_the_state_of_the_volumes_is_counted(node, start_driver, scripted):
    node.add_class()
    driver = start_driver("--enable-secret-rotation=true", "--rotation-poll-interval=0")
    scripted()
    for name in ("one", "two"):
        driver.publish(rpc.publish_request(node.target(volume=name), volume=name))
    text = driver.metrics()
    assert metric_sum(text, "volumes_published") == 2
    assert metric_sum(text, "volume_files_written_bytes_total", provider="scripted") == 2 * len(b"content")
    driver.publish(rpc.publish_request(node.target(volume="one"), volume="one"))
    text = driver.metrics()
    assert metric_sum(text, "volume_files_written_bytes_total", provider="scripted") == 2 * len(b"content")
    assert metric_sum(text, "rotation_last_success_timestamp_seconds", provider="scripted") > 1e9
    assert metric_sum(text, "provider_mount_duration_sec_count", provider="scripted", grpc_status="OK") == 3
    assert metric_sum(text, "rotation_reconcile_duration_sec_count") == metric_sum(text, "rotation_reconcile_total") == 1
    driver.unpublish(rpc.unpublish_request(node.target(volume="one"), volume="one"))
    assert metric_sum(driver.metrics(), "volumes_published") == 1


def test_histograms_have_the_bounds_that_dashboards_use(node, start_driver, scripted):
    """Eleven from 0.1 to 2 in geometric progression, as the driver that we replace has them; others may be between them."""
    node.add_class()
    driver = start_driver("--enable-secret-rotation=true", "--rotation-poll-interval=0")
    scripted()
    for _ in range(2):
        driver.publish(rpc.publish_request(node.target()))
    bounds = [float(bound) for bound in re.findall(r'^rotation_reconcile_duration_sec_bucket{os_type="linux",le="([^"]+)"} ', driver.metrics(),
                                                   re.MULTILINE)]
    assert bounds == sorted(bounds) and bounds[-1] == float("inf")
    for power in range(11):
        assert any(bound == pytest.approx(0.1 * 20 ** (power / 10), rel=1e-6) for bound in bounds), (power, bounds)


def test_error_lines_start_with_an_e_and_others_do_not(node, driver):
    driver.publish_failure(rpc.publish_request(node.target(), class_name="nowhere"))
    lines = driver.log.splitlines()
    assert all(re.match(r"^[IWE]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ [\w.]+:\d+\] \"", line) for line in lines), driver.log
    assert any(line.startswith("E") and 'could not be published' in line and 'pod="default/web"' in line for line in lines)
    assert any(line.startswith("I") for line in lines)


def test_json_lines_have_the_keys_that_readers_expect(node, start_driver):
    driver = start_driver("--log-format-json=true")
    driver.publish_failure(rpc.publish_request(node.target(), class_name="nowhere"))
    lines = [json.loads(line) for line in driver.log.splitlines()]
    for line in lines:
        assert {"timestamp", "level", "caller", "message"} <= set(line)
        assert re.match(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$", line["timestamp"])
    failed = [line for line in lines if line["level"] == "error"]
    assert len(failed) == 1, "one failure is one error line"
    assert "not found" in failed[0]["err"]
    published = [line for line in lines if line["message"] == "publish"]
    assert [line["pod"] for line in published] == ["default/web"]
    assert failed[0]["pod"] == "default/web" and failed[0]["spc"] == "nowhere"
