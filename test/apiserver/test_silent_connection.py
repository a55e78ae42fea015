"""A load balancer in front of the API server drops the kept connection without a word: no FIN, no RST; new connections work."""

import re
import time
from pathlib import Path

import pytest
from cluster.objects import spc

from harness.fault_proxy import FaultProxy
from harness.process import PATIENCE
from harness.programs import metric_sum

EXTRA_S = 3


@pytest.fixture
def front(server, account):
    proxy = FaultProxy(server.port)
    kubeconfig = Path(account.kubeconfig)
    text, n = re.subn(rf"(server\W+https://[^:/\s]+):{server.port}\b", rf"\g<1>:{proxy.port}", kubeconfig.read_text())
    assert n == 1
    kubeconfig.write_text(text)
    yield proxy
    proxy.close()


def test_a_mount_meets_a_silent_connection(front, start_cluster_driver, admin, namespace, make_pod, scripted):
    """HTTP/2: one connection carries all requests, and the API server is alive on every other one."""
    scripted()
    admin.create(spc(), namespace)
    driver = start_cluster_driver()
    driver.publish(make_pod("warm").publish_request())
    assert front.silence() == 1
    for number, most in enumerate((EXTRA_S, 0.9, 0.9)):
        request = make_pod(f"web-{number}").publish_request()
        started = time.monotonic()
        driver.publish(request, timeout=60)
        assert time.monotonic() - started < most * PATIENCE
    assert metric_sum(driver.metrics(), "http_connections_silent_total") == 1
    assert metric_sum(driver.metrics(), "kube_api_requests_total", resource="readyz") == 0, "the API server was taken for unreachable"
    assert front.connections == 2
