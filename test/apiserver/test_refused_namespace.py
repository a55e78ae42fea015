"""Secrets that the namespace does not take: a ResourceQuota is full, or the namespace is being deleted. Each has its own hint."""

import base64

import pytest
from cluster import manifests
from cluster.client import ApiError
from cluster.objects import spc
from cluster.secrets import data_of, reference, reported_errors, requests_for, secret_object

from harness.process import PATIENCE, wait_until

FAST = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s", "--secret-sync-check-interval=2s")
QUOTA_HINT = "(a ResourceQuota of the namespace: raise it; the driver retries)"
GONE_HINT = "(the namespace is being deleted)"


def republish(driver, pod, seconds, until=lambda: False):
    """Republishes as a kubelet does, faster, for some seconds (PATIENCE times as many) or until something holds."""
    def done():
        driver.publish(pod.publish_request())
        return until()
    try:
        wait_until(done, seconds, "it", pause=0.2)
    except AssertionError:
        return False
    return True


@pytest.fixture
def quota(admin, namespace):
    """quota(secrets, used): how many Secrets the namespace may have, and has. No controller counts here: the test does."""
    def put(secrets, used=0):
        hard = {"count/secrets": str(secrets)}
        admin.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}, "spec": {"hard": hard}}, namespace)
        counted = None if used is None else {"count/secrets": str(used)}
        admin.patch("resourcequotas/status", namespace, "team", {"status": {"hard": hard, "used": counted}})
    return put


def refused(admin, namespace, words):
    """Is a Secret of anybody refused with these words?"""
    def check():
        try:
            admin.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "probe"}}, namespace, dryRun="All")
        except ApiError as error:
            return words in str(error)
        return False
    return check


@pytest.mark.parametrize("hard, used, words", [(0, 0, "exceeded quota: team"), (5, None, "status unknown for quota: team")],
                         ids=["exceeded", "not counted yet"])
def test_a_quota_is_named_and_the_secret_follows_when_it_is_raised(admin, server, namespace, make_pod, replica_set, start_cluster_driver, provider,
                                                                  secret, events, quota, hard, used, words):
    quota(hard, used)
    wait_until(refused(admin, namespace, words), 30, "the quota to be in effect", pause=0.1)
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    driver = start_cluster_driver(*FAST)
    pod = make_pod(owners=[reference(replica_set("web"))])
    driver.publish(pod.publish_request())
    wait_until(events, 15, "an Event", pause=0.1)
    assert all(words in message and QUOTA_HINT in message and "ClusterRole" not in message for message in events())
    since = len(server.events())
    republish(driver, pod, 8)
    sent = requests_for(server, manifests.DRIVER_USER, "secrets", since)
    assert 1 <= len(sent) <= 20 * PATIENCE, "it retries, and not with every call"
    assert secret() is None
    quota(5)
    assert republish(driver, pod, 60, until=lambda: secret() is not None)
    assert data_of(secret()) == {"key": b"content"}
    assert len(events()) == 1


def test_a_full_quota_does_not_stop_a_rotation(admin, namespace, make_pod, replica_set, start_cluster_driver, provider, secret, quota):
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    driver = start_cluster_driver(*FAST)
    pod = make_pod(owners=[reference(replica_set("web"))])
    driver.publish(pod.publish_request())
    quota(1, used=1)
    wait_until(refused(admin, namespace, "exceeded quota: team"), 30, "the quota to be in effect", pause=0.1)
    provider.files = {"file": b"rotated" * 1000}
    assert republish(driver, pod, 20, until=lambda: data_of(secret()) == {"key": b"rotated" * 1000})


def test_in_a_namespace_that_is_being_deleted_nothing_is_insisted_on(admin, control_plane, server, namespace, make_pod, replica_set,
                                                                    start_cluster_driver, provider, secret):
    """The API server takes no new objects there, Events neither: the log has the reason, and the pod keeps its files."""
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    driver = start_cluster_driver(*FAST)
    pod = make_pod(owners=[reference(replica_set("web"))])
    driver.publish(pod.publish_request())
    assert secret() is not None
    control_plane.controllers.pause()  # it deletes what is in the namespace
    try:
        admin.delete("namespaces", None, namespace)
        wait_until(refused(admin, namespace, "because it is being terminated"), 30, "the end of the namespace", pause=0.1)
        admin.delete("secrets", namespace, "synced")
        provider.files = {"file": b"rotated"}
        assert republish(driver, pod, 30, until=lambda: GONE_HINT in driver.log)
        since, reports = len(server.events()), reported_errors(driver)
        republish(driver, pod, 8)
        sent = requests_for(server, manifests.DRIVER_USER, "secrets", since)
        assert len(sent) <= 20 * PATIENCE and reported_errors(driver) <= reports + 1
        assert "ClusterRole" not in driver.log
        assert (pod.target / "file").read_bytes() == b"rotated"
        driver.unpublish(pod.unpublish_request())
    finally:
        control_plane.controllers.resume()
    wait_until(lambda: admin.find("namespaces", None, namespace) is None, 60, "the namespace to be gone", pause=0.2)
    assert base64.b64encode(b"rotated").decode() not in driver.log
