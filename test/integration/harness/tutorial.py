"""The walkthrough of 2020 as data: its SecretProviderClass text, its vault, its service principal. And today's, docs/tutorial.md, to type."""

import re

from harness.process import ROOT

TENANT = "tenantID"
CLIENT_ID = "servicePrincipalClientID"
CLIENT_SECRET = "the-client-secret"
VAULT = "contosoKeyVault5"
SECRETS = {"secret1": "value of secret1", "secret2": "value of secret2"}
CREDENTIALS = {"clientid": CLIENT_ID, "clientsecret": CLIENT_SECRET}

# Tabs, comments at line ends, comments with non-ASCII quotation marks, empty values: all as people have it in their files.
CLASS = """\
apiVersion: secrets-store.csi.x-k8s.io/v1alpha1
kind: SecretProviderClass
metadata:
  name: azure-kvname
spec:
  provider: azure
  parameters:
    usePodIdentity: "false"         \t\t  # [REQUIRED] Set to "true" if using managed identities
    useVMManagedIdentity: "false"             # [OPTIONAL] if not provided, will default to "false"
    userAssignedIdentityID: "servicePrincipalClientID"       # [REQUIRED] the client id
                                                             #     az ad sp show --id http://contosoServicePrincipal
    keyvaultName: "contosoKeyVault5"          # [REQUIRED] the name of the key vault
    cloudName: ""          \t\t\t          # [OPTIONAL for Azure]
    objects:  |
      array:
        - |
          objectName: secret1                 # [REQUIRED] object name
                                              #     az keyvault secret list --vault-name \u201ccontosoKeyVault5\u201d
          objectType: secret                  # [REQUIRED] object types: secret, key, or cert
          objectVersion: ""                   # [OPTIONAL] object versions, default to latest if empty
        - |
          objectName: secret2
          objectType: secret
          objectVersion: ""
    resourceGroup: "contosoResourceGroup"     # [REQUIRED] the resource group name of the key vault
    subscriptionId: "subscriptionID"          # [REQUIRED] the subscription ID of the key vault
    tenantId: "tenantID"                      # [REQUIRED] the tenant ID of the key vault
"""


def objects_yaml(names, kind="secret"):
    items = "".join(f"  - |\n    objectName: {name}\n    objectType: {kind}\n" for name in names)
    return "array:\n" + items


def class_with(names, name="azure-kvname", vault=VAULT, tenant=TENANT, namespace="default", objects=None, extra=""):
    """A v1 class for some secrets of the tutorial's vault."""
    text = objects if objects is not None else objects_yaml(names)
    indented = "".join(f"      {line}\n" for line in text.splitlines())
    return ("apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\n"
            f"metadata:\n  name: {name}\n  namespace: {namespace}\nspec:\n  provider: azure\n  parameters:\n"
            f"    keyvaultName: {vault}\n    tenantId: {tenant}\n{extra}    objects: |\n{indented}")


def attributes(names=("secret1",), objects=None, **overrides):
    """The attributes a driver would send to the provider."""
    values = {
        "keyvaultName": VAULT, "tenantId": TENANT, "usePodIdentity": "false", "cloudName": "",
        "objects": objects if objects is not None else objects_yaml(names),
        "csi.storage.k8s.io/pod.name": "web", "csi.storage.k8s.io/pod.namespace": "default",
        "csi.storage.k8s.io/pod.uid": "11111111-2222-3333-4444-555555555555",
        "csi.storage.k8s.io/serviceAccount.name": "default", "csi.storage.k8s.io/ephemeral": "true",
        "secretProviderClass": "azure-kvname",
    }
    values.update(overrides)
    return {key: value for key, value in values.items() if value is not None}


def typed(section):
    """The shell blocks below a heading of docs/tutorial.md that begin with kubectl, as one would copy them."""
    page = (ROOT / "docs/tutorial.md").read_text()
    below = re.search(rf"^#+ {re.escape(section)}\n(.*?)(?=^#+ |\Z)", page, re.DOTALL | re.MULTILINE).group(1)
    return [block for block in re.findall(r"^```sh\n(.*?)^```$", below, re.DOTALL | re.MULTILINE) if block.startswith("kubectl ")]
