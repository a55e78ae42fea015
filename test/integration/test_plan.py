"""Every test that test/README.md names exists, and every suite is described there."""

import re

import pytest

from harness.process import ROOT

pytestmark = pytest.mark.once
README = (ROOT / "test/README.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:unit|integration|apiserver|e2e|sanity)/\w+\.(?:py|c))(?:::(\w+))?`", README)))


def test_the_page_names_tests():
    assert len(NAMED) > 50


@pytest.mark.parametrize("path, name", NAMED, ids=lambda value: value)
def test_a_named_test_exists(path, name):
    file = ROOT / "test" / path
    assert file.is_file(), path
    if not name:
        return
    text = file.read_text()
    if file.suffix == ".py":
        assert re.search(rf"^def {name}\(", text, re.MULTILINE)
    else:
        assert re.search(rf"^static void {name}\(void \*\*state\)", text, re.MULTILINE)
        assert re.search(rf"\(.*\b{name}\b", text.split("int main(void)", 1)[1]), "it is there, but main does not run it"


def test_every_suite_is_on_the_page():
    directories = sorted(path.name for path in (ROOT / "test").iterdir() if path.is_dir() and not path.name.startswith((".", "__")))
    missing = [name for name in directories if f"`{name}/`" not in README]
    assert not missing
