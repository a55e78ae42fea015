"""The driver's roles on the API server, changed for the time of a test."""

import copy
from contextlib import contextmanager

from cluster import manifests
from harness.process import wait_until


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


@contextmanager
def missing(admin, right):
    """The driver's roles lack one right (verb, group, resource)."""
    roles = manifests.driver_roles()
    try:
        set_roles(admin, without(roles, right), right, False)
        yield
    finally:
        set_roles(admin, roles, right, True)
