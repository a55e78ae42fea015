"""Synced Secrets and status objects where the admission of the cluster refuses or changes what the driver writes: OpenShift's guard of
owner references, policies, webhooks. Refused metadata never holds back data, is reported once, and is not sent again."""

import base64
import json
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cluster import manifests
from cluster.client import ApiError
from cluster.objects import spc
from cluster.rights import missing
from cluster.secrets import MANAGED, STATUSES, data_of, owners_of, reference, requests_for, secret_object

from harness.process import wait_until

FAST = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s", "--secret-sync-check-interval=1s")


def rotate(driver, provider, pods, n):
    """Republishes until each pod has had `n` more rotation checks."""
    wanted = len(provider.requests) + n * len(pods)

    def checked():
        for pod in pods:
            driver.publish(pod.publish_request())
        return len(provider.requests) >= wanted
    wait_until(checked, 20 + 2 * n, f"{n} rotation checks", pause=0.2)


def rotated_to(driver, secret, pods, data):
    def rotated():
        for pod in pods:
            driver.publish(pod.publish_request())
        return secret() is not None and data_of(secret()) == data
    wait_until(rotated, 20, f"the data {data}", pause=0.2)


# --- owner references ---

@pytest.fixture
def guarded(admin):
    """OwnerReferencesPermissionEnforcement is on, as in OpenShift, and the driver may not delete Secrets."""
    with missing(admin, ("delete", "", "secrets")):
        yield


@pytest.fixture
def guarded_statuses(admin):
    with missing(admin, ("delete", "secrets-store.csi.x-k8s.io", STATUSES)):
        yield


def test_a_second_owner_is_refused_and_the_data_still_rotates(admin, server, guarded, namespace, make_pod, replica_set, start_cluster_driver,
                                                             provider, secret, events):
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    driver = start_cluster_driver(*FAST)
    pods = [make_pod(name, owners=[reference(replica_set(name))]) for name in ("web", "api")]
    for pod in pods:
        driver.publish(pod.publish_request())
    wait_until(events, 10, "an Event", pause=0.1)
    provider.files = {"file": b"rotated"}
    rotated_to(driver, secret, pods, {"key": b"rotated"})
    since = len(server.events())
    rotate(driver, provider, pods, 5)
    sent = requests_for(server, manifests.DRIVER_USER, "secrets", since)
    assert {verb for verb, _ in sent} <= {"get"}
    assert owners_of(secret()) in (["web"], ["web", "api"])
    [message] = events()
    assert "the API server refuses the owner reference" in message and "OwnerReferencesPermissionEnforcement" in message


def test_a_rollout_brings_new_keys_although_its_owner_is_refused(admin, guarded, namespace, make_pod, replica_set, start_cluster_driver, provider, secret):
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    driver = start_cluster_driver()
    driver.publish(make_pod("web-1", owners=[reference(replica_set("web-1"))]).publish_request())
    provider.files = {"file": b"content 2", "new": b"n"}
    current = admin.get("secretproviderclasses", namespace, "azure-kvname")
    current["spec"]["secretObjects"] = [secret_object(data=[("file", "key"), ("new", "new")])]
    admin.update(current)
    driver.publish(make_pod("web-2", owners=[reference(replica_set("web-2"))]).publish_request())
    assert data_of(secret()) == {"key": b"content 2", "new": b"n"}


def test_the_secret_comes_back_when_its_only_owner_goes(admin, guarded, namespace, make_pod, replica_set, start_cluster_driver, provider, secret):
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    driver = start_cluster_driver(*FAST)
    pods = [make_pod(name, owners=[reference(replica_set(name))]) for name in ("web", "api")]
    for pod in pods:
        driver.publish(pod.publish_request())
    admin.delete("replicasets", namespace, "web")
    driver.unpublish(pods[0].unpublish_request())

    def back():
        current = secret()
        return current is not None and owners_of(current) == ["api"]
    wait_until(back, 40, "the Secret with the other owner", pause=0.1)
    assert data_of(secret()) == {"key": b"content"}


def test_a_pod_that_was_created_again_gets_a_status_object_of_its_own(admin, guarded_statuses, namespace, make_pod, start_cluster_driver, provider, secret):
    """The object of the earlier pod is still there, and the driver may not change its owner: it takes a longer name, or, when the collector
    was faster, waits until the object is gone."""
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    driver = start_cluster_driver(*FAST)
    first = make_pod("db-0")
    driver.publish(first.publish_request())
    name = f"db-0-{namespace}-azure-kvname"
    admin.patch(STATUSES, namespace, name, {"metadata": {"finalizers": ["example.org/hold"]}})
    driver.unpublish(first.unpublish_request())
    first.delete()
    second = make_pod("db-0")
    driver.publish(second.publish_request())
    admin.patch(STATUSES, namespace, name, {"metadata": {"finalizers": None}})

    def owned():
        driver.publish(second.publish_request())
        statuses = {item["metadata"]["name"]: item["metadata"]["ownerReferences"][0]["uid"] for item in admin.list(STATUSES, namespace)}
        found = secret()
        return list(statuses.values()) == [second.uid] and found is not None and set(statuses) <= set(owners_of(found))
    wait_until(owned, 60, "the Secret with the new status object as its owner", pause=0.2)


# --- policies ---

@pytest.fixture
def policy(admin, namespace):
    """policy(expression, message): a ValidatingAdmissionPolicy for the Secrets of the test's namespace, active when it returns."""
    made = []

    def probe(name):
        """Is a Secret refused that the policy surely refuses? It names its own marker."""
        try:
            admin.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": {"probe": "yes"}}}, namespace)
            admin.delete("secrets", namespace, name)
        except ApiError as error:
            return "denied request" in str(error)
        return False

    def make(expression, message):
        name = f"policy-{namespace}"
        made.append(name)
        admin.create({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": {
            "failurePolicy": "Fail", "matchConstraints": {"resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"]}]},
            "validations": [{"expression": f"({expression}) && !(has(object.metadata.labels) && 'probe' in object.metadata.labels)",
                             "message": message}]}})
        admin.create({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": {
            "policyName": name, "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}}})
        wait_until(lambda: probe("probe"), 40, "the policy", pause=0.2)
    yield make
    for name in made:
        admin.delete("validatingadmissionpolicybindings", None, name)
        admin.delete("validatingadmissionpolicies", None, name)


LABEL = "!(has(object.metadata.labels) && 'forbidden' in object.metadata.labels)"
ANNOTATION = "!(has(object.metadata.annotations) && 'note' in object.metadata.annotations)"
OWNERS = "!has(object.metadata.ownerReferences)"


@pytest.mark.parametrize("expression, refused, kept", [
    (LABEL, "label 'forbidden'", {"annotations", "owners"}),
    (ANNOTATION, "annotation 'note'", {"labels", "owners"}),
    (OWNERS, "owner reference '", {"labels", "annotations"}),
    (f"({LABEL}) && ({ANNOTATION})", "label 'forbidden'", {"owners"}),
    (f"({OWNERS}) && ({LABEL})", "label 'forbidden'", {"annotations"}),
], ids=["label", "annotation", "owners", "label and annotation", "owners and label"])
@pytest.mark.parametrize("exists", [False, True], ids=["new", "existing"])
def test_a_policy_refuses_metadata_and_the_data_is_written(admin, server, namespace, make_pod, replica_set, start_cluster_driver, provider, secret,
                                                           events, policy, expression, refused, kept, exists):
    if exists:
        admin.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "synced", "labels": {MANAGED: "true"}}, "type": "Opaque"}, namespace)
    policy(expression, "not like this")
    admin.create(spc(secretObjects=[secret_object(labels={"forbidden": "x"}, annotations={"note": "n"})]), namespace)
    driver = start_cluster_driver(*FAST)
    pod = make_pod(owners=[reference(replica_set("web"))])
    driver.publish(pod.publish_request())
    wait_until(lambda: secret() is not None and data_of(secret()) == {"key": b"content"}, 10, "the data", pause=0.1)
    wait_until(events, 10, "an Event", pause=0.1)
    rotate(driver, provider, [pod], 2)  # the annotation of the field owners, which leaves out what was refused
    since = len(server.events())
    rotate(driver, provider, [pod], 5)
    print("REQ", requests_for(server, manifests.DRIVER_USER, "secrets"), json.dumps(secret()), events())
    assert {verb for verb, _ in requests_for(server, manifests.DRIVER_USER, "secrets", since)} <= {"get"}
    metadata = secret()["metadata"]
    found = {name for name, present in (("labels", "forbidden" in metadata["labels"]), ("annotations", "note" in metadata.get("annotations", {})),
                                        ("owners", bool(metadata.get("ownerReferences")))) if present}
    assert found == kept and metadata["labels"][MANAGED] == "true"
    [message] = events()
    assert f"the data is up to date, but the API server refuses the {refused}" in message and "not like this" in message
    provider.files = {"file": b"rotated"}
    rotated_to(driver, secret, [pod], {"key": b"rotated"})
    assert len(events()) == 1


def test_a_policy_that_refuses_the_secret_itself_is_reported_and_obeyed(admin, namespace, make_pod, replica_set, start_cluster_driver, provider,
                                                                       secret, events, policy):
    policy("has(object.metadata.labels) && 'team' in object.metadata.labels", "every Secret needs a label team")
    admin.create(spc(secretObjects=[secret_object()]), namespace)
    driver = start_cluster_driver(*FAST)
    pod = make_pod(owners=[reference(replica_set("web"))])
    driver.publish(pod.publish_request())
    wait_until(events, 10, "an Event", pause=0.1)
    assert all("every Secret needs a label team" in message and "a policy or webhook of the cluster refuses it" in message for message in events())
    current = admin.get("secretproviderclasses", namespace, "azure-kvname")
    current["spec"]["secretObjects"][0]["labels"] = {"team": "x"}
    admin.update(current)
    rotated_to(driver, secret, [pod], {"key": b"content"})


@pytest.mark.parametrize("what", [{"labels": {"long": "x" * 64}}, {"annotations": {"bad name/x y": "1"}}], ids=["label", "annotation"])
def test_invalid_metadata_is_left_out(admin, server, namespace, make_pod, replica_set, start_cluster_driver, provider, secret, events, what):
    admin.create(spc(secretObjects=[secret_object(**what)]), namespace)
    driver = start_cluster_driver(*FAST)
    pod = make_pod(owners=[reference(replica_set("web"))])
    driver.publish(pod.publish_request())
    assert data_of(secret()) == {"key": b"content"} and owners_of(secret()) == ["web"]
    wait_until(events, 10, "an Event", pause=0.1)
    rotate(driver, provider, [pod], 2)
    since = len(server.events())
    rotate(driver, provider, [pod], 4)
    assert {verb for verb, _ in requests_for(server, manifests.DRIVER_USER, "secrets", since)} <= {"get"}
    assert len(events()) == 1


def test_a_secret_of_as_many_keys_as_a_class_may_name(admin, server, namespace, make_pod, replica_set, start_cluster_driver, provider,
                                                                  secret):
    names = [f"{number:06d}-" + "k" * 43 for number in range(1000)]
    provider.files = {name: b"v" for name in names}
    admin.create(spc(secretObjects=[secret_object(data=[(name, name) for name in names])]), namespace)
    driver = start_cluster_driver(*FAST)
    pod = make_pod(owners=[reference(replica_set("web"))])
    driver.publish(pod.publish_request())
    wait_until(secret, 20, "the Secret", pause=0.2)
    assert len(data_of(secret())) == 1000 and owners_of(secret()) == ["web"]


# --- a webhook that changes Secrets ---

@contextmanager
def mutating_webhook(control_plane, namespace, change):
    """change(object): the same Secret as the webhook wants it."""
    certificate, key = control_plane.pki.issue("webhook", "/CN=webhook", "serverAuth", ["IP:127.0.0.1"])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            wanted = change(json.loads(json.dumps(review["request"]["object"])))
            patch = [{"op": "replace", "path": "", "value": wanted}]
            body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
                "uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch",
                "patch": base64.b64encode(json.dumps(patch).encode()).decode()}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    admin, name = control_plane.admin, f"webhook-{namespace}"
    bundle = base64.b64encode(control_plane.pki.path("ca.crt").read_bytes()).decode()
    admin.create({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": name}, "webhooks": [{
        "name": "m.example.org", "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "clientConfig": {"url": f"https://127.0.0.1:{httpd.server_port}/m", "caBundle": bundle},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"]}]}]})
    try:
        probe = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "probe"}}

        def active():
            made = admin.create(probe, namespace)
            admin.delete("secrets", namespace, "probe")
            return made["metadata"].get("labels", {}).get("seen") == "yes"
        wait_until(active, 30, "the webhook", pause=0.2)
        yield
    finally:
        admin.delete("mutatingwebhookconfigurations", None, name)
        httpd.shutdown()


def metadata_changed(item):
    metadata = item["metadata"]
    metadata["labels"] = {**metadata.get("labels", {}), "owner": "platform", "seen": "yes"}
    metadata["annotations"] = {key: value for key, value in metadata.get("annotations", {}).items() if key != "note"}
    return item


def owners_removed(item):
    item["metadata"]["labels"] = {**item["metadata"].get("labels", {}), "seen": "yes"}
    item["metadata"].pop("ownerReferences", None)
    return item


def data_changed(item):
    item["metadata"]["labels"] = {**item["metadata"].get("labels", {}), "seen": "yes"}
    if "key" in item.get("data", {}):
        item["data"]["key"] = base64.b64encode(b"sealed").decode()
    return item


@pytest.mark.parametrize("change, words", [(metadata_changed, "changes the label 'owner' (and 1 more)"), (owners_removed, "changes the owner reference '"),
                                           (data_changed, "changes the data")], ids=["metadata", "owners", "data"])
def test_what_a_webhook_changes_is_reported_once_and_not_written_again(admin, control_plane, server, namespace, make_pod, replica_set,
                                                                      start_cluster_driver, provider, secret, events, change, words):
    with mutating_webhook(control_plane, namespace, change):
        admin.create(spc(secretObjects=[secret_object(labels={"owner": "shop"}, annotations={"note": "n"})]), namespace)
        driver = start_cluster_driver(*FAST)
        pod = make_pod(owners=[reference(replica_set("web"))])
        driver.publish(pod.publish_request())
        assert secret() is not None
        since = len(server.events())
        rotate(driver, provider, [pod], 6)
        sent = requests_for(server, manifests.DRIVER_USER, "secrets", since)
        assert {verb for verb, _ in sent} <= {"get"}
        wait_until(events, 10, "an Event", pause=0.1)
        [message] = events()
        assert words in message
        assert events("SecretRotationComplete") == []
        assert [item.get("count", 1) for item in admin.list("events", namespace) if item["reason"] == "FailedToCreateSecret"] == [1]
        provider.files = {"file": b"rotated", "other": b"o"}
        wait_until(lambda: rotate(driver, provider, [pod], 1) or events("SecretRotationComplete"), 20, "the rotation to be reported")
        assert len(events()) <= 2
