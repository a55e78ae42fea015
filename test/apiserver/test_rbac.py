"""The driver's rights: with exactly the roles of manifests/deploy everything works, and each right is used and needed."""

import grpc
import pytest

from cluster import manifests
from cluster.account import Account
from cluster.objects import spc
from cluster.rights import missing
from harness import mounts
from harness.process import wait_until
from harness.scripted_provider import mount_response

RIGHTS = sorted(manifests.rights(manifests.driver_roles()))
SECRET_OBJECTS = [{"secretName": "synced", "type": "Opaque", "labels": {"team": "a"}, "data": [{"objectName": "file", "key": "value"}]}]
STATUSES = ("secrets-store.csi.x-k8s.io", "secretproviderclasspodstatuses")
# The driver deletes nothing. The admission plugin OwnerReferencesPermissionEnforcement wants the right of whoever changes owners: what it refuses without.
OF_ADMISSION = {("delete", "", "secrets"): ("patch", "", "secrets"), ("delete", *STATUSES): ("patch", *STATUSES)}
USED = sorted(set(RIGHTS) - set(OF_ADMISSION))
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
        self._former_status(self.pods[1])

    def _former_status(self, pod):
        """The object of a pod that had this one's name, its owner not yet the new pod: a StatefulSet's pod that comes again."""
        name = f"{pod.name}-{self.namespace}-azure-kvname"
        self.admin.create({"apiVersion": f"{STATUSES[0]}/v1", "kind": "SecretProviderClassPodStatus", "metadata": {"name": name}}, self.namespace)

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
    wait_until(lambda: used() >= set(USED), 10, f"the use of {sorted(set(USED) - used())}: rights that nothing needs", pause=0.1)
    assert life.content_of(life.pods[0]) == b"two"
    life.end()
    assert life.failures == []
    refused = {what for what, status in requests_of_driver(server, since) if status == 403}
    assert refused == set()
    assert sorted(used() - set(USED)) == []


@pytest.mark.parametrize("right", RIGHTS, ids=" ".join)
def test_without_a_right_a_refusal_is_reported(server, admin, life, right):
    expected = OF_ADMISSION.get(right, right)
    with missing(admin, right):
        since = len(server.events())

        def refused():
            return {what for what, status in requests_of_driver(server, since) if status == 403}
        life.live(lambda: expected in refused())
        wait_until(lambda: expected in refused(), 10, "a refusal", pause=0.1)
        assert refused() == {expected}
        reported = life.driver.log + "\n".join(life.failures)
        assert "forbidden" in reported.lower(), "a missing right is not reported"


def rules_of(client):
    """By the API server's own account of its rules."""
    review = client.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"}})
    return manifests.rights([{"rules": review["status"]["resourceRules"]}])


def test_the_account_may_do_nothing_else(server, account, namespace, scratch):
    """What every account may do aside: that differs between versions of Kubernetes."""
    other = Account(server, namespace, "default", scratch)
    assert sorted(rules_of(account.client()) - rules_of(other.client())) == RIGHTS
    assert rules_of(other.client()).isdisjoint(RIGHTS)
