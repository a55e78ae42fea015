"""Synced Secrets on a real API server: the objects, and what is in them."""

import base64

MANAGED = "secrets-store.csi.k8s.io/managed"
WRITTEN_BY = "secrets-store.csi.k8s.io/written-by"
STATUSES = "secretproviderclasspodstatuses"


def secret_object(name="synced", type_="Opaque", data=(("file", "key"),), **more):
    return {"secretName": name, "type": type_, "data": [{"objectName": path, "key": key} for path, key in data], **more}


def reference(item):
    return {"apiVersion": item["apiVersion"], "kind": item["kind"], "name": item["metadata"]["name"], "uid": item["metadata"]["uid"]}


def data_of(item):
    return {key: base64.b64decode(value) for key, value in (item.get("data") or {}).items()}


def owners_of(item):
    return [owner["name"] for owner in item["metadata"].get("ownerReferences", [])]


def requests_for(server, user, resource, since=0):
    """[(verb, status)] of this user's requests for objects of one kind."""
    return [(event["verb"], event["responseStatus"]["code"]) for event in server.requests_of(user, since)
            if event["objectRef"]["resource"] == resource]


def reported_errors(driver):
    return driver.log.count("a Kubernetes Secret could not be synced")
