"""mk/static: how the libraries of the release are built, as far as that can be seen without building them."""

import re
import subprocess

import pytest

from harness.process import ROOT

pytestmark = pytest.mark.once
RECIPE = (ROOT / "mk/static/build.sh").read_text()


def test_the_recipe_changes_copies_of_the_sources_only():
    """A source that was changed by an older recipe, or half-way, could not be distinguished from one that is as it was fetched."""
    commands = RECIPE.replace("\\\n", " ").splitlines()
    changing = [line.strip() for line in commands if re.search(r"\b(sed -i|patch|rm|cp|mv|install)\b", line.split(" # ")[0]) and "$src" in line]
    assert [line for line in changing if not re.fullmatch(r'cp -a "\$src/\$1" "\$source"|install -D -m 0644 "\$src/\S+" "\$prefix/\S+"', line)] == []
    assert any(line.startswith("cp -a") for line in changing)
    for library in re.findall(r"^build_(\w+)\(\) \{\n(?:.*\n)*?\}", RECIPE, re.MULTILINE):
        body = re.search(rf"^build_{library}\(\) {{\n((?:.*\n)*?)}}", RECIPE, re.MULTILINE)[1]
        assert "copy_source" in body or "$source" not in body, library


def test_a_list_of_sources_that_was_fetched_is_not_fetched_again(tmp_path):
    (tmp_path / "packages").write_text("musl 1 0\n")
    (tmp_path / "sources").write_text((ROOT / "mk/static/sources").read_text())
    subprocess.run([ROOT / "mk/static/fetch.sh", tmp_path], check=True, timeout=20, env={"PATH": "/usr/bin:/bin"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packages", "sources"]


@pytest.mark.parametrize("sources", [None, "musl 0\n"], ids=["none", "another"])
def test_another_list_of_sources_is_fetched(tmp_path, sources):
    """With no apt in PATH, so that it ends there."""
    (tmp_path / "bin").mkdir()
    for name in ("dirname", "mkdir", "cmp", "bash", "sort", "awk", "sed"):
        (tmp_path / "bin" / name).symlink_to(f"/usr/bin/{name}")
    (tmp_path / "packages").write_text("musl 1 0\n")
    if sources:
        (tmp_path / "sources").write_text(sources)
    done = subprocess.run([ROOT / "mk/static/fetch.sh", tmp_path], capture_output=True, text=True, timeout=20, check=False, env={"PATH": f"{tmp_path}/bin"})
    assert done.returncode != 0 and ("apt-get" in done.stderr or "debian-archive-keyring" in done.stderr), done.stderr
