"""The repository's manifests as objects."""

import yaml

from harness.process import ROOT, wait_until

RBAC_KINDS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
DRIVER_ACCOUNT = ("kube-system", "secrets-store-csi-driver")
DRIVER_USER = "system:serviceaccount:" + ":".join(DRIVER_ACCOUNT)


def load(directory, kinds=None):
    """All objects of the YAML files in manifests/<directory>, or those of some kinds."""
    objects = []
    for path in sorted((ROOT / "manifests" / directory).glob("*.yaml")):
        objects += [item for item in yaml.safe_load_all(path.read_text()) if item is not None]
    assert objects, f"nothing in manifests/{directory}"
    return [item for item in objects if kinds is None or item["kind"] in kinds]


def crds():
    return load("crds")


def rbac():
    """ServiceAccounts, roles and bindings, exactly as an installation has them."""
    return load("deploy", RBAC_KINDS)


def class_validation():
    """The policy that checks classes when they are written, and its binding."""
    return [item for item in policies() if not item["metadata"]["name"].startswith("secrets-store-csi-driver-")]


def driver_admission():
    """The policies that confine the driver's account, and their bindings."""
    return [item for item in policies() if item["metadata"]["name"].startswith("secrets-store-csi-driver-")]


def policies():
    return load("deploy", ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"))


def driver_roles():
    """The ClusterRoles that a binding gives to the driver's service account."""
    objects = rbac()
    bound = {item["roleRef"]["name"] for item in objects if item["kind"] == "ClusterRoleBinding"
             and any((subject.get("namespace"), subject["name"]) == DRIVER_ACCOUNT for subject in item["subjects"])}
    return [item for item in objects if item["kind"] == "ClusterRole" and item["metadata"]["name"] in bound]


def rights(roles):
    """The rules of ClusterRoles as a set of (verb, group, resource)."""
    return {(verb, group, resource) for role in roles for rule in role["rules"] for group in rule["apiGroups"]
            for resource in rule["resources"] for verb in rule["verbs"]}


def establish(admin, items):
    """Applies CustomResourceDefinitions and waits until the server serves them."""
    for item in items:
        admin.apply(item)
        name = item["metadata"]["name"]

        def served(name=name):
            conditions = admin.get("customresourcedefinitions", None, name)["status"].get("conditions") or []
            return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)
        wait_until(served, 30, f"the API server to serve {name}", pause=0.02)
