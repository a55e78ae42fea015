"""Values of the charts: what upstream releases bring along, what stops an installation, what NOTES.txt says, README.md and the schema."""

import json
import re
import shutil

import pytest
import yaml

from charts import reference
from charts.helm import (DRIVER, EVERYTHING_DRIVER, EVERYTHING_PROVIDER, PROVIDER, notes, one, refusal, render, render_copies, template,
                         upstream_charts, with_values_of)
from cluster.manifests import rights
from harness.process import ROOT

pytestmark = pytest.mark.once
SUBCHART = "secrets-store-csi-driver"
OUR_IMAGES = {"linux": {"image": {"repository": "registry.example/ours", "tag": "0.1.0"}}}
OUR_DRIVER = {SUBCHART: OUR_IMAGES}


def merged(*values):
    result = {}
    for item in values:
        for key, value in item.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


@pytest.fixture(scope="module")
def charts():
    """The directories of the upstream charts, from their Go modules: {"driver": ..., "azure": ...}."""
    return {name: upstream_charts() / name for name in ("driver", "azure")}


@pytest.fixture(scope="module")
def upstream(charts):
    """upstream("driver" or "azure"): the values of the upstream chart."""
    return lambda name, file="values.yaml": yaml.safe_load((charts[name] / file).read_text())


def all_switches(values):
    """The same values with every switch the other way round."""
    return {key: all_switches(value) if isinstance(value, dict) else not value if isinstance(value, bool) else value for key, value in values.items()}


# Windows and a proxy of Azure Arc stop an installation, see below.
WITHOUT_STOPS = {"windows": {"enabled": False}, SUBCHART: {"windows": {"enabled": False}}}


@pytest.mark.parametrize("switched", [False, True])
@pytest.mark.parametrize("way", ["values file", "reused"])
def test_values_of_the_upstream_charts_render(upstream, way, switched, tmp_path):
    """As a values file, and with --reuse-values of a release of theirs: then none of our defaults is there."""
    for chart, name, file, ours in ((DRIVER, "driver", "values.yaml", OUR_IMAGES), (PROVIDER, "azure", "values.yaml", merged(OUR_IMAGES, OUR_DRIVER)),
                                    (PROVIDER, "azure", "arc-values.yaml", merged(OUR_IMAGES, OUR_DRIVER))):
        values = upstream(name, file)
        if switched:
            values = merged(all_switches(values), {"linux": {"enabled": True}}, {SUBCHART: {"install": True, "linux": {"enabled": True}}})
        values = merged(values, WITHOUT_STOPS, ours)
        if "Azure" in values:
            values["Azure"]["proxySettings"]["isProxyEnabled"] = False
        where = with_values_of(chart, values, tmp_path / name / file) if way == "reused" else chart
        items = render(where, None if way == "reused" else values, kube_version="1.37.0")
        daemon_sets = [item for item in items if item["kind"] == "DaemonSet"]
        assert len(daemon_sets) == (1 if chart == DRIVER else 2)
        for item in daemon_sets:
            (container,) = item["spec"]["template"]["spec"]["containers"]
            assert container["image"] == "registry.example/ours:0.1.0"
            given = [str(argument) for argument in container["args"] if argument != "--additional-provider-volume-paths="]  # none is the default
            assert all(not argument.endswith(("=", "<nil>")) for argument in given), given
        assert "null" not in json.dumps([one(items, "CSIDriver"), daemon_sets])


@pytest.mark.parametrize("chart", [DRIVER, PROVIDER])
def test_the_chart_renders_without_any_of_its_values(chart, tmp_path):
    """Each one missing by itself, and all of them, as in a release of a version that did not have them yet."""
    expected = [item["kind"] for item in render(chart)]
    documented = [path for path, _ in reference.documented(chart)]
    paths = [(), *sorted({path[:depth] for path in documented for depth in range(1, len(path) + 1)})]
    assert len(paths) > 60
    for path, items in zip(paths, render_copies(chart, [without(reference.defaults(chart), path) for path in paths], tmp_path)):
        assert [item["kind"] for item in items] == expected, path
        assert "<nil>" not in json.dumps(items) and "null" not in json.dumps(items), path


def without(values, path):
    """A copy of the values that has no `path`; none at all for the empty path."""
    if not path:
        return {}
    rest = {key: value for key, value in values.items() if key != path[0]}
    return rest if len(path) == 1 else {**rest, path[0]: without(values[path[0]], path[1:])}


def test_without_defaults_the_driver_is_the_same(tmp_path):
    """But for what null removes: resources, affinity, tolerations, further directories."""
    bare = one(render(with_values_of(DRIVER, {}, tmp_path)), "DaemonSet")["spec"]["template"]["spec"]
    usual = one(render(DRIVER), "DaemonSet")["spec"]["template"]["spec"]
    given_up = {"--additional-provider-volume-paths", "--provider-health-check-interval", "--max-call-recv-msg-size"}

    def arguments(pod):
        return {text for text in pod["containers"][0]["args"] if text.split("=")[0] not in given_up}
    assert arguments(bare) == arguments(usual)
    for key in ("image", "command", "ports", "securityContext", "livenessProbe", "readinessProbe"):
        assert bare["containers"][0][key] == usual["containers"][0][key], key
    assert bare["serviceAccountName"] == usual["serviceAccountName"] and bare["automountServiceAccountToken"] is True


def test_daemonsets_keep_the_names_and_selectors_of_the_upstream_release(upstream):
    """A switch is then a rolling update. Of a release `csi` of the Azure chart these are the names."""
    values = merged(upstream("azure"), WITHOUT_STOPS, OUR_IMAGES, OUR_DRIVER)
    for given in (values, None):
        sets = {item["metadata"]["name"]: item["spec"]["selector"] for item in render(PROVIDER, given) if item["kind"] == "DaemonSet"}
        assert sets == {"secrets-store-csi-driver": {"matchLabels": {"app": "secrets-store-csi-driver"}},
                        "csi-csi-secrets-store-provider-azure": {"matchLabels": {"app": "csi-secrets-store-provider-azure"}}}


def names_of(daemon_set):
    """What a patch names in a pod: (where, name, to what it belongs)."""
    pod = daemon_set["spec"]["template"]["spec"]
    for volume in pod["volumes"]:
        yield "volume", volume["name"], volume.get("hostPath", {}).get("path", "").rstrip("/")
    for container in pod["containers"]:
        yield from (("port", container["name"], port["name"]) for port in container["ports"])
        yield from (("mount", mount["name"], mount["mountPath"]) for mount in container["volumeMounts"])


@pytest.mark.parametrize("chart, name, container", [(DRIVER, "driver", "secrets-store"), (PROVIDER, "azure", "provider-azure-installer")])
def test_containers_volumes_and_ports_keep_the_names_of_the_upstream_release(charts, tmp_path, chart, name, container):
    """Kustomize and others merge a patch by name: with another name it would add a volume that nothing uses."""
    shutil.copytree(charts[name], tmp_path / name)
    description = tmp_path / name / "Chart.yaml"
    description.write_text(description.read_text().partition("dependencies:")[0])  # the driver's chart is not there
    theirs = next(item for item in render(tmp_path / name) if item["kind"] == "DaemonSet")
    pod = theirs["spec"]["template"]["spec"]
    pod["containers"] = [item for item in pod["containers"] if item["name"] == container]
    former = {"linux": {"additionalProvidersDirs": ["/etc/kubernetes/secrets-store-csi-providers"]}} if chart == DRIVER else {}
    ours = one(render(chart, former), "DaemonSet", theirs["metadata"]["name"])
    assert len(set(names_of(theirs))) > 2 and set(names_of(theirs)) <= set(names_of(ours))
    # the plain manifests have the same volumes, and their own names of two
    plain = next(item for item in yaml.safe_load_all((ROOT / PLAIN[name]).read_text()) if item and item["kind"] == "DaemonSet")
    assert {entry for entry in names_of(ours) if "providers-dir-0" not in entry} == {
        tuple("provider-vol" if word == "providervol" else word for word in entry) for entry in names_of(plain)}


PLAIN = {"driver": "manifests/deploy/driver.yaml", "azure": "manifests/deploy/provider-azure.yaml"}
UPSTREAM_DRIVERS = ["registry.k8s.io/csi-secrets-store/driver", "k8s.gcr.io/csi-secrets-store/driver", "mirror.example:5000/a/b/csi-secrets-store/driver",
                    "mcr.microsoft.com/oss/v2/kubernetes-csi/secrets-store/driver", "mirror.example/csi-secrets-store-driver",
                    "mirror.example/secrets-store-csi-driver", "registry.example/CSI-Secrets-Store/Driver", "secrets-store/driver",
                    "registry.k8s.io/csi-secrets-store/driver:v1.6.0", "registry.k8s.io/csi-secrets-store/driver-crds"]
UPSTREAM_PROVIDERS = ["mcr.microsoft.com/oss/v2/azure/secrets-store/provider-azure", "mcr.microsoft.com/k8s/csi/secrets-store/provider-azure",
                      "mirror.example/provider-azure", "mirror.example/oss/secrets-store/provider-azure@sha256:" + "0" * 64,
                      "mirror.example/secrets-store-csi-driver-provider-azure", "ghcr.example/csi-secrets-store-provider-azure"]


@pytest.mark.parametrize("repository", [*UPSTREAM_DRIVERS, "registry.example/secrets-store-provider-azure"])
def test_an_image_of_another_driver_stops_the_installation(repository):
    image = {"repository": repository, "tag": "v1.6.0"}
    sentence = refusal(DRIVER, {"linux": {"image": image}})
    assert sentence.startswith(f'linux.image.repository is "{repository}"') and "set linux.image.repository" in sentence
    assert refusal(PROVIDER, {SUBCHART: {"linux": {"image": image}}}).startswith("secrets-store-csi-driver.linux.image.repository is ")
    render(DRIVER, {"linux": {"image": {**image, "skipCheck": True}}})
    render(DRIVER, {"linux": {"image": image, "enabled": False}})


@pytest.mark.parametrize("repository", [*UPSTREAM_PROVIDERS, "registry.example/secrets-store-driver"])
def test_an_image_of_another_provider_stops_the_installation(repository):
    values = {"linux": {"image": {"repository": repository}}}
    sentence = refusal(PROVIDER, values)
    assert sentence.startswith(f'linux.image.repository is "{repository}"') and "set linux.image.repository" in sentence
    render(PROVIDER, merged(values, {"linux": {"image": {"skipCheck": True}}}))


@pytest.mark.parametrize("prefix", ["localhost/", "registry.example/", "registry.example:5000/team/", "registry.example/mirror/our-", ""])
def test_our_images_do_not(prefix):
    render(PROVIDER, {"linux": {"image": {"repository": f"{prefix}secrets-store-provider-azure"}},
                      SUBCHART: {"linux": {"image": {"repository": f"{prefix}secrets-store-driver"}}}})


def test_a_tag_left_over_from_the_upstream_release_stops_the_installation():
    """`helm upgrade --reuse-values --set linux.image.repository=...`: nothing has that tag, and every node would lose its driver."""
    values = {"linux": {"image": {"tag": "v1.6.0"}, "crds": {"image": {"tag": "v1.6.0"}}}}
    assert refusal(DRIVER, values).startswith('linux.image.tag is "v1.6.0", the tag of the upstream image linux.crds.image: set ')
    render(DRIVER, merged(values, {"linux": {"image": {"digest": "sha256:" + "0" * 64}}}))
    render(DRIVER, merged(values, {"linux": {"image": {"tag": None}}}))
    values = {"linux": {"image": {"tag": "v1.8.2"}}, "windows": {"image": {"tag": "v1.8.2"}}}
    assert refusal(PROVIDER, values).startswith('linux.image.tag is "v1.8.2", the tag of the upstream image windows.image: set ')
    render(PROVIDER, merged(values, {"linux": {"image": {"tag": "0.1.0"}}}))


def test_windows_stops_the_installation_unless_its_loss_is_meant():
    windows = {"windows": {"enabled": True}}
    for chart, values, prefix in ((DRIVER, windows, ""), (PROVIDER, windows, ""), (PROVIDER, {SUBCHART: windows}, f"{SUBCHART}.")):
        sentence = refusal(chart, values)
        assert sentence.startswith(f"{prefix}windows.enabled is true") and f"{prefix}windows.acceptRemoval=true" in sentence
    meant = {"windows": {"enabled": True, "acceptRemoval": True}}
    assert "WARNING: windows.acceptRemoval" in notes(DRIVER, meant)
    assert notes(PROVIDER, {**meant, SUBCHART: meant}).count("Windows") == 2


def test_a_proxy_of_azure_arc_stops_the_installation():
    proxy = {"Azure": {"proxySettings": {"isProxyEnabled": True, "httpsProxy": "http://proxy:3128"}}}
    assert "set linux.env with HTTPS_PROXY" in refusal(PROVIDER, {"enableArcExtension": True, **proxy})
    render(PROVIDER, proxy)


def test_sync_has_its_role_whoever_installs_the_others():
    items = render(DRIVER, {"rbac": {"install": False}, "syncSecret": {"enabled": True}})
    assert {(item["kind"], item["metadata"]["name"]) for item in items if "Role" in item["kind"]} == {
        ("ClusterRole", "secretprovidersyncing-role"), ("ClusterRoleBinding", "secretprovidersyncing-rolebinding")}


def upstream_rights(upstream_chart, *sets):
    status, output, errors = template(upstream_chart, None, *sets)
    assert status == 0, errors
    items = [item for item in yaml.safe_load_all(output) if item and item["kind"] == "ClusterRole"]
    return rights([item for item in items if item["metadata"]["name"] in ("secretproviderclasses-role", "secretprovidersyncing-role")])


@pytest.mark.parametrize("sync", [False, True])
def test_the_upstream_driver_can_keep_its_rights_until_the_last_node_has_switched(charts, sync):
    items = render(DRIVER, {"rbac": {"upstreamDriver": True}, "syncSecret": {"enabled": sync}})
    bound = {item["roleRef"]["name"] for item in items if item["kind"] == "ClusterRoleBinding"}
    ours = rights([item for item in items if item["kind"] == "ClusterRole" and item["metadata"]["name"] in bound])
    theirs = upstream_rights(charts["driver"], "--set", f"syncSecret.enabled={str(sync).lower()}")
    assert len(theirs) > 20 and theirs <= ours
    kept = rights(item for item in render(DRIVER, {"syncSecret": {"enabled": sync}}) if item["kind"] == "ClusterRole" and item["metadata"]["name"] in bound)
    assert not any(verb in ("list", "watch") for verb, _, _ in kept)


@pytest.mark.parametrize("policy, host, expected", [("ClusterFirstWithHostNet", False, "ClusterFirstWithHostNet"), ("Default", True, "Default"),
                                                    ("Default", False, "Default"), ("", True, None), (None, False, None)])
def test_the_dns_policy_is_honoured(policy, host, expected):
    daemon_set = one(render(PROVIDER, {"linux": {"dnsPolicy": policy, "hostNetwork": host}}), "DaemonSet", "csi-csi-secrets-store-provider-azure")
    assert daemon_set["spec"]["template"]["spec"].get("dnsPolicy") == expected


def test_privileged_reaches_both_containers_of_the_provider():
    daemon_set = one(render(PROVIDER, {"linux": {"privileged": True}}), "DaemonSet", "csi-csi-secrets-store-provider-azure")
    pod = daemon_set["spec"]["template"]["spec"]
    for container in (*pod["initContainers"], *pod["containers"]):
        context = container["securityContext"]
        assert context["privileged"] is True
        # Kubernetes refuses privileged beside allowPrivilegeEscalation: false
        assert "allowPrivilegeEscalation" not in context and "capabilities" not in context


@pytest.mark.parametrize("version, expected", [("1.36.9", None), ("1.37.0", True), ("1.37.2-gke.1", True)])
def test_the_scheduler_is_asked_to_wait_for_the_driver_where_kubernetes_can(version, expected):
    values = {"preventPodSchedulingIfMissing": True}
    assert one(render(DRIVER, values, kube_version=version), "CSIDriver")["spec"].get("preventPodSchedulingIfMissing") is expected
    assert "preventPodSchedulingIfMissing" not in one(render(DRIVER, kube_version=version), "CSIDriver")["spec"]
    text = notes(DRIVER, values, kube_version=version)
    assert ("preventPodSchedulingIfMissing has no effect" in text) == (expected is None)
    assert ("applies it to volumes with a claim only" in text) == (expected is True)


def test_the_csidriver_object_admits_its_volumes_on_openshift():
    label = {"security.openshift.io/csi-ephemeral-volume-profile": "restricted"}
    plain = next(item for item in yaml.safe_load_all((ROOT / "manifests/deploy/csidriver.yaml").read_text()) if item)
    for item in (plain, one(render(DRIVER), "CSIDriver"), one(render(DRIVER, {"commonLabels": {"a": "b"}}), "CSIDriver")):
        assert label.items() <= item["metadata"]["labels"].items()


def test_an_update_strategy_without_rolling_update():
    for chart, name in ((DRIVER, "csi-secrets-store-csi-driver"), (PROVIDER, "csi-csi-secrets-store-provider-azure")):
        daemon_set = one(render(chart, {"linux": {"updateStrategy": {"type": "OnDelete"}}}), "DaemonSet", name)
        assert daemon_set["spec"]["updateStrategy"] == {"type": "OnDelete"}


def test_a_slash_at_the_end_of_the_kubelets_directory_is_dropped():
    pod = one(render(DRIVER, {"linux": {"kubeletRootDir": "/var/lib/k0s/kubelet/"}}), "DaemonSet")["spec"]["template"]["spec"]
    assert "//" not in json.dumps([pod["volumes"], pod["containers"][0]["volumeMounts"], pod["containers"][0]["args"]]).replace(":///", "")


# --- NOTES.txt


def test_notes_say_what_was_installed_and_how_to_check_it():
    text = notes(DRIVER, {"enableSecretRotation": True, "rotationPollInterval": "30s", "syncSecret": {"enabled": True}})
    assert "DaemonSet csi-secrets-store-csi-driver in the namespace kube-system" in text and "localhost/secrets-store-driver:0.1.0" in text
    assert "Rotation: on, every 30s" in text and "Kubernetes Secrets: on" in text and "kubectl get csinode" in text
    assert "WARNING" not in text and "definitions" not in text
    text = notes(PROVIDER)
    assert "kubectl get daemonset secrets-store-csi-driver csi-csi-secrets-store-provider-azure -n kube-system" in text
    assert "Rotation: off (secrets-store-csi-driver.enableSecretRotation=true" in text and "secrets-store-csi-driver.syncSecret.enabled=true" in text
    assert "WARNING" not in text
    assert "not part of this release" in notes(PROVIDER, {SUBCHART: {"install": False}})
    for chart in (DRIVER, PROVIDER):
        assert "helm show crds CHART | kubectl apply -f -" in notes(chart, None, "--is-upgrade")


@pytest.mark.parametrize("values, warning", [
    ({"enableSecretRotation": True}, "enableSecretRotation has no effect here"),
    ({"rotationPollInterval": "1m"}, "set secrets-store-csi-driver.rotationPollInterval"),
    ({"syncSecret": {"enabled": True}}, "set secrets-store-csi-driver.syncSecret"),
    ({"tokenRequests": []}, "set secrets-store-csi-driver.tokenRequests"),
    ({"linux": {"providersDir": "/run/p"}}, "does not search linux.providersDir /run/p"),
    ({"linux": {"image": {"tag": "v9"}}}, "linux.image.tag is v9"),
    ({SUBCHART: {"rotationPollInterval": "1m"}}, "secrets-store-csi-driver.rotationPollInterval has no effect without"),
    ({SUBCHART: {"syncSecret": {"enabled": True}, "rbac": {"install": False}}}, "secrets-store-csi-driver.syncSecret.enabled gives a role to"),
    ({SUBCHART: {"linux": {"extraArgs": ["--enable-secret-rotation"]}}}, "requiresRepublish"),
    ({SUBCHART: {"rbac": {"upstreamDriver": True}}}, "secrets-store-csi-driver.rbac.upstreamDriver"),
    ({SUBCHART: {"automountServiceAccountToken": False}}, "automountServiceAccountToken=false"),
], ids=lambda value: value.split()[0] if isinstance(value, str) else "")
def test_notes_warn_of_values_that_do_not_do_what_they_seem_to(values, warning):
    (line,) = [line for line in notes(PROVIDER, values).splitlines() if line.startswith("WARNING: ")]
    assert warning in line


# --- README.md and values.schema.json


@pytest.mark.parametrize("chart", [DRIVER, PROVIDER])
def test_readme_and_schema_are_those_of_the_values(chart):
    expected = {"README.md": reference.readme(chart), "values.schema.json": reference.schema(chart)}
    for name, text in expected.items():
        assert (chart / name).read_text() == text, "make reference writes it"


@pytest.mark.parametrize("chart", [DRIVER, PROVIDER])
def test_every_value_has_a_comment(chart):
    def leaves(values, path=()):
        for key, value in values.items():
            yield from leaves(value, (*path, key)) if isinstance(value, dict) and value else [(*path, key)]
    documented = [path for path, _ in reference.documented(chart)]
    for leaf in leaves(reference.defaults(chart)):
        assert any(leaf[:len(path)] == path for path in documented), leaf


@pytest.mark.parametrize("values, where", [
    ({"enableSecretRotation": "false"}, "enableSecretRotation"), ({"rotationPollInterval": "5"}, "rotationPollInterval"),
    ({"rotationPollInterval": "2 min"}, "rotationPollInterval"), ({"linux": {"image": {"pullPolicy": "always"}}}, "linux.image.pullPolicy"),
    ({"linux": {"kubeletRootDir": "var/lib/kubelet"}}, "linux.kubeletRootDir"), ({"tokenRequests": [{"audiance": "a"}]}, "tokenRequests.0"),
    ({"linux": {"additionalProvidersDirs": ["/a,/b"]}}, "linux.additionalProvidersDirs.0"), ({"linux": {"tolerations": {}}}, "linux.tolerations"),
    ({"linux": {"seLinuxOptions": "spc_t"}}, "linux.seLinuxOptions"), ({"imagePullSecrets": ["registry"]}, "imagePullSecrets.0"),
    ({"linux": {"podAnnotations": {"prometheus.io/scrape": True}}}, "linux.podAnnotations.prometheus.io/scrape"),
    ({"linux": {"nodeSelector": {"gpu": 1}}}, "linux.nodeSelector.gpu"), ({"commonLabels": {"cost": 7}}, "commonLabels.cost"),
    ({"livenessProbe": {"port": "http"}}, "livenessProbe.port"), ({"linux": {"image": {"digest": "v1.2"}}}, "linux.image.digest")],
    ids=lambda value: value if isinstance(value, str) else "")
def test_a_typing_error_stops_the_installation(values, where):
    for chart, given in ((DRIVER, values), (PROVIDER, {SUBCHART: values})):
        status, _, errors = template(chart, given)
        assert status != 0 and f"- {where}: " in errors


def test_the_schema_accepts_what_users_write():
    for chart, values in ((DRIVER, EVERYTHING_DRIVER), (PROVIDER, EVERYTHING_PROVIDER)):
        render(chart, values)
    render(DRIVER, {"linux": {"image": {"tag": 1.2}, "tolerations": None, "metricsAddr": "127.0.0.1:8095"}, "livenessProbe": {"port": "9808"},
                    "logVerbosity": "5", "rotationPollInterval": "1m30.5s", "unknown": 1, "global": {"x": 1}})


def switches(values, on):
    """The values with all switches on, each as `on`."""
    return {key: switches(value, on) if isinstance(value, dict) else on if isinstance(value, bool) else value for key, value in values.items()}


@pytest.mark.parametrize("chart, more", [(DRIVER, {}), (PROVIDER, {SUBCHART: {"windows": {"acceptRemoval": True}}})])
def test_a_switch_may_be_the_word_true(chart, more):
    """As `set` of Terraform with type string and a parameter of Argo CD with forceString write it."""
    both = [render(chart, merged(switches(merged(reference.defaults(chart), more), on), more), kube_version="1.37.0") for on in (True, "true")]
    assert both[0] == both[1] and len(both[0]) > 10


# ---- memory ----

MEMORY_PAGE = (ROOT / "docs/install.md").read_text()


def memory_rows():
    """(volumes, files of each, KiB of a file, volumes in MiB, limit in MiB) of the table in docs/install.md."""
    section = re.search(r"^## Memory\n(.*?)^## ", MEMORY_PAGE, re.DOTALL | re.MULTILINE).group(1)
    rows = re.findall(r"^\| ([\d,]+) \| (\d+) \| (\d+) (KiB|MiB)[^|]* \| (\d+) \| (\d+) \|$", section, re.MULTILINE)
    return [(int(volumes.replace(",", "")), int(files), int(size) * (1024 if unit == "MiB" else 1), int(charge), int(limit))
            for volumes, files, size, unit, charge, limit in rows]


def test_the_table_of_memory_follows_the_formula():
    base, flight = (int(number) for number in re.search(r"limit = (\d+) MiB \+ --max-bytes-in-flight \((\d+) MiB\) \+ volumes", MEMORY_PAGE).groups())
    per_volume, per_file, per_page = (int(number) for number in re.search(
        r"(\d+) KiB for each volume, (\d+) KiB for each file, and (\d+) KiB for each page", MEMORY_PAGE).groups())
    assert len(memory_rows()) >= 6
    for volumes, files, size, charge, limit in memory_rows():
        needed = volumes * (per_volume + files * (per_file + -(-size // per_page) * per_page)) / 1024
        assert round(needed) == charge and limit == charge + base + flight, (volumes, files, size)
    flags = (ROOT / "docs/flags.md").read_text()
    assert flags.count(f"| `--max-bytes-in-flight` *bytes* | `{flight * 1024 * 1024}` |") == 2  # driver and provider


def memory_of(resources):
    return int(re.fullmatch(r"(\d+)Mi", resources["limits"]["memory"]).group(1)), int(re.fullmatch(r"(\d+)Mi", resources["requests"]["memory"]).group(1))


def test_the_memory_limits_of_charts_and_manifests_follow_the_table():
    values = yaml.safe_load((ROOT / "manifests/chart/secrets-store-csi-driver/values.yaml").read_text())
    deployed = [document for document in yaml.safe_load_all((ROOT / "manifests/deploy/driver.yaml").read_text()) if document["kind"] == "DaemonSet"]
    resources = [values["linux"]["driver"]["resources"], deployed[0]["spec"]["template"]["spec"]["containers"][0]["resources"]]
    limits = [limit for *_, limit in memory_rows()]
    assert {(100, 1, 1024), (1000, 10, 4)} <= {row[:3] for row in memory_rows()[:-1]}
    for limit, request in map(memory_of, resources):
        assert request == 16  # what the scheduler sees is what a small node uses
        assert f"set a limit of {limit} MiB for the driver" in MEMORY_PAGE
        assert max(limits[:-1]) * 1.2 < limit < limits[-1]  # "enough for all but the last row, with a fifth to spare"
