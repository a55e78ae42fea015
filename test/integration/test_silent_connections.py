"""Kept connections that fall silent, without FIN or RST, as load balancers and NAT drop them, while new ones work: to the vault and Entra ID,
to IMDS, to the API server. A mount that meets them takes a second or two longer, and the next one nothing."""

import time

import pytest

from harness import kube, rpc, tutorial
from harness.azure_mounts import Pods, mount_request, texts
from harness.process import PATIENCE
from harness.programs import metric_sum
from harness.scripted_provider import mount_response

EXTRA_S = 4  # the most that a mount may take longer
SOON_S = 0.8  # below the time after which a response counts as late; of several mounts the fastest, because a busy machine delays some
SECRETS = [f"s{i}" for i in range(10)]


@pytest.fixture(params=["h2", "http/1.1"])
def protocol(request, emulator):
    emulator.set_http(protocols=[request.param])
    return request.param


def timed(call, *arguments, **keywords):
    started = time.monotonic()
    result = call(*arguments, **keywords)
    return result, time.monotonic() - started


def silent(program):
    return metric_sum(program.metrics(), "http_connections_silent_total")


def restarted(program):
    return metric_sum(program.metrics(), "http_requests_restarted_total")


def test_the_vault(azure, emulator, protocol):
    for name in SECRETS:
        emulator.set_secret(name, f"value of {name}")
    with Pods(azure.socket) as pods:
        pods.mount_all([mount_request(SECRETS, pod=f"warm-{i}") for i in range(8)])
        assert emulator.silence("tls") >= 1
        before = emulator.counters()["connections"]
        response, seconds = timed(pods.mount, mount_request(SECRETS, pod="meets-it"))
        assert texts(response) == {name: f"value of {name}" for name in SECRETS}
        assert seconds < EXTRA_S * PATIENCE, seconds
        started_again = restarted(azure)
        assert silent(azure) >= 1 and (started_again == len(SECRETS) if protocol == "h2" else started_again >= 1)
        assert metric_sum(azure.metrics(), "azure_http_retries_total", service="vault") == 0  # not after the full time of a try
        made = emulator.counters()["connections"] - before
        assert made == 1 if protocol == "h2" else 1 <= made <= len(SECRETS)
        assert min(timed(pods.mount, mount_request(SECRETS, pod=f"after-{i}"))[1] for i in range(3)) < SOON_S * PATIENCE
        assert restarted(azure) == started_again
        assert "a kept connection fell silent" in azure.log


def test_a_burst_meets_them(protocol, azure, emulator):
    for i in range(200):
        emulator.set_secret(f"d{i}", f"value {i}")
    requests = [mount_request([f"d{10 * p + i}" for i in range(10)], pod=f"pod-{p}") for p in range(20)]
    with Pods(azure.socket, in_flight=20) as pods:
        pods.mount_all(requests)
        emulator.silence("tls")
        responses, seconds = timed(pods.mount_all, requests)
        assert [len(response.files) for response in responses] == [10] * 20
        assert seconds < EXTRA_S * PATIENCE, seconds
        before = restarted(azure)
        pods.mount_all(requests)
        assert restarted(azure) == before


def test_entra_id(protocol, azure, emulator):
    """The POST of a token may be repeated: a second token does no harm."""
    emulator.add_app(tutorial.TENANT, "another-app", "another-secret")
    emulator.set_policy(client_id="another-app", permissions=("get",))
    with Pods(azure.socket) as pods:
        pods.mount(mount_request())
        emulator.silence("tls")
        credentials = {"clientid": "another-app", "clientsecret": "another-secret"}
        response, seconds = timed(pods.mount, mount_request(credentials=credentials, pod="other"))
        assert texts(response)
        assert seconds < 2 * EXTRA_S * PATIENCE, seconds  # Entra ID's connection, and then the vault's
        assert metric_sum(azure.metrics(), "azure_http_retries_total", service="entra") == 0
        assert restarted(azure) == 2


def test_imds(start_azure, emulator):
    """HTTP/1.1 without TLS."""
    emulator.set_imds(None, ["app-a", "app-b"])
    for app in ("app-a", "app-b"):
        emulator.add_app(tutorial.TENANT, app, "unused")
        emulator.set_policy(client_id=app, permissions=("get",))
    azure = start_azure(f"--imds-endpoint=http://127.0.0.1:{emulator.node_port}")

    def mount(pods, app):
        return pods.mount(mount_request(credentials={}, pod=app, useVMManagedIdentity="true", userAssignedIdentityID=app))
    with Pods(azure.socket) as pods:
        mount(pods, "app-a")
        assert emulator.silence("node") >= 1
        response, seconds = timed(mount, pods, "app-b")
        assert texts(response) and seconds < EXTRA_S * PATIENCE, seconds
        assert silent(azure) == 1


def test_the_api_server(protocol, start_driver, emulator, scripted):
    cluster = kube.Cluster(emulator)
    scripted()
    driver = start_driver(f"--kubeconfig={emulator.kubeconfig}", standalone=False)

    def publish(number):
        uid = f"{number}-{number}"
        name = f"web-{number}"
        cluster.add("pods", kube.pod(name=name, uid=uid))
        cluster.add("secretproviderclasses", kube.spc(name=f"class-{number}"))
        request = rpc.publish_request(driver.node.target(uid), pod=name, pod_uid=uid, class_name=f"class-{number}")
        seconds = timed(driver.publish, request, timeout=60)[1]
        cluster.wait_for_status(lambda status: True, f"{name}-default-class-{number}")
        return seconds
    publish(1)
    assert emulator.silence("tls") >= 1
    assert publish(2) < EXTRA_S * PATIENCE
    before = restarted(driver)
    assert silent(driver) >= 1 and before >= 1
    assert min(publish(number) for number in range(3, 6)) < SOON_S * PATIENCE
    assert restarted(driver) == before
    assert metric_sum(driver.metrics(), "kube_api_up") == 1


def test_a_status_object_that_meets_one(protocol, start_driver, emulator, scripted):
    """Its POST is sent again: the API server may have it twice, and the conflict is resolved by reading."""
    cluster = kube.Cluster(emulator)
    cluster.add("pods", kube.pod())
    cluster.add("secretproviderclasses", kube.spc())

    def fall_silent_meanwhile(request, context):
        emulator.silence("tls")  # the class has been read; the status object is next
        return mount_response({"file": b"content"})
    scripted(fall_silent_meanwhile)
    driver = start_driver(f"--kubeconfig={emulator.kubeconfig}", standalone=False)
    driver.publish(rpc.publish_request(driver.node.target()), timeout=30)
    cluster.wait_for_status(lambda status: True, timeout=EXTRA_S + 2)
    assert restarted(driver) >= 1
    assert metric_sum(driver.metrics(), "record_error_total") == 0
