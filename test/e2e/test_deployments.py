"""Pods that controllers make: Deployments that share a class and the Secret made from it."""

import base64

from pods import pod_spec

from harness import tutorial
from harness.process import wait_until

SECRET_OBJECTS = [{"secretName": "shared", "type": "Opaque", "data": [{"objectName": "secret1", "key": "username"}]}]
ENVIRONMENT = {"env": [{"name": "SECRET_USERNAME", "valueFrom": {"secretKeyRef": {"name": "shared", "key": "username"}}}]}


def deployment(name, replicas):
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod_spec(container=ENVIRONMENT)}}}


def test_two_deployments_share_a_secret_which_goes_with_the_last(make_class, admin, kubectl, namespace):
    make_class(secretObjects=SECRET_OBJECTS)
    for name in ("first", "second"):
        admin.create(deployment(name, replicas=2), namespace)
    for name in ("first", "second"):
        kubectl("-n", namespace, "rollout", "status", f"deployment/{name}", "--timeout=120s", timeout=150)
        seen = kubectl("-n", namespace, "exec", f"deployment/{name}", "--", "sh", "-c", "echo -n $SECRET_USERNAME")
        assert seen == tutorial.SECRETS["secret1"]

    def owners():
        secret = admin.find("secrets", namespace, "shared")
        return None if secret is None else [owner["kind"] for owner in secret["metadata"]["ownerReferences"]]
    wait_until(lambda: owners() == ["ReplicaSet", "ReplicaSet"], 60, "an owner for each deployment", pause=0.2)
    admin.delete("deployments", namespace, "first", propagationPolicy="Background")
    wait_until(lambda: owners() == ["ReplicaSet"], 90, "the first owner to go", pause=0.2)
    assert base64.b64decode(admin.get("secrets", namespace, "shared")["data"]["username"]).decode() == tutorial.SECRETS["secret1"]
    admin.delete("deployments", namespace, "second", propagationPolicy="Background")
    wait_until(lambda: owners() is None, 90, "the Secret to be collected", pause=0.2)
