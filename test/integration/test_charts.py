"""The Helm charts: they lint, values of upstream's charts mean what they mean there, and what they install is what manifests/deploy installs."""

import json
import re

import pytest
import yaml

from charts.helm import DRIVER, EVERYTHING_DRIVER, EVERYTHING_PROVIDER, PROVIDER, helm, one, render
from harness.process import ROOT
from harness.reference import flags_document

pytestmark = pytest.mark.once
# What upstream's charts have and a values file may set, with other values than the defaults.
UPSTREAM_DRIVER = yaml.safe_load("""
linux:
  image: {repository: registry.example/driver, tag: v9, pullPolicy: Always}
  crds: {enabled: true, image: {repository: registry.example/driver-crds, tag: v8}, resources: {}, annotations: {}}
  driver: {resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 5m, memory: 20Mi}}}
  registrarImage: {repository: registry.example/registrar, tag: v2, pullPolicy: Always}
  registrar: {resources: {}, logVerbosity: 5}
  livenessProbeImage: {repository: registry.example/livenessprobe, tag: v2, pullPolicy: Always}
  livenessProbe: {resources: {}}
  updateStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 10%}}
  kubeletRootDir: /var/snap/microk8s/common/var/lib/kubelet
  providersDir: /run/providers
  additionalProvidersDirs: [/a, /b]
  nodeSelector: {pool: secrets}
  tolerations: []
  metricsAddr: ":9090"
  env: [{name: HTTPS_PROXY, value: "http://proxy"}]
  priorityClassName: system-node-critical
  daemonsetAnnotations: {x: "1"}
  podAnnotations: {x: "2"}
  podLabels: {x: "3"}
windows: {enabled: false, image: {repository: r, tag: t}}
logVerbosity: 3
logFormatJSON: true
livenessProbe: {port: 9999, logLevel: 4}
maxCallRecvMsgSize: 8388608
rbac: {install: true, pspEnabled: true}
syncSecret: {enabled: true}
enableSecretRotation: true
rotationPollInterval: 5m
filteredWatchSecret: false
providerHealthCheck: true
providerHealthCheckInterval: 1m
imagePullSecrets: [{name: regcred}]
tokenRequests: [{audience: a}, {audience: b, expirationSeconds: 600}]
""")


def container(daemon_set):
    (found,) = daemon_set["spec"]["template"]["spec"]["containers"]
    return found


def flags_of(item):
    return dict(argument.lstrip("-").split("=", 1) for argument in item["args"])


@pytest.fixture(scope="module")
def plain():
    return [item for path in sorted((ROOT / "manifests/deploy").glob("*.yaml")) for item in yaml.safe_load_all(path.read_text()) if item]


@pytest.mark.parametrize("chart, values", [(DRIVER, None), (DRIVER, EVERYTHING_DRIVER), (DRIVER, UPSTREAM_DRIVER), (PROVIDER, None),
                                           (PROVIDER, EVERYTHING_PROVIDER)])
def test_the_charts_lint(chart, values):
    status, output, errors = helm("lint", "--strict", chart, values=values)
    assert status == 0, output + errors
    assert "[WARNING]" not in output


def test_the_driver_chart_installs_the_plain_manifests(plain):
    theirs = one(plain, "DaemonSet", "csi-secrets-store")
    ours = one(render(DRIVER, {"enableSecretRotation": True}), "DaemonSet")
    expected, got = flags_of(container(theirs)), flags_of(container(ours))
    assert got == {**expected, "provider-health-check-interval": "2m", "max-call-recv-msg-size": "4194304"}
    for key in ("command", "securityContext", "livenessProbe", "readinessProbe", "resources"):
        assert container(ours)[key] == container(theirs)[key], key
    mounts = {mount["mountPath"]: mount.get("mountPropagation") for mount in container(ours)["volumeMounts"]}
    assert mounts == {mount["mountPath"]: mount.get("mountPropagation") for mount in container(theirs)["volumeMounts"]}


def test_the_provider_chart_installs_the_plain_manifests(plain):
    theirs = one(plain, "DaemonSet", "csi-secrets-store-provider-azure")
    theirs = json.loads(json.dumps(theirs).replace('"providervol"', '"provider-vol"'))  # each as its upstream counterpart calls it
    ours = one(render(PROVIDER), "DaemonSet", "csi-csi-secrets-store-provider-azure")
    assert flags_of(container(ours)) == flags_of(container(theirs))
    assert ours["spec"]["updateStrategy"] == theirs["spec"]["updateStrategy"]
    for key in ("command", "securityContext", "livenessProbe", "readinessProbe", "resources", "volumeMounts"):
        assert container(ours)[key] == container(theirs)[key], key
    (init,), (their_init,) = (item["spec"]["template"]["spec"]["initContainers"] for item in (ours, theirs))
    assert {**init, "image": "", "imagePullPolicy": ""} == {**their_init, "image": "", "imagePullPolicy": ""}


@pytest.mark.parametrize("namespace", ["kube-system", "elsewhere"])
def test_roles_are_those_of_the_plain_manifests_in_the_releases_namespace(plain, namespace):
    rendered = render(DRIVER, {"syncSecret": {"enabled": True}}, namespace=namespace)
    for kind in ("ClusterRole", "ClusterRoleBinding"):
        theirs = {item["metadata"]["name"]: item for item in plain if item["kind"] == kind}
        ours = {item["metadata"]["name"]: item for item in rendered if item["kind"] == kind}
        assert set(ours) == set(theirs)
        for name, item in ours.items():
            assert item.get("rules") == theirs[name].get("rules")
            assert item.get("roleRef") == theirs[name].get("roleRef")
            assert {**theirs[name]["metadata"].get("labels", {})}.items() <= item["metadata"]["labels"].items()
            for subject in item.get("subjects", []):
                assert subject == {"kind": "ServiceAccount", "name": "secrets-store-csi-driver", "namespace": namespace}
    assert one(rendered, "ServiceAccount")["metadata"]["namespace"] == namespace


def test_no_right_on_secrets_without_sync_and_none_at_all_without_rbac():
    names = {item["metadata"]["name"] for item in render(DRIVER)}
    assert "secretproviderclasses-role" in names and "secretprovidersyncing-role" not in names
    kinds = {item["kind"] for item in render(DRIVER, {"rbac": {"install": False}})}
    assert kinds == {"DaemonSet", "CSIDriver", "NetworkPolicy", *VALIDATION}


VALIDATION = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


def validation_of(items):
    return {item["kind"]: item["spec"] for item in items
            if item["kind"] in VALIDATION and item["metadata"]["name"] == "secretproviderclass-validation"}


def test_classes_are_validated_as_the_plain_manifests_do_it(plain):
    expected = validation_of(plain)
    assert set(expected) == VALIDATION and expected["ValidatingAdmissionPolicyBinding"]["validationActions"] == ["Warn"]
    assert validation_of(render(DRIVER)) == validation_of(render(PROVIDER)) == expected
    denied = validation_of(render(DRIVER, {"classValidation": {"action": "Deny"}}))
    assert denied.pop("ValidatingAdmissionPolicyBinding")["validationActions"] == ["Deny"]
    assert denied.items() <= expected.items()


@pytest.mark.parametrize("values, where", [({"classValidation": {"enabled": False}}, {}), ({}, {"kube_version": "1.29.9"})], ids=["off", "1.29"])
def test_classes_are_not_validated_without_the_api_or_the_will(values, where):
    assert validation_of(render(DRIVER, values, **where)) == {}


def test_values_of_the_upstream_driver_chart():
    items = render(DRIVER, UPSTREAM_DRIVER)
    daemon_set = one(items, "DaemonSet")
    pod, driver = daemon_set["spec"]["template"]["spec"], container(daemon_set)
    assert driver["image"] == "registry.example/driver:v9" and driver["imagePullPolicy"] == "Always"
    assert driver["resources"]["limits"]["memory"] == "1Gi"
    kubelet = UPSTREAM_DRIVER["linux"]["kubeletRootDir"]
    assert flags_of(driver) == {
        "v": "3", "log-format-json": "true", "endpoint": "unix:///csi/csi.sock", "nodeid": "$(KUBE_NODE_NAME)", "registration-dir": "/registration",
        "kubelet-registration-path": f"{kubelet}/plugins/csi-secrets-store/csi.sock", "provider-volume": "/run/providers",
        "additional-provider-volume-paths": "/a,/b", "metrics-addr": ":9090", "health-addr": ":9999", "enable-secret-rotation": "true",
        "rotation-poll-interval": "5m", "provider-health-check": "true", "provider-health-check-interval": "1m",
        "max-call-recv-msg-size": "8388608"}
    assert {port["name"]: port["containerPort"] for port in driver["ports"]} == {"healthz": 9999, "metrics": 9090}
    assert {volume.get("hostPath", {}).get("path") for volume in pod["volumes"]} == {
        f"{kubelet}/plugins/csi-secrets-store", f"{kubelet}/plugins_registry", f"{kubelet}/pods", "/run/providers", "/a", "/b"}
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "secrets"} and "tolerations" not in pod
    assert pod["priorityClassName"] == "system-node-critical" and pod["imagePullSecrets"] == [{"name": "regcred"}]
    assert {"name": "HTTPS_PROXY", "value": "http://proxy"} in driver["env"]
    assert daemon_set["spec"]["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": "10%"}
    spec = one(items, "CSIDriver")["spec"]
    assert spec == {"podInfoOnMount": True, "attachRequired": False, "volumeLifecycleModes": ["Ephemeral"], "requiresRepublish": True,
                    "tokenRequests": UPSTREAM_DRIVER["tokenRequests"]}


def test_added_labels_replace_existing_ones_but_never_the_selector():
    values = {"linux": {"podLabels": {"app": "x", "app.kubernetes.io/version": "9", "team": "pods"}, "nodeSelector": {"kubernetes.io/os": "linux"}}}
    for chart, name in ((DRIVER, "csi-secrets-store-csi-driver"), (PROVIDER, "csi-csi-secrets-store-provider-azure")):
        daemon_set = one(render(chart, {**values, "commonLabels": {"app": "x", "team": "all"}}), "DaemonSet", name)
        labels = daemon_set["spec"]["template"]["metadata"]["labels"]
        assert daemon_set["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert labels["app.kubernetes.io/version"] == "9" and labels["team"] == "pods"
        assert daemon_set["spec"]["template"]["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
    annotations = {"kubectl.kubernetes.io/default-container": "other", "a": "b"}
    daemon_set = one(render(DRIVER, {"linux": {"podAnnotations": annotations}}), "DaemonSet")
    assert daemon_set["spec"]["template"]["metadata"]["annotations"] == annotations


def test_a_directory_of_providers_that_is_named_twice_is_mounted_once():
    """Older installations have the additional directory as the first one; the API server refuses a path that is mounted twice."""
    former = "/etc/kubernetes/secrets-store-csi-providers"
    driver = container(one(render(DRIVER, {"linux": {"providersDir": former, "additionalProvidersDirs": [former, "/a", "/a"]}}), "DaemonSet"))
    assert [mount["mountPath"] for mount in driver["volumeMounts"]][3:] == [former, "/a"]
    assert flags_of(driver)["provider-volume"] == former and flags_of(driver)["additional-provider-volume-paths"] == "/a"
    driver = container(one(render(DRIVER, {"linux": {"additionalProvidersDirs": None}}), "DaemonSet"))
    assert flags_of(driver)["additional-provider-volume-paths"] == ""


def test_the_former_directory_of_providers_is_not_searched_by_default():
    driver = container(one(render(DRIVER), "DaemonSet"))
    assert flags_of(driver)["additional-provider-volume-paths"] == ""
    assert [mount["name"] for mount in driver["volumeMounts"]] == ["plugin-dir", "registration-dir", "mountpoint-dir", "providers-dir"]


def test_the_driver_cannot_write_to_the_directories_of_providers():
    driver = container(one(render(DRIVER, {"linux": {"additionalProvidersDirs": ["/a"]}}), "DaemonSet"))
    assert {mount["mountPath"] for mount in driver["volumeMounts"] if mount.get("readOnly")} == {"/var/run/secrets-store-csi-providers", "/a"}


def own_pods(chart, values=None, **where):
    """The pod template's spec of the chart's own program."""
    items = render(chart, values, **where)
    name = "csi-secrets-store-csi-driver" if chart == DRIVER else "csi-csi-secrets-store-provider-azure"
    return one(items, "DaemonSet", name)["spec"]["template"]["spec"]


@pytest.mark.parametrize("chart", [DRIVER, PROVIDER])
@pytest.mark.parametrize("namespace, value, expected", [
    ("kube-system", "", "system-node-critical"), ("secrets", "", None), ("kube-system", "none", None), ("secrets", "mine", "mine")])
def test_pods_are_node_critical_where_every_cluster_allows_it(chart, namespace, value, expected):
    spec = own_pods(chart, {"linux": {"priorityClassName": value}}, namespace=namespace)
    assert spec.get("priorityClassName") == expected


@pytest.mark.parametrize("chart", [DRIVER, PROVIDER])
def test_the_selinux_context_is_a_value(chart):
    spec = own_pods(chart, {"linux": {"seLinuxOptions": {"type": "spc_t"}}})
    for each in (*spec["containers"], *spec.get("initContainers", [])):
        assert each["securityContext"]["seLinuxOptions"] == {"type": "spc_t"}


def test_outage_mode_is_off_until_it_is_switched_on():
    assert "serve-stale-max-age" not in flags_of(own_pods(PROVIDER)["containers"][0])
    assert flags_of(own_pods(PROVIDER, {"linux": {"serveStaleMaxAge": "90m"}})["containers"][0])["serve-stale-max-age"] == "90m"


def test_proxies_of_classes_are_allowed_to_the_provider():
    values = {"linux": {"classProxies": ["a.example:3128", "b.example:80"]}}
    flags = flags_of(own_pods(PROVIDER, values)["containers"][0])
    assert flags["class-proxies"] == "a.example:3128,b.example:80"
    assert "class-proxies" not in flags_of(own_pods(PROVIDER)["containers"][0]).keys()


def test_without_metrics_no_port_is_opened_for_them():
    items = render(DRIVER, {"linux": {"metricsAddr": ""}, "networkPolicy": {"enabled": True}})
    assert [port["name"] for port in container(one(items, "DaemonSet"))["ports"]] == ["healthz"]
    spec = one(items, "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress"] and "ingress" not in spec  # nobody but the node


@pytest.mark.parametrize("chart, name, health", [(DRIVER, "csi-secrets-store", "9808"), (PROVIDER, "csi-secrets-store-provider-azure", "8989")])
def test_by_default_nobody_but_the_node_reaches_a_health_port(plain, chart, name, health):
    items = [item for item in render(chart) if "driver" not in item["metadata"]["name"] or chart == DRIVER]
    ours, theirs = one(items, "NetworkPolicy")["spec"], one(plain, "NetworkPolicy", name)["spec"]
    assert {**ours, "podSelector": ""} == {**theirs, "podSelector": ""}
    (rule,) = ours["ingress"]
    assert len(rule["ports"]) == 1 and health not in str(rule)
    selector = ours["podSelector"]["matchLabels"]
    assert selector == one(items, "DaemonSet")["spec"]["selector"]["matchLabels"]
    assert one(plain, "DaemonSet", name)["spec"]["selector"]["matchLabels"] == theirs["podSelector"]["matchLabels"]
    policies = [item for item in render(chart, {"networkPolicy": {"enabled": False}}) if item["kind"] == "NetworkPolicy"]
    assert len(policies) == (0 if chart == DRIVER else 1)  # the driver's, which has its own value


@pytest.mark.parametrize("chart, name, ports", [(DRIVER, "csi-secrets-store-csi-driver", [443, 6443]),
                                                (PROVIDER, "csi-csi-secrets-store-provider-azure", [443, 80])])
def test_egress_is_limited_on_demand_to_any_ports(chart, name, ports):
    def allowed(values):
        spec = one(render(chart, {"networkPolicy": values}), "NetworkPolicy", name)["spec"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        return [(port["protocol"], port["port"]) for port in spec["egress"][0]["ports"]]
    dns = [("UDP", 53), ("TCP", 53)]
    assert allowed({"egress": True}) == [("TCP", port) for port in ports] + dns
    assert allowed({"egress": True, "egressPorts": [16443, 7443]}) == [("TCP", 16443), ("TCP", 7443)] + dns


@pytest.mark.parametrize("chart", [DRIVER, PROVIDER])
def test_every_ignored_value_is_named_in_the_migration_guide(chart):
    section = (ROOT / "docs/migrate.md").read_text().split("## Values without effect\n")[1].split("\n## ")[0]
    named = {word.split(".")[-1] for word in re.sub(r"\.\*`", "`", section).split("`")[1::2]}
    ignored = re.findall(r"^ *(\w+):[^#\n]*# ignored", (chart / "values.yaml").read_text(), re.MULTILINE)
    assert len(ignored) >= 4 and set(ignored) <= named


@pytest.mark.parametrize("version, in_secrets", [("1.34.9", None), ("1.35.0", True), ("1.35.1-gke.100", True)])
def test_tokens_come_with_the_secrets_where_the_server_can(version, in_secrets):
    spec = one(render(DRIVER, {"tokenRequests": [{"audience": "a"}]}, kube_version=version), "CSIDriver")["spec"]
    assert spec.get("serviceAccountTokenInSecrets") is in_secrets


@pytest.mark.parametrize("release, values, expected", [
    ("csi", {}, "csi-secrets-store-csi-driver"), ("secrets-store-csi-driver", {}, "secrets-store-csi-driver"),
    ("csi", {"fullnameOverride": "x"}, "x"), ("a" * 53, {}, ("a" * 53 + "-secrets-store-csi-driver")[:63])])
def test_names(release, values, expected):
    daemon_set = one(render(DRIVER, values, name=release), "DaemonSet")
    assert daemon_set["metadata"]["name"] == expected
    assert daemon_set["spec"]["selector"]["matchLabels"] == {"app": "secrets-store-csi-driver"}


def test_the_provider_runs_without_rights():
    daemon_set = one(render(PROVIDER), "DaemonSet", "csi-csi-secrets-store-provider-azure")
    pod = daemon_set["spec"]["template"]["spec"]
    assert "hostNetwork" not in pod and pod["automountServiceAccountToken"] is False
    assert container(daemon_set)["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}


def test_on_the_nodes_network_two_providers_do_not_overlap():
    """Their ports would be the same, and the new pod would wait for ever."""
    daemon_set = one(render(PROVIDER, {"linux": {"hostNetwork": True}}), "DaemonSet", "csi-csi-secrets-store-provider-azure")
    assert daemon_set["spec"]["template"]["spec"]["dnsPolicy"] == "ClusterFirstWithHostNet"
    assert daemon_set["spec"]["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": 1}


def test_the_driver_comes_with_the_provider_unless_disabled():
    spec = one(render(PROVIDER), "CSIDriver")["spec"]
    assert spec["tokenRequests"] == [{"audience": "api://AzureADTokenExchange"}, {"audience": "api://AKSIdentityBinding"}]
    items = render(PROVIDER, {"secrets-store-csi-driver": {"install": False}})
    assert {item["kind"] for item in items} == {"ServiceAccount", "DaemonSet", "NetworkPolicy"}


@pytest.mark.parametrize("chart, values", [(DRIVER, EVERYTHING_DRIVER), (DRIVER, UPSTREAM_DRIVER), (PROVIDER, EVERYTHING_PROVIDER)])
def test_every_flag_exists(chart, values):
    document = flags_document()
    found = [entry for item in render(chart, values) if item["kind"] == "DaemonSet" for entry in item["spec"]["template"]["spec"]["containers"]]
    assert found and all(entry["args"] for entry in found)
    for entry in found:
        section = document.split(f"## {entry['command'][0].rsplit('/', 1)[-1]}")[1].split("\n## ")[0]
        for argument in entry["args"]:
            assert f"`--{argument.lstrip('-').split('=')[0]}`" in section, argument


def test_rules_and_dashboard_name_metrics_that_exist():
    known = set(re.findall(r"^\| `(\w+)` \| (?:counter|gauge|histogram)", (ROOT / "docs/metrics.md").read_text()
                           + (ROOT / "docs/metrics-provider-azure.md").read_text(), re.MULTILINE))
    known.add("kube_daemonset_status_number_unavailable")  # of kube-state-metrics
    dashboard = json.loads((ROOT / "manifests/dashboards/secrets-store.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for path in sorted((ROOT / "manifests/dashboards").glob("alerts-*.yaml")):
        rules = [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
        # a count over a window lasts by itself; anything else must last before it alerts
        assert all(rule["annotations"]["summary"] and (rule.get("for") or "increase(" in rule["expr"]) for rule in rules)
        expressions += [rule["expr"] for rule in rules]
    assert len(expressions) > 20
    for expression in expressions:
        # what stands before a selector, a range or the end of an argument, and is no function
        names = set(re.findall(r"\b([a-z_0-9]{6,})(?=[{\[)]| ==| >)", re.sub(r"by \([^)]*\)|\"[^\"]*\"", "", expression))) - {"__rate_interval"}
        names = {name for name in names if "_" in name}
        assert names, expression
        assert {re.sub(r"_(bucket|count|sum)$", "", name) if name not in known else name for name in names} <= known, expression

