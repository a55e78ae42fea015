"""The walkthrough of 2020 as data: its SecretProviderClass text, its vault, its service principal. And today's, docs/tutorial.md, to type."""

import re

import yaml

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


def class_of_2020(**values):
    """CLASS with other values for some parameters, as one edits them in."""
    text = CLASS
    for name, value in values.items():
        text, found = re.subn(rf'^(    {name}: )"[^"]*"', rf'\1"{value}"', text, flags=re.MULTILINE)
        assert found == 1, name
    return text


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


# Its commands and files, in its order.
STEPS_OF_2020 = (
    "az ad sp create-for-rbac --name contosoServicePrincipal --skip-assignment", "az aks create -n contosoAKSCluster -g contosoResourceGroup",
    "kubectl version", "az aks upgrade", "az aks show", "helm version", "helm repo add csi-secrets-store-provider-azure",
    "helm install csi-secrets-store-provider-azure/csi-secrets-store-provider-azure --generate-name", "contosoKeyVault5", "secret1", "secret2",
    "azure-kvname", "--role Reader", "az keyvault set-policy -n $KEYVAULT_NAME --secret-permissions get --spn $AZURE_CLIENT_ID",
    "kubectl create secret generic secrets-store-creds --from-literal clientid=$AZURE_CLIENT_ID --from-literal clientsecret=$AZURE_CLIENT_SECRET",
    "kubectl delete secrets secrets-store-creds", "az ad sp credential reset --name contosoServicePrincipal", "usePodIdentity: \"true\"",
    "userAssignedIdentityID: \"\"", "Managed Identity Contributor", "Virtual Machine Contributor", "helm repo add aad-pod-identity",
    "helm install pod-identity aad-pod-identity/aad-pod-identity", "az identity create -g $resourceGroupName -n $identityName", "--role \"Reader\"",
    "az keyvault set-policy -n contosoKeyVault5 --secret-permissions get --spn $clientId", "kubectl apply -f secretProviderClass.yaml",
    "kubectl apply -f updateDeployment.yaml", "kubectl apply -f podIdentityAndBinding.yaml", "AzureIdentity", "AzureIdentityBinding",
    "azure-pod-identity-binding", "azure-pod-identity-binding-selector", "kubectl apply -f podBindingDeployment.yaml", "nginx-secrets-store-inline",
    "kubectl get pods", "kubectl describe pod/nginx-secrets-store-inline", "kubectl exec -it nginx-secrets-store-inline -- ls /mnt/secrets-store/",
    "kubectl exec -it nginx-secrets-store-inline -- cat /mnt/secrets-store/secret1", "soft delete",
)
# Its names; those of classes of that time are in CLASS.
NAMES_OF_2020 = (
    "contosoServicePrincipal", "contosoResourceGroup", "contosoAKSCluster", "contosoKeyVault5", "secret1", "secret2", "secrets-store-creds",
    "azure-kvname", "nginx-secrets-store-inline", "secrets-store-inline", "/mnt/secrets-store", "azure-pod-identity-binding",
    "azure-pod-identity-binding-selector", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET",
)


def sections():
    """docs/tutorial.md as {heading: text below it}."""
    pieces = re.split(r"^#+ (.+)\n", (ROOT / "docs/tutorial.md").read_text(), flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2]))


def blocks(text):
    """Its fenced blocks."""
    return re.findall(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def typed(section):
    """The shell blocks below a heading of docs/tutorial.md that begin with kubectl, as one would copy them."""
    return [block for block in blocks(sections()[section]) if block.startswith("kubectl ")]


def applied(block):
    """The object that a typed block applies, its variables as they stand there."""
    return yaml.safe_load(re.search(r"<<EOF\n(.*?)^EOF$", block, re.DOTALL | re.MULTILINE).group(1))
