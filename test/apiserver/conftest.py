"""Fixtures: those of test/integration, a real control plane (test/cluster/fixtures.py), and those of tests about synced Secrets."""

import pytest

from harness.scripted_provider import mount_response

pytest_plugins = ("harness.fixtures", "cluster.fixtures")


@pytest.fixture
def replica_set(admin, namespace):
    def make(name):
        labels = {"app": name}
        return admin.create({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name}, "spec": {
            "replicas": 0, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app"}]}}}}, namespace)
    return make


@pytest.fixture
def secret(admin, namespace):
    return lambda name="synced": admin.find("secrets", namespace, name)


@pytest.fixture
def events(admin, namespace):
    """events(reason="FailedToCreateSecret"): the messages of the Events in the test's namespace."""
    return lambda reason="FailedToCreateSecret": [item["message"] for item in admin.list("events", namespace) if item["reason"] == reason]


@pytest.fixture
def provider(scripted):
    provider = scripted(lambda request, context: mount_response(provider.files))
    provider.files = {"file": b"content"}
    return provider
