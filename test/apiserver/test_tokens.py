"""The driver's own token: replaced as the kubelet replaces it, expired, revoked."""

import base64
import json
from pathlib import Path

import pytest

from cluster.client import ApiError
from cluster.objects import spc
from harness import mounts
from harness.process import wait_until
from harness.rpc import CODES

GARBAGE = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


def bound_token(admin, account):
    """A token that ends when the Secret it is bound to is deleted: (token, function that ends it)."""
    namespace = account.namespace
    secret = admin.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"generateName": "bound-", "namespace": namespace}})
    token = account.new_token(600, bound_to=secret)
    account.put_token(token)
    bearer = account.client()

    def refused():
        try:
            bearer.request("GET", "/version")
        except ApiError as error:
            return error.status == 401
        return False

    def end():
        admin.delete("secrets", namespace, secret["metadata"]["name"])
        wait_until(refused, 30, "the API server to forget that the token was good", pause=0.1)
    return token, end


def refusals(server, since):
    """Requests that got a 401 are logged without a user: their path distinguishes them."""
    return [event for event in server.events()[since:] if event["responseStatus"]["code"] == 401]


def test_a_replaced_token_file_is_used(start_cluster_driver, server, admin, account, namespace, make_pod, scripted):
    """The file's first token ends; the driver has it in memory, meets a 401, reads the file again and goes on within the same call."""
    admin.create(spc(), namespace)
    scripted()
    _, end = bound_token(admin, account)
    driver = start_cluster_driver()
    driver.publish(make_pod("web-1").publish_request())
    end()
    account.put_token(account.new_token(600))
    before = len(server.events())
    pod = make_pod("web-2")
    driver.publish(pod.publish_request())
    assert mounts.contents(pod.target) == {"file": b"content"}
    assert refusals(server, before), "the old token was still good: the test shows nothing"


def test_a_token_that_ended_and_was_not_replaced_is_named(start_cluster_driver, admin, account, namespace, make_pod, scripted):
    admin.create(spc(), namespace)
    scripted()
    token, end = bound_token(admin, account)
    driver = start_cluster_driver()
    end()
    pod = make_pod()
    code, message = driver.publish_failure(pod.publish_request())
    assert code == CODES.UNAUTHENTICATED
    assert "secretproviderclass" in message
    assert "nauthorized" in message
    assert token not in driver.log
    account.put_token(account.new_token(600))
    driver.publish(pod.publish_request())
    assert mounts.contents(pod.target) == {"file": b"content"}


def test_a_driver_that_starts_with_a_useless_token_recovers(start_cluster_driver, admin, account, namespace, make_pod, scripted):
    admin.create(spc(), namespace)
    scripted()
    account.put_token(GARBAGE)
    driver = start_cluster_driver()
    pod = make_pod()
    assert driver.publish_failure(pod.publish_request())[0] == CODES.UNAUTHENTICATED
    account.put_token(account.new_token(600))
    driver.publish(pod.publish_request())
    assert mounts.contents(pod.target) == {"file": b"content"}


@pytest.mark.parametrize("inline", [False, True], ids=["files", "inline"])
def test_a_client_certificate_instead_of_a_token(start_driver, server, admin, scratch, namespace, make_pod, scripted, inline):
    """As administrators' kubeconfigs have it; the static build has another TLS library, with another idea of where a key ends."""
    scripted()
    admin.create(spc(), namespace)
    config = json.loads(server.kubeconfig(scratch / "admin.kubeconfig", name="admin").read_text())
    if inline:
        [user] = config["users"]
        user["user"] = {f"{key}-data": base64.b64encode(Path(path).read_bytes()).decode() for key, path in user["user"].items()}
    (scratch / "admin.kubeconfig").write_text(json.dumps(config))
    driver = start_driver(f"--kubeconfig={scratch}/admin.kubeconfig", standalone=False)
    pod = make_pod()
    driver.publish(pod.publish_request())
    assert mounts.contents(pod.target) == {"file": b"content"}
