"""The alert rules, judged by promtool: each fires when it should, and only then."""

import re
import subprocess

import pytest
import yaml

from charts import helm
from harness.process import ROOT

pytestmark = pytest.mark.once
RULES = {name: ROOT / f"manifests/dashboards/alerts-{name}.yaml" for name in ("driver", "provider-azure")}
ALERTS = {rule["alert"]: rule for path in RULES.values() for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]}
EIGHTY_MINUTES = 80

# Series of one sample a minute, as promtool writes them: from+step x times. (series that make it fire, series that do not)
LABELS = 'instance="node-1"'
PUBLISHED = f"volumes_published{{{LABELS}}}"
PUBLISH_ERRORS = f'node_publish_error_total{{{LABELS},provider="azure",error_type="%s"}}'
CASES = {
    "SecretsStoreDriverUnavailable": (
        {'kube_daemonset_status_number_unavailable{daemonset="secrets-store-csi-driver"}': "1x80"},
        {'kube_daemonset_status_number_unavailable{daemonset="secrets-store-csi-driver"}': "1x5 0x75",
         'kube_daemonset_status_number_unavailable{daemonset="another"}': "1x80"}),
    "SecretsStoreDriverNotRegistered": ({f"kubelet_registered{{{LABELS}}}": "0x80"}, {f"kubelet_registered{{{LABELS}}}": "0x2 1x78"}),
    "SecretsStoreSocketLost": (
        {f'socket_reachable{{{LABELS},socket="csi"}}': "1x10 0x70"}, {f'socket_reachable{{{LABELS},socket="csi"}}': "1x10 0x2 1x68"}),
    "SecretsStoreMountsFail": ({PUBLISH_ERRORS % "GRPCProviderError": "0+1x80"}, {PUBLISH_ERRORS % "GRPCProviderError": "0x70 1x10"}),
    "SecretsStoreRotationFails": (
        {f'rotation_reconcile_error_total{{{LABELS},provider="azure",error_type="x"}}': "0+1x80"},
        {f'rotation_reconcile_error_total{{{LABELS},provider="azure",error_type="x"}}': "0x60 2x20"}),
    "SecretsStoreRotationStale": (
        {f'rotation_last_success_timestamp_seconds{{{LABELS},provider="azure"}}': "0x80", PUBLISHED: "3x80"},
        {f'rotation_last_success_timestamp_seconds{{{LABELS},provider="azure"}}': "0x80", PUBLISHED: "0x80"}),
    "SecretsStoreSyncFails": (
        {f'sync_k8s_secret_error_total{{{LABELS},provider="azure",error_type="x"}}': "0+1x80"},
        {f'sync_k8s_secret_error_total{{{LABELS},provider="azure",error_type="x"}}': "0x60 2x20"}),
    # without --provider-health-check there is no provider_up
    "SecretsStoreProviderDown": (
        {PUBLISH_ERRORS % "FailedToLookupProviderGRPCClient": "0+1x80"}, {PUBLISH_ERRORS % "GRPCProviderError": "0+1x80"}),
    "SecretsStoreKubernetesApiUnreachable": ({f"kube_api_up{{{LABELS}}}": "1x60 0x20"}, {f"kube_api_up{{{LABELS}}}": "1x60 0x3 1x17"}),
    "SecretsStoreMountsSlow": (
        {f'csi_call_duration_sec_bucket{{{LABELS},method="NodePublishVolume",le="10"}}': "0x80",
         f'csi_call_duration_sec_bucket{{{LABELS},method="NodePublishVolume",le="30"}}': "0+5x80",
         f'csi_call_duration_sec_bucket{{{LABELS},method="NodePublishVolume",le="+Inf"}}': "0+5x80"},
        {f'csi_call_duration_sec_bucket{{{LABELS},method="NodePublishVolume",le="10"}}': "0+5x80",
         f'csi_call_duration_sec_bucket{{{LABELS},method="NodePublishVolume",le="+Inf"}}': "0+5x80"}),
    "KeyVaultReadsFail": (
        {f'keyvault_request_count{{{LABELS},error="forbidden"}}': "0+1x80"}, {f'keyvault_request_count{{{LABELS},error=""}}': "0+9x80"}),
    "KeyVaultThrottles": (
        {f'azure_throttled_seconds_total{{{LABELS},service="vault"}}': "0+120x80"}, {f'azure_throttled_seconds_total{{{LABELS},service="vault"}}': "0+6x80"}),
    "AzureTokensFail": (
        {f'azure_token_request_seconds_count{{{LABELS},mode="workload-identity",error="auth"}}': "0+1x80"},
        {f'azure_token_request_seconds_count{{{LABELS},mode="workload-identity",error=""}}': "0+1x80"}),
    "FallbackVaultsServe": (
        {f'azure_fallback_reads_total{{{LABELS},outcome="served"}}': "0x70 1x10"},
        {f'azure_fallback_reads_total{{{LABELS},outcome="unused"}}': "0+1x80", f'azure_fallback_reads_total{{{LABELS},outcome="served"}}': "0x50 1x30"}),
    "PodsStartWithKeptValues": ({f"azure_stale_served_total{{{LABELS}}}": "0x70 1x10"}, {f"azure_stale_served_total{{{LABELS}}}": "0x50 1x30"}),
}


def promtool(*words):
    program = subprocess.run([ROOT / "test/tools/get-promtool.sh"], stdout=subprocess.PIPE, text=True, check=True, timeout=600).stdout.strip()
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=60, check=False)


def test_every_alert_has_its_cases():
    assert CASES.keys() == ALERTS.keys()


@pytest.mark.parametrize("path", RULES.values(), ids=RULES.keys())
def test_the_rules_are_valid(path):
    done = promtool("check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def firing(scratch, alert, series):
    """Whether promtool says that the alert fires with these series at the end."""
    path = scratch / "test.yaml"
    path.write_text(yaml.safe_dump({
        "rule_files": [str(path) for path in RULES.values()], "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": [{"series": name, "values": values} for name, values in series.items()],
                   "alert_rule_test": [{"eval_time": f"{EIGHTY_MINUTES}m", "alertname": alert, "exp_alerts": []}]}]}))
    done = promtool("test", "rules", path)
    text = done.stdout + done.stderr
    assert done.returncode == 0 or f"alertname: {alert}" in text, text
    return done.returncode != 0


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_when_it_should_and_only_then(alert, scratch):
    fires, silent = CASES[alert]
    assert firing(scratch, alert, fires)
    assert not firing(scratch, alert, silent)


def test_a_provider_that_fails_its_health_checks_is_down(scratch):
    assert firing(scratch, "SecretsStoreProviderDown", {f'provider_up{{{LABELS},provider="azure"}}': "1x20 0x60"})


@pytest.mark.parametrize("alert", ALERTS)
def test_the_runbook_of_an_alert_exists(alert):
    name, _, anchor = ALERTS[alert]["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#+ +(.+?) *$", (ROOT / name).read_text(), re.MULTILINE)
    assert not anchor or anchor in [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_the_chart_puts_the_address_of_the_documents_in_front():
    rules = helm.render(helm.DRIVER, {"prometheusRule": {"enabled": True, "runbookUrl": "https://docs.test/blob/main"}})
    urls = {rule["annotations"]["runbook_url"] for group in helm.one(rules, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]}
    assert "https://docs.test/blob/main/docs/rotation.md" in urls and all(url.startswith("https://docs.test/blob/main/docs/") for url in urls)
