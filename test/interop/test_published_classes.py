"""Classes that the Go programs accept, written to an API server that has our definitions and the policy that checks classes: each is accepted, and
those that mount are written without a warning."""

import os
import re
from pathlib import Path

import pytest
import yaml
from parity_cases import DIFFERENT, ERRORS, FILES, TEXTS, text_of
from parity_written import WRITTEN

from cluster.objects import spc
from harness import tutorial
from harness.process import wait_until

FENCE = re.compile(r"^```ya?ml\n(.*?)^```", re.DOTALL | re.MULTILINE)
HEREDOC = re.compile(r"<<-? *'?EOF'?[^\n]*\n(.*?)^EOF$", re.DOTALL | re.MULTILINE)


def documents(text):
    """The YAML documents of a text that are readable; templates are not."""
    for part in re.split(r"^---.*$", text, flags=re.MULTILINE):
        try:
            yield from (item for item in yaml.safe_load_all(part) if isinstance(item, dict))
        except yaml.YAMLError:
            pass


def published_classes():
    """The classes of the documentation, examples and tests that come with both Go modules, by file."""
    found = {}
    for source in os.environ["PEERS_SOURCES"].split(":"):
        for path in sorted(Path(source).rglob("*")):
            if path.suffix not in (".yaml", ".yml", ".md", ".sh", ".bats") or not path.is_file():
                continue
            text = path.read_text(errors="replace")
            texts = [text] if path.suffix in (".yaml", ".yml") else FENCE.findall(text) + HEREDOC.findall(text)
            for item in (item for text in texts for item in documents(text)):
                if item.get("kind") == "SecretProviderClass" and str(item.get("apiVersion", "")).startswith("secrets-store.csi.x-k8s.io/"):
                    found[f"{path.relative_to(source)}:{len(found)}"] = item
    return found


@pytest.fixture
def warnings(admin, namespace):
    """Writes a class (dry run) and returns the warnings, without those of the deprecated version."""
    def write(item):
        admin.create(item, namespace, dryRun="All", fieldValidation="Ignore")
        return [text for text in admin.warnings if "is deprecated" not in text]
    wait_until(lambda: write(spc(provider="")), 40, "the policy to be in effect", pause=0.1)
    return write


def test_the_published_classes_are_accepted_without_a_warning(warnings):
    published = published_classes()
    assert len(published) >= 45
    found = {}
    for name, item in published.items():
        item["metadata"] = {"name": "published", "annotations": item["metadata"].get("annotations") or {}}
        texts = warnings(item)
        # excerpts in the documentation, which neither driver mounts
        found[name] = [text for text in texts if item["spec"].get("parameters") or "spec.parameters is empty" not in text]
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_the_classes_of_the_parity_suite_are_accepted_without_a_warning(warnings):
    """Their mistakes, if they have any, are of the provider's parameters, which the policy does not know."""
    cases = FILES + TEXTS + ERRORS + DIFFERENT + WRITTEN
    assert len(cases) > 500
    found = {case.name: warnings(spc(provider="azure", parameters=tutorial.attributes(objects=text_of(case.objects), **case.parameters)))
             for case in cases}
    assert {name: texts for name, texts in found.items() if texts} == {}
