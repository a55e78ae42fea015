"""secrets-store-ctl lint: files in, findings out."""

import functools
import json
import re
import subprocess
import sys
import unicodedata
from urllib.parse import unquote, urlparse

import pytest

from harness.ctl import BAD_USAGE, FAILED_HERE, ctl
from harness.process import BUILD, ROOT

CLASS = """\
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata:
  name: web-secrets
  namespace: shop
spec:
  provider: azure
  parameters:
    keyvaultName: contoso
    tenantID: tenant
    clientID: client
    objects: |
      array:
        - |
          objectName: db
          objectType: secret
        - |
          objectName: ca
          objectType: cert
          objectAlias: ca.pem
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers: []
  volumes:
    - name: secrets
      csi:
        driver: secrets-store.csi.k8s.io
        readOnly: true
        volumeAttributes:
          secretProviderClass: web-secrets
"""


def lint(scratch, text, *flags, check=False):
    path = scratch / "file.yaml"
    path.write_text(text)
    done = ctl("lint", "--output=json", *flags, path, check=check)
    found = json.loads(done.stdout)
    assert (done.returncode != 0) == (found["errors"] > 0)
    return [(f"{entry['rule']} {entry.get('line')}:{entry.get('column')}", entry["message"]) for entry in found["findings"]]


def rules(scratch, text, *flags):
    return [rule for rule, _ in lint(scratch, text, *flags)]


def test_a_good_class_and_its_pod_have_no_findings(scratch):
    assert lint(scratch, f"{CLASS}---\n{POD}", check=True) == []


def test_parameters_may_be_merged_as_kubectl_merges_them(scratch):
    merged = CLASS.replace("    keyvaultName: contoso\n    tenantID: tenant\n", "    <<: &common {keyvaultName: contoso, tenantID: tenant}\n")
    assert merged != CLASS and lint(scratch, merged, check=True) == []
    assert lint(scratch, merged.replace("contoso", "x"))[0][1].startswith("failed to get vault: Invalid vault name")
    assert "spec.parameters: << must be a map" in [message for _, message in lint(scratch, CLASS.replace("keyvaultName: contoso", "<<: contoso"))]


def test_objects_without_a_bar_are_one_mistake(scratch):
    findings = lint(scratch, CLASS.replace("objects: |", "objects:"))
    assert [message for rule, message in findings if rule.startswith("refused")] == [
        "spec.parameters: objects must be a string (a bar behind its colon makes text of the lines below)"]


@pytest.mark.parametrize("old, new, found, message", [
    ("secrets-store.csi.x-k8s.io/v1", "secrets-store.csi.x-k8s.io/v1alpha1", "deprecated-api-version 1:13", "is deprecated"),
    ("secrets-store.csi.x-k8s.io/v1", "secrets-store.csi.k8s.io/v1", "api-version 1:13", "secrets-store.csi.x-k8s.io/v1"),
    ("  provider: azure", "  provider: ''", "refused 7:3", "provider is not set in secretproviderclass shop/web-secrets"),
    ("  provider: azure", "  provider: azure\n  objects: x", "unknown-field 8:3", "objects is not known in spec"),
    ("spec:", "secretObjects: []\nspec:", "misplaced-field 6:1", "secretObjects belongs into spec"),
    ("  provider: azure", "  provider: 'azure '", "refused 7:13", 'invalid provider "azure ": a name has 1 to 30 letters'),
    ("  provider: azure", "  provider: Azure", "provider-not-found 7:13", "[hint: there is one of provider azure; the case"),
    ("kind: SecretProviderClass", "kind: SecretsProviderClass", "unknown-kind 2:7", "kind SecretsProviderClass is not known in secrets-store.csi.x-k8s.io"),
    ("kind: SecretProviderClass", "kind: secretproviderclass", "unknown-kind 2:7", "SecretProviderClass is"),
    ("kind: SecretProviderClass", "knd: SecretProviderClass", "unknown-kind 1:1", "the object has no kind; that of a class is SecretProviderClass"),
    ("  name: web-secrets", "  name: {{ .Release.Name }}", "yaml 4:None", "[hint: there is {{ in it: templates have to be rendered first, as with `helm template`]"),
    ("    clientID: client", "    clientID: 5", "refused 11:None", "spec.parameters: clientID must be a string (quote it)"),
    ("metadata:", "metadata:\n  annotations: {secrets-store.csi.k8s.io/rotation-poll-interval: often}", "rotation-annotation 4:66", "'often' is not a duration"),
    ("metadata:", "metadata:\n  annotations: {secrets-store.csi.k8s.io/update-in-place: yes please}", "refused 4:59", "'yes please' is neither 'true' nor 'false'"),
    ("    clientID: client", "    clientId: client", "unknown-parameter 11:5", "clientId is not known in spec.parameters, clientID is"),
    ("    keyvaultName: contoso\n", "", "refused 8:3", "keyvaultName is not provided"),
    ("          objectType: cert\n", "          objectType: certificate\n", "refused 19:11", "Invalid vaultObjectTypes"),
    ("          objectType: cert\n", "          objectTyp: cert\n", "unknown-field 19:11", "objectTyp is not known in an item of objects"),
    ("          objectType: cert\n", "          objectType: cert\n          objectVersionHistory: 1\n", "history-without-effect 20:33", "one file, ca.pem"),
    ("objectAlias: ca.pem", "objectAlias: /ca.pem", "refused 20:11", "file name must be a relative path"),
])
def test_mistakes_of_a_class_have_their_places(scratch, old, new, found, message):
    assert CLASS.count(old) == 1 or old == "spec:"
    findings = lint(scratch, CLASS.replace(old, new, 1))
    assert found in [rule for rule, _ in findings], findings
    assert message in dict(findings)[found]


@pytest.mark.parametrize("entries, found", [
    ("- {secretName: s, type: Opaque, data: [{objectName: db, key: k}, {objectName: ca.pem, key: l}]}", []),
    ("- {secretName: s, type: Opaque, data: [{objectName: ca, key: k}]}", ["secret-file-missing 22:57"]),
    ("- {secretName: s, type: Opaque, data: [{objectName: db, key: k}, {objectName: db, key: k}]}", ["secret-key-twice 22:70"]),
    ("- {secretName: s, type: Opaque, data: [{objectName: db, key: a/b}]}", ["secret-object 22:66"]),
    ("- {secretName: s, type: Opaque, data: [{objectName: '', key: k}]}", ["secret-object 22:57"]),
    ("- {secretName: s, data: [{objectName: db, key: k}]}", ["secret-object 22:7"]),
    ("- {secretName: s, type: opaque, data: [{objectName: db, key: k}]}", ["misspelled-type 22:29"]),
    ("- {secretName: s, type: kuberntetes.io/tls, data: [{objectName: db, key: tls.crt}]}", ["misspelled-type 22:29"]),
    ("- {secretName: s, type: tls, data: [{objectName: db, key: tls.crt}]}", ["misspelled-type 22:29"]),
    ("- {secretName: s, type: kubernetes.io/dockerconfig, data: [{objectName: db, key: k}]}", ["misspelled-type 22:29"]),
    ("- {secretName: s, type: kubernetes.io/basic-auth, data: [{objectName: db, key: user}]}", ["secret-type-keys 22:29"]),
    ("- {secretName: s, type: kubernetes.io/basic-auth, data: [{objectName: db, key: password}]}", []),
    ("- {secretName: s, type: example.com/own, data: [{objectName: db, key: k}]}", []),
    ("- {secretName: s, type: ' Opaque ', data: [{objectName: db, key: k}]}", []),
    ("- {name: s, type: Opaque, data: [{objectName: db, key: k}]}", ["secret-object 22:7", "unknown-field 22:8"]),
    ("- {secretName: S, type: Opaque, data: [{objectName: db, key: k}]}", ["secret-object 22:7"]),
    ("- {secretName: s, type: Opaque}", ["secret-object 22:7"]),
    ("- {secretName: s, type: kubernetes.io/tls, data: [{objectName: db, key: tls.crt}]}", ["secret-type-keys 22:29"]),
    ("- data: [{objectName: db, key: k, secretName: s, typ: Opaque}]", ["secret-object 22:7", "misplaced-field 22:39", "unknown-field 22:54"]),
])
def test_mistakes_in_secret_objects_have_their_places(scratch, entries, found):
    assert rules(scratch, f"{CLASS}  secretObjects:\n    {entries}\n") == found


@pytest.mark.parametrize("old, new, found", [
    ("readOnly: true", "readOnly: false", ["refused 10:19"]),
    ("        readOnly: true\n", "", ["refused 9:9"]),
    ("          secretProviderClass: web-secrets\n", "          secretProviderclass: web-secrets\n", ["unknown-field 12:11", "refused 12:11"]),
    ("          secretProviderClass: web-secrets\n", "          secretProviderClassName: web-secrets\n", ["unknown-field 12:11", "refused 12:11"]),
    ("          secretProviderClass: web-secrets\n", "          secretProviderClass: Web_Secrets\n", ["refused 12:32"]),
    ("        volumeAttributes:\n          secretProviderClass: web-secrets\n", "        secretProviderClass: web-secrets\n",
     ["refused 9:9", "misplaced-field 11:9"]),
    ("secrets-store.csi.k8s.io", "secrets-store.csi.x-k8s.io", ["driver-name 9:17"]),
    ("secrets-store.csi.k8s.io", "secrets-store-gke.csi.k8s.io", []),
    ("secrets-store.csi.k8s.io", "secrets-store.csi.deckhouse.io", []),
    ("secrets-store.csi.k8s.io", "secretstore.csi.k8s.io", ["driver-name 9:17"]),
    ("secrets-store.csi.k8s.io", "ossplugin.csi.alibabacloud.com", []),
    ("      csi:\n", "      value:\n", []),
    ("secretProviderClass: web-secrets", "secretProviderClass: web-secret", ["misspelled-class 12:32"]),
    ("secretProviderClass: web-secrets", "secretProviderClass: something-else", []),
    ("        readOnly: true\n", "        readOnly: true\n        volumeHandle: x\n", ["persistent-volume 11:23"]),
    ("        volumeAttributes:\n", "        volumeAttributes:\n          nodePublishSecretRef: x\n", ["misplaced-field 12:11"]),
    ("        readOnly: true\n", "        readOnly: true\n        nodePublishSecretRef: creds\n", ["volume-field 11:31"]),
    ("        volumeAttributes:\n          secretProviderClass: web-secrets\n", "        volumeAttributes: web-secrets\n",
     ["volume-field 11:27", "refused 11:27"]),
    ("        driver: secrets-store.csi.k8s.io\n        readOnly: true\n        volumeAttributes:\n          secret",
     "      driver: secrets-store.csi.k8s.io\n      readOnly: true\n      volumeAttributes:\n        secret",
     ["misplaced-field 9:7", "misplaced-field 10:7", "misplaced-field 11:7"]),
])
def test_mistakes_of_a_volume_have_their_places(scratch, old, new, found):
    assert old in POD
    assert rules(scratch, f"{POD.replace(old, new)}---\n{CLASS}") == found


def test_a_class_with_a_service_principal_needs_the_secret_of_its_volume(scratch):
    """In whatever order the files have them."""
    service_principal = CLASS.replace("    clientID: client\n", "")
    with_secret = POD.replace("        readOnly: true\n", "        readOnly: true\n        nodePublishSecretRef: {name: creds}\n")
    message = "failed to build auth config for mode None: failed to get credentials, nodePublishSecretRef secret is not set"
    assert lint(scratch, f"{POD}---\n{service_principal}") == [("refused 12:32", message)]
    assert lint(scratch, f"{service_principal}---\n{POD}") == [("refused 32:32", message)]
    assert lint(scratch, f"{service_principal}---\n{with_secret}") == []
    assert lint(scratch, f"{service_principal}---\n{POD.replace('shop', 'other')}") == []
    assert lint(scratch, f"{CLASS}---\n{POD}") == []


def test_a_name_in_another_namespace_is_another_class(scratch):
    assert rules(scratch, f"{POD.replace('web-secrets', 'web-secret')}---\n{CLASS.replace('shop', 'other')}") == []


def workload(kind, indent, *path):
    """An object that has the volumes of POD below `path`."""
    text = f"apiVersion: x/v1\nkind: {kind}\nmetadata: {{name: w}}\n"
    for depth, key in enumerate(path):
        text += f"{'  ' * depth}{key}:\n"
    volumes = POD[POD.index("  volumes:"):].replace("        readOnly: true\n", "")
    return text + "".join(f"{indent}{line}\n" for line in volumes.splitlines())


@pytest.mark.parametrize("text", [
    workload("Deployment", "    ", "spec", "template", "spec"),
    workload("CronJob", "        ", "spec", "jobTemplate", "spec", "template", "spec"),
    workload("Rollout", "  ", "spec", "anything"),
    json.dumps({"apiVersion": "v1", "kind": "List", "items": [{"kind": "Pod", "spec": {"volumes": [
        {"csi": {"driver": "secrets-store.csi.k8s.io", "volumeAttributes": {"secretProviderClass": "a"}}}]}}]}),
], ids=["Deployment", "CronJob", "Rollout", "JSON"])
def test_volumes_are_found_wherever_they_are(scratch, text):
    found = lint(scratch, text)
    assert [rule.split()[0] for rule, _ in found] == ["refused"]
    assert found[0][1] == "readOnly is not true in the volume: secrets can only be mounted read-only"


def test_the_output_of_helm_is_read_document_by_document(scratch):
    """Other objects are not even read: here one is broken, and one is larger than the parser takes."""
    text = ("---\n# Source: chart/templates/a.yaml\nkind: ConfigMap\ndata: {a: [}\n---\n# Source: chart/templates/crd.yaml\nkind: Large\nitems:\n" +
            "- {a: b}\n" * 20000 + f"---\n# Source: chart/templates/class.yaml\n{CLASS.replace('ca.pem', 'ca.key')}")
    assert rules(scratch, text) == [f"alias-of-other-content {20008 + 2 + 20}:24"]


def test_a_broken_document_hides_no_other(scratch):
    text = f"kind: SecretProviderClass\nspec: [\n---\n{CLASS.replace('/v1', '/v1alpha1')}---\nkind: SecretProviderClass\nname: {{{{ .Values.name }}}}\n"
    assert [rule.split(":")[0] for rule in rules(scratch, text)] == ["yaml 2", "deprecated-api-version 4", "yaml 26"]


@pytest.mark.parametrize("mark", ["\ufeff", ""], ids=["marked", "bare"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_file_that_cannot_be_read_is_not_one_without_classes(scratch, encoding, mark):
    """What an old PowerShell writes with `>`."""
    (scratch / "file.yaml").write_bytes(f"{mark}{CLASS}".encode(encoding))
    done = ctl("lint", scratch / "file.yaml", check=False)
    assert done.returncode == 1 and "file.yaml:1:1: error: the file is UTF-16 or UTF-32: save it as UTF-8 [yaml]" in done.stdout


def test_a_list_of_classes(scratch):
    items = "".join(f"- {''.join(f'  {line}' + chr(10) for line in CLASS.splitlines())[2:]}" for _ in range(2))
    text = f"apiVersion: v1\nkind: List\nitems:\n{items}".replace("objectType: cert", "objectType: crt")
    assert rules(scratch, text) == ["refused 22:13", "refused 42:13"]


# ---- output and exit status -----------------------------------------------------------------------------------------------------------


BAD = CLASS.replace("objectType: cert", "objectType: crt").replace("clientID", "clientId")


def test_text_is_one_line_for_each_finding_and_the_totals(scratch):
    path = scratch / "bad.yaml"
    path.write_text(BAD)
    done = ctl("lint", path, check=False)
    assert done.returncode == FAILED_HERE
    lines = done.stdout.splitlines()
    assert lines[0] == f"{path}:11:5: warning: clientId is not known in spec.parameters, clientID is [unknown-parameter]"
    assert lines[1].startswith(f"{path}:19:11: error: failed to get objectType:crt, objectName:ca") and lines[1].endswith(" [refused]")
    assert len(lines) == 2 and done.stderr == "classes: 1, volumes: 0; errors: 1, warnings: 1, notes: 0\n"


# what a terminal obeys, hides or reorders a line by, as Unicode knows it; some characters of Cf are visible
VISIBLE = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}


@functools.cache
def hidden():
    """The set of these; not at import, because every worker imports every test."""
    return {chr(code) for code in range(1, sys.maxunicode + 1)
            if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp") and code not in VISIBLE}


def hidden_in(text):
    return {character for character in text if character in hidden()}


@pytest.mark.parametrize("place", [("objectType: secret", "objectType: {}"), ("  parameters:", "  {}: x\n  parameters:"),
                                   ("    clientID:", "    {}: x\n    clientID:"), ("name: web-secrets", "name: {}")])
def test_no_character_of_a_class_hides_or_reorders_the_text(scratch, place):
    """In any place of a class, and in the name of its file. Few at a time: a finding has a longest text."""
    old, new = place
    characters = sorted(hidden())
    for at in range(0, len(characters), 20):
        name = json.dumps("db" + "x".join(characters[at:at + 20]) + "]")  # an escape of JSON is one of YAML
        path = scratch / "a\u202e\nb.yaml"
        path.write_text(CLASS.replace(old, new.format(name), 1))
        done = ctl("lint", path, check=False)
        assert done.stdout.count(r"a\u202e\nb.yaml:") == len(done.stdout.splitlines()) > 0, done
        assert hidden_in(done.stdout + done.stderr) == {"\n"}, done
        for output in ("json", "sarif"):
            json.loads(ctl("lint", f"--output={output}", path, check=False).stdout)


def test_sarif_has_what_the_standard_requires(scratch):
    path = scratch / "a b.yaml"
    path.write_text(BAD)
    log = json.loads(ctl("lint", "--output=sarif", path, check=False).stdout)
    assert log["version"] == "2.1.0" and len(log["runs"]) == 1
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "secrets-store-ctl" and run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(ids) == len(set(ids)) == 2
    assert [(result["ruleId"], result["level"]) for result in run["results"]] == [("unknown-parameter", "warning"), ("refused", "error")]
    for result in run["results"]:
        assert result["ruleId"] in ids and result["message"]["text"]
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        assert unquote(urlparse(physical["artifactLocation"]["uri"]).path) == str(path)
        assert physical["region"]["startLine"] >= 1 and physical["region"]["startColumn"] >= 1


def test_standard_input_and_several_files(scratch):
    (scratch / "pod.yaml").write_text(POD.replace("web-secrets", "web-secrts"))
    argv = [BUILD / "bin/secrets-store-ctl", "lint", "--output", "json", scratch / "pod.yaml", "-"]
    done = subprocess.run(argv, input=CLASS, capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(done.stdout)
    assert (found["classes"], found["volumes"]) == (1, 1)
    assert [(entry["rule"], entry["file"]) for entry in found["findings"]] == [("misspelled-class", str(scratch / "pod.yaml"))]


def test_warnings_count_with_strict(scratch):
    (scratch / "file.yaml").write_text(CLASS.replace("/v1", "/v1alpha1"))
    assert ctl("lint", scratch / "file.yaml").returncode == 0
    assert ctl("lint", "--strict", scratch / "file.yaml", check=False).returncode == FAILED_HERE


@pytest.mark.parametrize("words, text", [
    ([], "no file: write FILE, or - for standard input"),
    (["/nonexistent/x.yaml"], "/nonexistent/x.yaml"),
    (["x.yaml", "--strict"], "flags come before files: --strict"),
    (["--output=xml", "x.yaml"], "--output is text, json or sarif, not 'xml'"),
    (["--provider=azure", "x.yaml"], "--provider needs NAME=FILE, not 'azure'"),
    (["--nosuch", "x.yaml"], "nosuch"),
])
def test_bad_usage_and_unreadable_files_have_a_status_of_their_own(words, text):
    done = ctl("lint", *words, check=False)
    assert (done.returncode, done.stdout) == (BAD_USAGE, "") and text in done.stderr


# ---- providers --------------------------------------------------------------------------------------------------------------------------


def script(scratch, body):
    path = scratch / "provider"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_any_provider_can_check_its_parameters(scratch):
    """The request it gets, and places in a block of the file."""
    response = {"version": 1, "findings": [
        {"rule": "their/rule", "level": "warning", "parameter": "objects", "line": 2, "column": 3, "message": "odd\ttext"},
        {"rule": "other", "level": "error", "parameter": "", "message": "all of it"}], "files": ["db"], "filePatterns": ["x/*"]}
    path = script(scratch, f"[ \"$*\" = lint ] || exit 1\ncat > {scratch}/request\ncat {scratch}/response")
    (scratch / "response").write_text(json.dumps(response))
    text = (CLASS.replace("provider: azure", "provider: vault") + "  secretObjects:\n    - secretName: s\n      type: Opaque\n      data:\n"
            "        - {objectName: db, key: a}\n        - {objectName: x/y, key: b}\n        - {objectName: z, key: c}\n")
    found = lint(scratch, text, f"--provider=vault={path}")
    assert found == [("other 8:3", "all of it"), ("their/rule 14:9", "odd text"),
                     ("secret-file-missing 27:24", "no object makes the file z (there are: db, x/*)")]
    request = json.loads((scratch / "request").read_text())
    assert request["version"] == 1 and request["parameters"]["keyvaultName"] == "contoso"
    assert request["parameters"]["objects"].startswith("array:\n  - |\n    objectName: db\n")


@pytest.mark.parametrize("body, text", [
    ("exit 3", "lint ended with status 3"),
    ("kill -9 $$", "lint was ended by signal 9"),
    ("echo no", "the response of"),
    ("echo '{\"version\": 2}'", "version is not 1"),
    ("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", "lint"),
])
def test_a_provider_that_fails_is_a_warning(scratch, body, text):
    found = lint(scratch, CLASS, f"--provider=azure={script(scratch, body)}", check=True)
    assert [rule for rule, _ in found] == ["provider-failed 7:13"] and text in found[0][1]


@pytest.mark.slow
@pytest.mark.parametrize("body", ["exec sleep 600", "trap '' ALRM; exec sleep 600"], ids=["", "ignores the alarm"])
def test_a_provider_that_hangs_is_ended(scratch, body):
    """Programs in Go ignore an alarm."""
    found = lint(scratch, CLASS, f"--provider=azure={script(scratch, body)}", check=True)
    assert [rule for rule, _ in found] == ["provider-failed 7:13"] and "lint took more than 30 s" in found[0][1]


def test_a_provider_without_an_executable_is_a_warning(scratch):
    found = lint(scratch, CLASS.replace("provider: azure", "provider: nosuch"), check=True)
    assert [rule for rule, _ in found] == ["provider-not-found 7:13"] and "secrets-store-provider-nosuch" in found[0][1]
    found = lint(scratch, CLASS.replace("provider: azure", "provider: ../x"))
    assert [rule for rule, _ in found] == ["refused 7:13"]


def test_the_executable_is_found_in_the_path(scratch, monkeypatch):
    script(scratch, "echo '{\"version\": 1, \"findings\": [{\"rule\": \"r\", \"level\": \"note\", \"message\": \"m\"}]}'").rename(
        scratch / "secrets-store-provider-other")
    monkeypatch.setenv("PATH", f"/nonexistent:{scratch}:/bin:/usr/bin")
    assert rules(scratch, CLASS.replace("provider: azure", "provider: other")) == ["r 8:3"]


# ---- documentation ------------------------------------------------------------------------------------------------------------------------


def test_every_rule_is_documented_with_its_level():
    declared = set()
    for directory in ("ctl", "common", "provider-azure"):
        for path in (ROOT / directory).rglob("*.c"):
            declared |= {(name, level.lower()) for name, level in
                         re.findall(r'struct lint_rule \w+ = \{"([\w-]+)",\s*FINDING_(\w+)\}', path.read_text())}
    page = (ROOT / "docs/lint.md").read_text()
    documented = set(re.findall(r"^\| `([\w-]+)` \| (error|warning|note) \|", page, re.MULTILINE))
    assert len(declared) > 25 and declared == documented
