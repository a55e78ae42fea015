"""The policy that checks classes when they are written (manifests/deploy/class-validation.yaml): a warning for each mistake, none for classes that
work, and nothing is refused unless the operator wants it."""

import copy

import pytest
import yaml

from charts.helm import DRIVER, one, render
from cluster import manifests
from cluster.client import ApiError
from cluster.objects import spc
from cluster.secrets import secret_object

from harness import tutorial
from harness.process import wait_until

pytestmark = pytest.mark.once
POLICY = "secretproviderclass-validation"
INTERVAL = "secrets-store.csi.k8s.io/rotation-poll-interval"
IN_PLACE = "secrets-store.csi.k8s.io/update-in-place"
REFRESH = "secrets-store.csi.k8s.io/refresh"


def annotated(annotation, value):
    item = spc()
    item["metadata"]["annotations"] = {annotation: value}
    return item


def synced(*secrets):
    return spc(secretObjects=list(secrets))


def without(secret, *fields):
    return {name: value for name, value in secret.items() if name not in fields}


@pytest.fixture
def warnings(admin, namespace):
    """Writes a class (dry run) and returns what the policy warns of, without the prefix that names the policy."""
    def write(item):
        # validated strictly, so that no warning about an unknown field is among them
        admin.create(item, namespace, dryRun="All", fieldValidation="Ignore")
        prefix = f'299 - "Validation failed for ValidatingAdmissionPolicy \'{POLICY}\' with binding \'{POLICY}\': '
        assert all(text.startswith(prefix) or "is deprecated" in text for text in admin.warnings), admin.warnings
        return [text[len(prefix):-1] for text in admin.warnings if text.startswith(prefix)]
    wait_until(lambda: write(spc(provider="")), 40, "the policy to be in effect", pause=0.1)
    return write


BAD = {
    "provider": (spc(provider=""), "spec.provider or spec.parameters is empty"),
    "parameters": (dict(spc(), spec={"provider": "azure"}), "spec.provider or spec.parameters is empty"),
    "no spec": ({"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass", "metadata": {"name": "x"}}, "spec.provider or spec.parameters is empty"),
    "indented": (synced({"data": [{"objectName": "a", "key": "b", "secretName": "synced", "type": "Opaque"}]}),
                 "neither secretName nor type. If they are indented like the entries of data, move them"),
    "no name": (synced(without(secret_object(), "secretName")), "has no secretName"),
    "empty name": (synced(secret_object(), secret_object("")), "has no secretName"),
    "no type": (synced(secret_object(), without(secret_object("two"), "type"), without(secret_object("three"), "type")),
                "type is missing for the Secret 'two', 'three'"),
    "no data": (synced(without(secret_object(), "data")), "data is empty for the Secret 'synced'"),
    "empty data": (synced(secret_object(data=())), "data is empty for the Secret 'synced'"),
    "name": (synced(secret_object("My_Secret"), secret_object("fine"), secret_object("a..b")),
             "secretName is not a Kubernetes object name: 'My_Secret', 'a..b'"),
    "long name": (synced(secret_object("a" * 254)), "a secretName is longer than 253 characters"),
    "same name": (synced(secret_object(), secret_object("other"), secret_object(" synced ")),
                  "several entries have the same secretName, the last one counts: 'synced', 'synced'"),
    "no file": (synced(secret_object(data=[("", "key")])), "an entry of data has no objectName"),
    "no file at all": (synced({"secretName": "a", "type": "Opaque", "data": [{"key": "x"}]}), "an entry of data has no objectName"),
    "no key": (synced({"secretName": "a", "type": "Opaque", "data": [{"objectName": "x"}]}), "a key of a Secret consists of letters"),
    "key": (synced(secret_object(data=[("file", "a/b"), ("file", "ok"), ("file", "..x")])), "has 253 characters at most: 'a/b', '..x'"),
    "dot": (synced(secret_object(data=[("file", ".")])), "has 253 characters at most: '.'"),
    "long key": (synced(secret_object(data=[("file", "k" * 254)])), "has 253 characters at most: 'kkk"),
    "same key": (synced(secret_object(data=[("one", "key"), ("two", "key")])), "several entries of data have the same key, the last one counts: 'key'"),
    "reserved annotation": (synced(secret_object(annotations={"secrets-store.csi.k8s.io/written-by": "{}"})), "is written by the driver alone"),
    "many Secrets": (synced(*[secret_object(f"s{number}") for number in range(1001)]), "has more than 1000 entries"),
    **{f"interval {value}": (annotated(INTERVAL, value), f"is not a duration between 1s and 8760h, the driver ignores it: '{value}'")
       for value in ("5", "5x", "soon", "1 m", "-5m", "0", "0s", "999ms", "8761h", "8760h1s", "525601m", "31536001s", "99999999999h", "99999999m",
                     "9999999999s", "999999999999ms", "h", ".", "1s ")},
    **{f"in place {value}": (annotated(IN_PLACE, value), f"is neither 'true' nor 'false', no pod can mount this class: '{value}'")
       for value in ("yes", "True", "1", " true")},
}
GOOD = {
    "plain": spc(),
    "all fields": synced(secret_object("a.b-c", "kubernetes.io/tls", [("deep/er/crt", "tls.crt"), ("key", "tls.key"), ("ca", "ca.crt")],
                                       labels={"team": "a"}, annotations={"note": "b"})),
    "blanks that the driver removes": synced(secret_object(" synced ", "Opaque ", [("file ", " key")])),
    "keys": synced(secret_object(data=[("file", key) for key in (".hidden", "a.b", "A_-1", "k" * 253, "tls.crt", ".dockerconfigjson", "-")])),
    "the same file twice": synced(secret_object(data=[("file", "a"), ("file", "b")])),
    "the same key in two Secrets": synced(secret_object(), secret_object("other")),
    "long name": synced(secret_object("a" * 253)),
    "an unusual type": synced(secret_object(type_="example.org/own")),
    "no secretObjects": spc(secretObjects=[]),
    "refresh": annotated(REFRESH, "now and then"),
    "a hundred Secrets of ten keys": synced(*[secret_object(f"s{number}", data=[("file", f"key{key}") for key in range(10)]) for number in range(100)]),
    **{f"interval {value}": annotated(INTERVAL, value) for value in
       ("1s", "30s", "1m30s", "1.5h", "0.1h", "8760h", "525600m", "31536000s", "31536000000ms", "5s1h", "+2m", "00000001h", "1000ms", "1000000µs",
        "100000000000ns", "0.123456789h", ".5h", "5.s", "")},
    **{f"in place {value}": annotated(IN_PLACE, value) for value in ("true", "false", "")},
}


@pytest.mark.parametrize("item, words", BAD.values(), ids=BAD)
def test_a_mistake_is_warned_of_and_not_refused(warnings, item, words):
    [warning] = warnings(item)
    assert words in warning


@pytest.mark.parametrize("item", GOOD.values(), ids=GOOD)
def test_a_class_that_works_is_written_without_a_warning(warnings, item):
    assert warnings(item) == []


def test_several_mistakes_are_warned_of_one_by_one(warnings):
    item = synced(secret_object("Bad", data=[("", "a/b")]))
    item["metadata"]["annotations"] = {INTERVAL: "daily"}
    assert len(warnings(item)) == 4


def test_the_older_version_of_a_class_is_checked_too(warnings):
    item = dict(synced(secret_object("Bad")), apiVersion="secrets-store.csi.x-k8s.io/v1alpha1")
    [warning] = warnings(item)
    assert "'Bad'" in warning


EXAMPLES = [*manifests.load("examples", ("SecretProviderClass",)), dict(yaml.safe_load(tutorial.CLASS.replace("\t", " ")))]


@pytest.mark.parametrize("item", EXAMPLES, ids=lambda item: item["metadata"]["name"])
def test_our_examples_warn_of_nothing(warnings, item):
    item = copy.deepcopy(item)
    item["metadata"].pop("namespace", None)
    assert warnings(item) == []


def test_the_largest_classes_are_accepted(warnings):
    """Their checks exceed the limits of the API server for expressions, which is no reason to refuse them."""
    for item in (synced(secret_object(data=[(f"file{number}", f"key{number:06d}" + "k" * 200) for number in range(1000)])),
                 synced(*[secret_object(f"s{number}", data=[("file", f"key{key}") for key in range(20)]) for number in range(999)])):
        assert warnings(item) == []


def test_an_edit_of_other_metadata_is_not_checked_again(warnings, admin, namespace):
    """The refresh annotation of a class with mistakes does not bring its warnings again, an edit of its spec does."""
    admin.create(synced(secret_object("Bad")), namespace)
    assert admin.warnings
    admin.patch("secretproviderclasses", namespace, "azure-kvname", {"metadata": {"annotations": {REFRESH: "1"}}})
    assert admin.warnings == []
    admin.patch("secretproviderclasses", namespace, "azure-kvname", {"metadata": {"annotations": {INTERVAL: "x"}}})
    assert len(admin.warnings) == 2
    admin.patch("secretproviderclasses", namespace, "azure-kvname", {"metadata": {"annotations": {IN_PLACE: "x", INTERVAL: None}}})
    assert len(admin.warnings) == 2
    admin.patch("secretproviderclasses", namespace, "azure-kvname", {"spec": {"parameters": {"a": "b"}}})
    assert len(admin.warnings) == 2


def test_the_expressions_fit_the_definition(admin):
    """The API server's own type check has nothing to say."""
    def checked():
        return admin.get("validatingadmissionpolicies", None, POLICY).get("status", {}).get("observedGeneration")
    wait_until(checked, 30, "the type check")
    assert "expressionWarnings" not in admin.get("validatingadmissionpolicies", None, POLICY)["status"].get("typeChecking", {})


def test_with_deny_a_mistake_is_refused_and_an_older_class_can_still_be_deleted(warnings, admin, namespace):
    binding = one(render(DRIVER, {"classValidation": {"action": "Deny"}}), "ValidatingAdmissionPolicyBinding", "secretproviderclass-validation")
    binding["metadata"]["name"] = f"deny-{namespace}"
    binding["spec"]["matchResources"] = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    admin.create(dict(synced(secret_object("Bad")), metadata={"name": "older", "finalizers": ["example.org/hold"]}), namespace)
    admin.create(binding)

    def refused():
        try:
            admin.create(synced(secret_object("Bad")), namespace, dryRun="All")
        except ApiError as error:
            return error.status == 422 and "secretName is not a Kubernetes object name: 'Bad'" in str(error)
        return False
    try:
        wait_until(refused, 40, "the refusal", pause=0.1)
        admin.create(synced(secret_object()), namespace)
        admin.delete("secretproviderclasses", namespace, "older")
        admin.patch("secretproviderclasses", namespace, "older", {"metadata": {"finalizers": None}})
        assert admin.find("secretproviderclasses", namespace, "older") is None
    finally:
        admin.delete("validatingadmissionpolicybindings", None, binding["metadata"]["name"])
