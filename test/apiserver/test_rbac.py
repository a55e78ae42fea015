"""The driver's rights: with exactly the roles of manifests/deploy everything works, and each right is used and needed."""

import copy

import grpc
import pytest

from cluster import manifests
from cluster.objects import spc
from harness import mounts
from harness.process import wait_until
from harness.scripted_provider import mount_response

RIGHTS = sorted(manifests.rights(manifests.driver_roles()))
SECRET_OBJECTS = [{"secretName": "synced", "type": "Opaque", "labels": {"team": "a"}, "data": [{"objectName": "file", "key": "value"}]}]
FLAGS = ("--enable-secret-rotation=true", "--rotation-poll-interval=1s")


def replica_set(name):
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name}, "spec": {
        "replicas": 0, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app"}]}}}}


def reference(item):
    return {"apiVersion": item["apiVersion"], "kind": item["kind"], "name": item["metadata"]["name"], "uid": item["metadata"]["uid"]}


def attempt(call, request, failures):
    try:
        call(request, timeout=20)
    except grpc.RpcError as error:
        failures.append(error.details())


def requests_of_driver(server, since):
    """[((verb, group, resource), status)] of the driver's requests."""
    found = []
    for event in server.requests_of(manifests.DRIVER_USER, since):
        reference = event.get("objectRef")
        assert reference is not None, f"a request for no object: {event['requestURI']}"
        resource = reference["resource"] + ("/" + reference["subresource"] if reference.get("subresource") else "")
        found.append(((event["verb"], reference.get("apiGroup", ""), resource), event["responseStatus"]["code"]))
    return found


class Life:
    """Makes the driver send every request that it ever sends to the API server: pods of a class with secretObjects come, their objects
    change, another client writes to their status objects, the provider fails once and again, the pods go. Failures of calls are kept in `failures`."""

    def __init__(self, start, admin, namespace, make_pod, scripted):
        self.content = b"one"
        self.version = 1
        self.provider_fails = False
        self.failed_calls = 0
        self.failures = []
        self.admin, self.namespace = admin, namespace
        scripted(self._mount)
        admin.create(spc(secretObjects=SECRET_OBJECTS), namespace)
        self.driver = start(*FLAGS)
        owner = admin.create(replica_set("web"), namespace)
        self.pods = [make_pod("web-1", owners=[reference(owner)]), make_pod("web-2")]

    def _mount(self, _request, context):
        if self.provider_fails:
            self.failed_calls += 1
            context.abort(grpc.StatusCode.NOT_FOUND, "the vault has no such object")
        return mount_response({"file": self.content}, {"file": str(self.version)})

    def live(self, seen=lambda: False):
        """The whole life, or as much of it as it takes until `seen()`."""
        for pod in self.pods:
            attempt(self.driver.publish, pod.publish_request(), self.failures)
        self._touch_statuses()
        self.content, self.version = b"two", 2
        self._republish(lambda: all(self.content_of(pod) == b"two" for pod in self.pods), seen)
        self.provider_fails = True
        self._republish(lambda: self.failed_calls >= 3, seen)

    def _touch_statuses(self):
        """Another client writes to the status objects, so that the driver has to read them again."""
        plural = "secretproviderclasspodstatuses"
        for status in self.admin.list(plural, self.namespace):
            self.admin.patch(plural, self.namespace, status["metadata"]["name"], {"metadata": {"annotations": {"seen": "yes"}}})

    def _republish(self, until, seen, timeout=40):
        """As the kubelet does, again and again."""
        def step():
            if seen():
                return True
            for pod in self.pods:
                attempt(self.driver.publish, pod.publish_request(), self.failures)
            return until()
        try:
            wait_until(step, timeout, "", pause=0.2)
        except AssertionError:
            pass  # a right is missing

    @staticmethod
    def content_of(pod):
        return mounts.contents(pod.target).get("file") if pod.target.exists() else None

    def end(self):
        for pod in self.pods:
            attempt(self.driver.unpublish, pod.unpublish_request(), self.failures)


@pytest.fixture
def life(start_cluster_driver, admin, namespace, make_pod, scripted):
    life = Life(start_cluster_driver, admin, namespace, make_pod, scripted)
    yield life
    life.end()


def test_every_right_is_used_and_no_other_is_needed(server, life):
    since = len(server.events())

    def used():
        return {what for what, _ in requests_of_driver(server, since)}
    life.live()
    wait_until(lambda: used() >= set(RIGHTS), 10, f"the use of {sorted(set(RIGHTS) - used())}: rights that nothing needs", pause=0.1)
    assert life.content_of(life.pods[0]) == b"two"
    life.end()
    assert life.failures == []
    refused = {what for what, status in requests_of_driver(server, since) if status == 403}
    assert refused == set()
    assert sorted(used() - set(RIGHTS)) == []


def allowed(admin, right):
    verb, group, resource = right
    resource, _, subresource = resource.partition("/")
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
        "user": manifests.DRIVER_USER,
        "resourceAttributes": {"verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": "default"}}}
    return admin.create(review)["status"]["allowed"]


def without(roles, right):
    """The roles without that one right."""
    verb, group, resource = right
    changed = []
    for role in copy.deepcopy(roles):
        rules = []
        for rule in role["rules"]:
            if verb in rule["verbs"] and group in rule["apiGroups"] and resource in rule["resources"]:
                others = [other for other in rule["resources"] if other != resource]
                less = [other for other in rule["verbs"] if other != verb]
                rules += [dict(rule, resources=others)] if others else []
                rules += [dict(rule, resources=[resource], verbs=less)] if less else []
            else:
                rules.append(rule)
        changed.append(dict(role, rules=rules))
    return changed


def set_roles(admin, roles, right, expected):
    for role in roles:
        current = admin.get("clusterroles", None, role["metadata"]["name"])
        admin.update(dict(current, rules=role["rules"]))
    wait_until(lambda: allowed(admin, right) == expected, 30, "the API server to see the changed role", pause=0.05)


@pytest.mark.parametrize("right", RIGHTS, ids=" ".join)
def test_without_a_right_a_refusal_is_reported(server, admin, life, right):
    roles = manifests.driver_roles()
    try:
        set_roles(admin, without(roles, right), right, False)
        since = len(server.events())

        def refused():
            return {what for what, status in requests_of_driver(server, since) if status == 403}
        life.live(lambda: right in refused())
        wait_until(lambda: right in refused(), 10, "a refusal", pause=0.1)
        assert refused() == {right}
        reported = life.driver.log + "\n".join(life.failures)
        assert "forbidden" in reported.lower(), "a missing right is not reported"
    finally:
        set_roles(admin, roles, right, True)


def test_the_account_may_do_nothing_else(admin, server, account):
    """By the API server's own account of its rules, what every account may do aside."""
    client = account.client()
    review = client.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"}})
    of_every_account = {"selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"}
    rules = [rule for rule in review["status"]["resourceRules"] if not set(rule["resources"]) <= of_every_account]
    assert sorted(manifests.rights([{"rules": rules}])) == RIGHTS
