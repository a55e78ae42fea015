"""docs/tutorial.md typed from top to end, once for each identity, into a shell in which az, kubectl and helm only record their arguments.

What comes out of one command has to arrive where a later one needs it. (That the objects work is shown by test/e2e/test_tutorial_page.py.)
"""

import json
import re
import subprocess
import sys

import pytest
import yaml

from harness import tutorial

pytestmark = pytest.mark.once

IDENTITIES = ("Service principal", "Workload identity", "Managed identity of the node", "Pod identity")
# az prints the query itself: a value in a later command names the query that it came from.
STAND_IN = """\
#!{python}
import json, os, sys
words = sys.argv[1:]
said = sys.stdin.read() if words[-2:] == ["-f", "-"] else ""
with open(os.environ["RECORD"], "a") as record:
    print(json.dumps([os.path.basename(sys.argv[0]), words, said]), file=record)
if "--query" in words:
    print("<" + words[words.index("--query") + 1] + ">")
"""
# Of the Azure CLI's reference: what each command takes, as far as the page uses it.
AZ = {
    "group create": "name location", "account show": "query",
    "aks create": "resource-group name node-count enable-managed-identity enable-oidc-issuer generate-ssh-keys",
    "aks get-credentials": "resource-group name", "aks show": "resource-group name query",
    "keyvault create": "resource-group name enable-rbac-authorization", "keyvault secret set": "vault-name name value", "keyvault show": "name query",
    "ad sp create-for-rbac": "name", "ad app credential reset": "id query",
    "role assignment create": "role scope assignee assignee-object-id assignee-principal-type",
    "identity create": "resource-group name", "identity show": "resource-group name query",
    "identity federated-credential create": "resource-group identity-name name issuer subject audiences",
}


class Record:
    def __init__(self, text):
        self.calls = [json.loads(line) for line in text.splitlines()]
        self.objects = [item for program, _, said in self.calls if program == "kubectl" for item in yaml.safe_load_all(said) if item]

    def az(self, command):
        """The options of each call of it, in order: [{option: value}]."""
        words_of = [words for program, words, _ in self.calls if program == "az" and " ".join(words).startswith(f"{command} --")]
        return [dict(zip(words[len(command.split())::2], words[len(command.split()) + 1::2])) for words in words_of]

    def spec(self, kind):
        (item,) = [item for item in self.objects if item["kind"] == kind]
        return item["spec"]

    @property
    def parameters(self):
        return self.spec("SecretProviderClass")["parameters"]


@pytest.fixture(scope="module", params=IDENTITIES)
def way(request):
    return request.param


@pytest.fixture(scope="module")
def record(way, tmp_path_factory):
    """The whole page, with one of the identities; typed once for all tests."""
    tmp_path = tmp_path_factory.mktemp("page")
    for program in ("az", "kubectl", "helm"):
        (tmp_path / program).write_text(STAND_IN.format(python=sys.executable))
        (tmp_path / program).chmod(0o755)
    script = "".join(block for heading, text in tutorial.sections().items() if heading == way or heading not in IDENTITIES
                     for block in re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=120, check=False,
                          env={"PATH": f"{tmp_path}:/usr/bin:/bin", "RECORD": str(tmp_path / "record")})
    assert done.returncode == 0, done.stderr  # -u: a variable that no earlier command sets is an error
    return Record((tmp_path / "record").read_text())


def test_every_az_command_has_existing_options(record):
    calls = [words for program, words, _ in record.calls if program == "az"]
    assert len(calls) > 10, "the commands of the page were not run"
    for words in calls:
        command = " ".join(words[:next(at for at, word in enumerate(words) if word.startswith("-"))])
        known = {f"--{name}" for name in AZ[command].split()} | {"-o"}
        assert {word for word in words if word.startswith("-")} <= known, command


def test_cluster_and_vault_have_the_names_of_the_page(record):
    assert record.az("aks create")[0]["--name"] == "contosoAKSCluster"
    assert [(one["--vault-name"], one["--name"]) for one in record.az("keyvault secret set")][:2] == [
        ("contosoKeyVault5", "secret1"), ("contosoKeyVault5", "secret2")]
    assert (record.parameters["keyvaultName"], record.parameters["tenantID"]) == ("contosoKeyVault5", "<properties.tenantId>")


def test_the_identity_that_gets_access_is_the_one_of_the_class_and_the_pod(record, way):
    (role,) = [role for role in record.az("role assignment create") if role["--role"] == "Key Vault Secrets User"]
    assert role["--scope"] == "<id>", "the vault"
    parameters, pod = record.parameters, record.spec("Pod")
    modes = {"useVMManagedIdentity", "usePodIdentity", "clientID"} & set(parameters)
    if way == "Service principal":
        secrets = [words for program, words, _ in record.calls if program == "kubectl" and words[:2] == ["create", "secret"]]
        assert modes == set() and role["--assignee"] == "..." and f"clientid={role['--assignee']}" in secrets[0]
        assert pod["volumes"][0]["csi"]["nodePublishSecretRef"]["name"] == secrets[0][3] == "secrets-store-creds"
    elif way == "Workload identity":
        (trust,) = record.az("identity federated-credential create")
        assert modes == {"clientID"} and parameters["clientID"] == "<clientId>" and role["--assignee-object-id"] == "<principalId>"
        assert trust["--subject"].endswith(":" + pod["serviceAccountName"]) and trust["--issuer"] == "<oidcIssuerProfile.issuerUrl>"
    elif way == "Managed identity of the node":
        assert modes == {"useVMManagedIdentity"}
        assert parameters["userAssignedIdentityID"] == role["--assignee"] == "<identityProfile.kubeletidentity.clientId>"
    else:
        identity, binding = record.spec("AzureIdentity"), record.spec("AzureIdentityBinding")
        assert modes == {"usePodIdentity"} and identity["clientID"] == "<clientId>" and role["--assignee-object-id"] == "<principalId>"
        (made,) = record.az("identity create")
        assert identity["resourceID"].split("/")[2::2][:2] == ["<id>", made["--resource-group"]] == ["<id>", "<nodeResourceGroup>"]
        assert identity["resourceID"].endswith(f"/userAssignedIdentities/{made['--name']}")
        (labels,) = [item["metadata"]["labels"] for item in record.objects if item["kind"] == "Pod"]
        assert labels == {"aadpodidbinding": binding["selector"]}
        operators = [(one["--role"], one["--assignee"], one["--scope"]) for one in record.az("role assignment create")[:2]]
        nodes = "/subscriptions/<id>/resourcegroups/<nodeResourceGroup>"
        assert operators == [(name, "<identityProfile.kubeletidentity.clientId>", nodes)
                             for name in ("Managed Identity Operator", "Virtual Machine Contributor")]
