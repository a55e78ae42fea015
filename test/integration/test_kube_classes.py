"""SecretProviderClasses from the (emulated) Kubernetes API."""

import json
import time

import grpc
import pytest

from harness import mounts, rpc, tutorial
from harness.kube import pod, spc
from harness.process import wait_until
from harness.rpc import CODES
from harness.scripted_provider import mount_response


@pytest.fixture
def clustered(node, start_driver, emulator):
    emulator.put_object("pods", pod())
    return start_driver(f"--kubeconfig={emulator.kubeconfig}", standalone=False), node.target()


def test_a_class_from_the_api_is_mounted(clustered, emulator, scripted):
    driver, target = clustered
    emulator.put_object("secretproviderclasses", spc())
    provider = scripted()
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target) == {"file": b"content"}
    assert provider.attributes()["colour"] == "green"


def test_the_tutorial_from_the_api_to_the_file(clustered, emulator, azure):
    driver, target = clustered
    parameters = {"keyvaultName": tutorial.VAULT, "tenantId": tutorial.TENANT, "objects": tutorial.objects_yaml(["secret1"])}
    emulator.put_object("secretproviderclasses", spc(provider="azure", parameters=parameters))
    driver.publish(rpc.publish_request(target, secrets=tutorial.CREDENTIALS))
    assert mounts.contents(target) == {"secret1": tutorial.SECRETS["secret1"].encode()}


def test_a_v1alpha1_object_is_served_too(clustered, emulator, scripted):
    driver, target = clustered
    emulator.put_object("secretproviderclasses", spc(version="v1alpha1"))
    scripted()
    driver.publish(rpc.publish_request(target))
    assert mounts.contents(target) == {"file": b"content"}


def test_a_class_that_the_api_does_not_have_is_not_found(clustered):
    driver, target = clustered
    code, message = driver.publish_failure(rpc.publish_request(target, class_name="nowhere"))
    assert code == CODES.NOT_FOUND
    assert "failed to get secretproviderclass default/nowhere" in message
    assert message.rstrip().endswith("not found")


def test_a_class_created_after_the_first_try_is_found(clustered, emulator, scripted):
    driver, target = clustered
    driver.publish_failure(rpc.publish_request(target))
    emulator.put_object("secretproviderclasses", spc())
    scripted()

    def published():
        try:
            driver.publish(rpc.publish_request(target))
        except grpc.RpcError as error:
            assert error.code() == CODES.NOT_FOUND
            return False
        return True
    wait_until(published, timeout=15, what="the class to be seen")


def test_a_refused_api_call_is_named_and_recovered_from(clustered, emulator, scripted):
    driver, target = clustered
    emulator.put_object("secretproviderclasses", spc())
    scripted()
    emulator.add_fault("status", service="kube", status=403)
    code, message = driver.publish_failure(rpc.publish_request(target), timeout=20)
    assert code == CODES.PERMISSION_DENIED
    assert "failed to get secretproviderclass default/azure-kvname" in message
    emulator.clear_faults()
    driver.publish(rpc.publish_request(target))


def test_an_api_server_that_is_gone_does_not_hang_a_publish_past_its_deadline(clustered, emulator):
    driver, target = clustered
    emulator.add_fault("blackhole", service="kube")
    code, _ = driver.publish_failure(rpc.publish_request(target), timeout=3)
    assert code in (CODES.DEADLINE_EXCEEDED, CODES.UNAVAILABLE, CODES.UNKNOWN)
    emulator.clear_faults()


@pytest.fixture
def coloured(clustered, node, emulator, scripted):
    """A pod is mounted, so that the driver knows the class and that the provider returns files. mount(number) mounts another one."""
    driver, _ = clustered
    emulator.put_object("secretproviderclasses", spc())
    provider = scripted(lambda request, context: mount_response({"file": json.loads(request.attributes)["colour"].encode()}))

    def mount(number):
        uid = rpc.POD_UID.replace("1", str(number))
        target = node.target(uid)
        driver.publish(rpc.publish_request(target, pod=f"web-{number}", pod_uid=uid))
        return mounts.contents(target)
    assert mount(2) == {"file": b"green"}
    return provider, mount


def test_the_provider_is_called_while_the_api_server_reads_the_class(coloured, emulator):
    provider, mount = coloured
    respond, called = provider.mount, []

    def timed(request, context):
        called.append(time.monotonic())
        return respond(request, context)
    provider.mount = timed
    emulator.add_fault("latency", service="kube", path_contains="/secretproviderclasses/", latency_ms=1500)
    started = time.monotonic()
    assert mount(3) == {"file": b"green"}
    assert time.monotonic() - started >= 1.5
    [at] = called
    assert at - started < 1.4


def test_a_new_pod_never_sees_an_old_class(coloured, emulator):
    """The call with the old class is cancelled; it may reach the provider after the one with the new class."""
    provider, mount = coloured

    def calls(colour):
        return sum(json.loads(request.attributes)["colour"] == colour for request in provider.requests)
    emulator.put_object("secretproviderclasses", spc(parameters={"colour": "red"}))
    assert mount(3) == {"file": b"red"}
    assert calls("red") == 1
    assert mount(4) == {"file": b"red"}
    assert calls("red") == 2 and calls("green") <= 2
