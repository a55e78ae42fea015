"""All identities through both Azure providers, and the errors of both for an unknown identity."""

import json

import pytest
from parity import Outcome, check
from parity_cases import BOTH_FAIL, SAME, SAME_ERROR, Case
from peers import NODE_PORT
from proto import provider_pb2

from harness import tutorial
from harness.identities import TOKENS, Issuer, subject_of, tokens_json
from harness.relay import Relay

APP, OTHER = "11111111-aaaa-bbbb-cccc-000000000001", "11111111-aaaa-bbbb-cccc-000000000002"
VM, POD = {"useVMManagedIdentity": "true"}, {"usePodIdentity": "true"}
SUBJECT = subject_of("default", "default")


@pytest.fixture(scope="module")
def issuer():
    return Issuer()


@pytest.fixture(scope="module", autouse=True)
def identity_service():
    """169.254.169.254:80, where nothing but the identity service of a virtual machine can be."""
    relay = Relay(("169.254.169.254", 80), NODE_PORT)
    yield
    relay.close()


@pytest.fixture
def pair(azure, start_go_azure):
    return azure, start_go_azure(socket_name="go")


def allow(emulator, app):
    emulator.set_policy(client_id=app, permissions=["get"])


def compare(pair, wanted, contains="", **attributes):
    request = provider_pb2.MountRequest(attributes=json.dumps(tutorial.attributes(("secret1",), **attributes)), secrets="null",
                                        target_path="/none", permission="420")
    check(Case("", "", wanted, contains=contains), *(Outcome(one.socket, request) for one in pair))


def federate(emulator, issuer, subject=SUBJECT, **more):
    issuer.register(emulator)
    emulator.control("POST", "/entra/apps", {"tenant": tutorial.TENANT, "client_id": APP, "federated": [
        {"issuer": issuer.url, "subject": subject, "audience": "api://AzureADTokenExchange", **more}]})
    allow(emulator, APP)


def test_a_workload(pair, emulator, issuer):
    federate(emulator, issuer)
    compare(pair, SAME, clientID=APP, **{TOKENS: tokens_json(workload=issuer.token(SUBJECT))})


@pytest.mark.parametrize("record,number", [({"subject": subject_of("default", "other")}, "AADSTS700213"),
                                           ({"audience": "api://Other"}, "AADSTS700212")])
def test_a_workload_that_is_not_trusted(pair, emulator, issuer, record, number):
    federate(emulator, issuer, **record)
    compare(pair, BOTH_FAIL, number, clientID=APP, **{TOKENS: tokens_json(workload=issuer.token(SUBJECT))})


def test_a_workload_without_tokens(pair):
    compare(pair, SAME_ERROR, clientID=APP)


def test_the_identity_of_the_machine(pair, emulator):
    emulator.set_imds(APP)
    allow(emulator, APP)
    compare(pair, SAME, **VM)
    assert len(emulator.requests("imds")) >= 2


def test_an_identity_of_the_machine_by_name(pair, emulator):
    emulator.set_imds(APP, [OTHER])
    allow(emulator, OTHER)
    compare(pair, SAME, userAssignedIdentityID=OTHER, **VM)


def test_an_identity_that_the_machine_has_not(pair, emulator):
    emulator.set_imds(APP)
    compare(pair, BOTH_FAIL, "the requested identity isn't assigned to this resource", userAssignedIdentityID=OTHER, **VM)


@pytest.fixture
def bound(emulator):
    emulator.bind_pod("default", "web", APP)
    allow(emulator, APP)


def test_the_identity_of_a_pod(pair, bound):
    compare(pair, SAME, **POD)


def test_a_pod_without_identity(pair, emulator):
    compare(pair, BOTH_FAIL, "nmi response failed with status code: 404, response body: ", **POD)
