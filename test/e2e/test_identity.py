"""Workload identity: the kubelet's projected tokens, checked by the emulated Entra ID with the API server's public key."""

from pods import WORKLOAD_CLIENT, volume

from harness import tutorial
from harness.process import wait_until


def workload_volume():
    return volume(credentials=None)


def test_a_pod_reads_a_secret_with_the_token_of_its_service_account(trust, make_class, make_pod, namespace, emulator):
    trust(f"system:serviceaccount:{namespace}:default")
    make_class(parameters={"clientID": WORKLOAD_CLIENT})
    pod = make_pod(volumes=[workload_volume()]).wait_running()
    assert pod.read("secret1") == tutorial.SECRETS["secret1"]
    assert [request["client_id"] for request in emulator.requests("vault")][-1] == WORKLOAD_CLIENT


def test_a_pod_of_another_service_account_is_refused_with_an_event(trust, make_class, make_pod, namespace, admin):
    trust(f"system:serviceaccount:{namespace}:default")
    make_class(parameters={"clientID": WORKLOAD_CLIENT})
    admin.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "other"}}, namespace)
    pod = make_pod(volumes=[workload_volume()], serviceAccountName="other")
    wait_until(lambda: any("AADSTS700213" in event["message"] for event in pod.failed_mounts()), 60, "the event", pause=0.2)
    assert not pod.ready


def test_no_token_shows_up_in_logs_and_events(trust, make_class, make_pod, namespace, installation, kubernetes):
    trust("system:serviceaccount:nobody:nobody")
    make_class(parameters={"clientID": WORKLOAD_CLIENT})
    pod = make_pod(volumes=[workload_volume()])
    wait_until(lambda: pod.failed_mounts(), 60, "the event", pause=0.2)
    for text in (pod.describe(), installation.logs("csi-secrets-store"), installation.logs("csi-secrets-store-provider-azure")):
        assert text
        assert "eyJhbGciOi" not in text, "how every token begins"
