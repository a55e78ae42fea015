"""Pods that controllers make: Deployments that share a class and the Secret made from it."""

import base64

import yaml
from images import image_archive, reference_of
from pods import pod_spec

from harness import tutorial
from harness.process import ROOT, wait_until

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


def documented_deployment():
    """That of docs/environment-variables.md, with the images of this cluster and a program that waits."""
    (text,) = [block.split("```")[0] for block in (ROOT / "docs/environment-variables.md").read_text().split("```yaml\n")[1:]]
    item = yaml.safe_load(text.replace("REGISTRY/secrets-store-ctl:VERSION", "localhost/secrets-store-ctl:e2e").replace("REGISTRY/server", "localhost/app:e2e"))
    (container,) = item["spec"]["template"]["spec"]["containers"]
    assert container["command"][-2:] == ["--", "/app/server"]
    container["command"][-1:] = ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]
    item["spec"]["template"]["spec"]["volumes"][1]["csi"]["nodePublishSecretRef"] = {"name": "secrets-store-creds"}
    return item


def test_a_program_gets_its_environment_from_the_volume(kubernetes, make_class, admin, kubectl, namespace):
    archive = image_archive("secrets-store-ctl")
    kubernetes.containerd.import_image(archive, reference_of(archive), "localhost/secrets-store-ctl:e2e")
    make_class()
    admin.create(documented_deployment(), namespace)
    kubectl("-n", namespace, "rollout", "status", "deployment/server", "--timeout=120s", timeout=150)
    environment = kubectl("-n", namespace, "exec", "deployment/server", "--", "cat", "/proc/1/environ").split("\0")
    assert {f"{name.upper()}={value}" for name, value in tutorial.SECRETS.items()} <= set(environment)
    assert [item["metadata"]["name"] for item in admin.list("secrets", namespace)] == ["secrets-store-creds"]
    admin.delete("deployments", namespace, "server", propagationPolicy="Foreground")
