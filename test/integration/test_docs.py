"""The documents against the tree: texts of errors, names of files, headings behind links."""

import fnmatch
import json
import re
import subprocess

import pytest
import yaml

from harness import messages, tutorial
from harness.process import ROOT

pytestmark = pytest.mark.once
TROUBLE = (ROOT / "docs/troubleshooting.md").read_text()
QUOTES = messages.quotes(TROUBLE)
SPEAKERS = ("driver", "provider-azure", "common/http", "common/crypto", "common/class")

# Texts that no row explains, each with the reason.
NOT_EXPLAINED = {
    "out of memory": "the document has one row for all of them",
    "no memory": "the same",
    "pkcs12: left for another run": "never leaves the thread that reads the file",
}

DOCUMENTS = sorted(path for path in ROOT.rglob("*.md") if not {"build", "node_modules", ".git"} & set(path.relative_to(ROOT).parts))


@pytest.mark.parametrize("find", [messages.reported, messages.reported_through_helpers])
def test_every_error_and_warning_is_explained(find):
    texts = find(*SPEAKERS)
    assert len(texts) > 50, "the search is broken"
    missing = {text: place for text, place in texts.items()
               if not any(reason in text for reason in NOT_EXPLAINED) and not any(messages.covers(quote, text) for quote in QUOTES)}
    assert missing == {}


def test_every_quoted_text_occurs_in_the_programs():
    said = messages.all_literals("driver", "provider-azure", "common", "ctl")
    assert [quote for quote in QUOTES if not any(messages.occurs(quote, text) for text in said)] == []


def test_the_texts_of_diagnose_are_rows_of_the_page():
    """Each checks_wrong(checks, check, section, fix, text): the row of the text is in that section, and its fix says the same."""
    sections = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"): body
                for heading, body in re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", TROUBLE, re.DOTALL | re.MULTILINE)}
    found = 0
    for path in messages.sources("ctl"):
        code = path.read_text()
        for call in re.finditer(r"^ +(?:else )?checks_wrong\(", code, re.MULTILINE):
            _, section, fix, text = messages.literals(messages.arguments(code, call.end()))
            rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in sections[section].splitlines() if line[:1] == "|"]
            explained = [row for row in rows if any(messages.covers(quote, text) or messages.occurs(text, quote) for quote in re.findall(r"`([^`]+)`", row[0]))]
            assert any(fix in row[2].replace("`", "") for row in explained), (path.name, text, fix, explained)
            found += 1
    assert found >= 15


def test_no_text_is_explained_twice():
    assert sorted({quote for quote in QUOTES if QUOTES.count(quote) > 1}) == []


def test_the_search_finds_an_unexplained_text():
    """Otherwise the first test could not fail."""
    code = 'x(); return error_set(err, CODE, "no %s in \'%.*s\' (%zu)" LIMIT " left", a, b); log_warning(log, "odd", LOG_STR("key", "v"));'
    start = code.index("error_set(") + len("error_set(")
    assert messages.literals(messages.arguments(code, start)) == ["no … in '…' (…)… left"]
    start = code.index("log_warning(") + len("log_warning(")
    assert messages.literals(messages.arguments(code, start)) == ["odd"]
    assert messages.covers("no … in '…", "no … in '…' (…)") and not messages.covers("no", "no … in the list of all things")
    assert not messages.occurs("in … no", "no … in")
    assert messages.quotes("| Text | Cause |\n| --- | --- |\n| `a…b`<br>`c` | `d` |\n\n`e`\n| Field |\n| `f` |\n") == ["a…b", "c"]


def headings(path):
    """The anchors of a document, made as the common renderers make them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    found = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)]
    return set(found)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    text = re.sub(r"`[^`\n]*`", "", document.read_text())
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in headings(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(document):
    """`docs/x.md`, `manifests/y/`: names in backticks that begin with one of our directories."""
    directories = "|".join(sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "." and path.name != "build"))
    named = re.findall(rf"`((?:{directories})/[\w./-]+)`", document.read_text())
    places = (ROOT, document.parent, ROOT / "test")
    missing = [name for name in named if not any((place / name).exists() or list(place.glob(f"{name}.*")) for place in places)]
    assert missing == []


def test_the_picture_of_the_directories_is_the_order_of_includes():
    """docs/architecture.md shows mk/include_order.txt, the highest directory first."""
    listed = re.findall(r"^[\w/-]+$", (ROOT / "mk/include_order.txt").read_text(), re.MULTILINE)
    blocks = re.findall(r"^```\n(.*?)^```$", (ROOT / "docs/architecture.md").read_text(), re.DOTALL | re.MULTILINE)
    (picture,) = [block for block in blocks if "provider_server" in block]
    upper, lower = picture.replace("(provider_server)", "").split("─", 1)
    rows = [(line[:30], line[30:50]) for line in upper.splitlines()[1:]] + [("", "", line) for line in lower.splitlines()[2:]]
    for column, program in enumerate(("driver", "provider-azure", "common")):
        shown = [name for row in rows if len(row) > column for name in row[column].split()]
        assert [name.split("/")[1] for name in reversed(listed) if name.startswith(f"{program}/")] == shown, program


@pytest.mark.parametrize("program", ["common", "driver", "provider-azure", "ctl"])
def test_the_readme_of_a_program_lists_its_files(program):
    """Tables with a column of files name every module, and no other; `x_*` stands for several."""
    files = {path.stem for path in (ROOT / program).rglob("*.[ch]")}
    patterns, column = set(), None
    for line in (ROOT / program / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        column = next((at for at, cell in enumerate(cells) if cell in ("File", "Files")), column) if cells else None
        if column is not None and len(cells) > column:
            patterns |= {name.removesuffix(".h") for name in re.findall(r"`([\w.*]+)`", cells[column])}
    assert sorted(file for file in files if not any(fnmatch.fnmatchcase(file, pattern) for pattern in patterns)) == []
    assert sorted(pattern for pattern in patterns if not fnmatch.filter(files, pattern)) == []


# Flags of other people's programs that our documents speak of.
FOREIGN_FLAGS = {"--reuse-values", "--from-file", "--help", "--key-permissions", "--certificate-permissions", "--set"}
OPERATORS = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "manifests/README.md", ROOT / "provider-azure/README.md",
                    ROOT / "driver/README.md"])


@pytest.mark.parametrize("document", OPERATORS, ids=lambda path: str(path.relative_to(ROOT)))
def test_flags_that_are_named_exist(document):
    known = set(re.findall(r"`(--[\w-]+)`", (ROOT / "docs/flags.md").read_text())) | FOREIGN_FLAGS
    spans = re.findall(r"`([^`\n]+)`", document.read_text())
    ours = [span for span in spans if not re.match(r"(az|dpkg-deb|sha256sum|kubectl|helm|openssl|ctr|docker|skopeo|base64|k0s|k3s|snap|minikube|kind) ", span)]
    named = {flag for span in ours for flag in re.findall(r"(?:^|[ (])(--[a-z][\w-]+)", span)}
    assert sorted(named - known) == []


@pytest.mark.parametrize("document", OPERATORS, ids=lambda path: str(path.relative_to(ROOT)))
def test_chart_values_that_are_named_exist(document):
    def names(values, prefix=""):
        for key, value in values.items():
            yield prefix + key
            if isinstance(value, dict):
                yield from names(value, f"{prefix}{key}.")
    charts = [yaml.safe_load(path.read_text()) for path in (ROOT / "manifests/chart").glob("*/values.yaml")]
    assert len(charts) == 2
    known = {name for chart in charts for name in names(chart)}
    said = re.findall(r"`((?:linux|syncSecret|secrets-store-csi-driver|podMonitor|prometheusRule|grafanaDashboard|networkPolicy)\.[\w.]+)(?:=\w+)?`",
                      document.read_text())
    assert sorted(set(said) - known) == []


def commands(document, program):
    """The commands of a page that begin with `program`, also in backticks: a line each, without its comment."""
    text = document.read_text().replace("\\\n", " ")
    fenced = re.findall(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = [*re.findall(r"^    (\S.*)$", text, re.MULTILINE), *"\n".join(fenced).splitlines(), *re.findall(r"`([^`\n]+)`", text)]
    found = [re.split(r"\s#\s|\s[|>&]|;", line)[0].strip() for line in lines if line.strip().startswith(program + " ")]
    return [re.sub(r" +", " ", line) for line in found]


def test_the_search_finds_commands(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("Text `make a` text\n\n    make b \\\n      C=1   # and more\n\n```sh\nmake d; make e\n```\nmake f\n")
    assert sorted(commands(page, "make")) == ["make a", "make b C=1", "make d"]


PAGES = sorted({*OPERATORS, ROOT / "CONTRIBUTING.md", ROOT / "test/README.md", *(ROOT / "manifests").rglob("README.md")})


def test_targets_of_make_that_are_named_exist():
    rules = "".join(path.read_text() for path in (ROOT / "Makefile", *(ROOT / "mk").glob("*.mk")))
    known = set(" ".join(re.findall(r"^([\w-]+(?: [\w-]+)*):(?!=)", rules, re.MULTILINE)).split())
    named = [(page.name, word) for page in PAGES if page.name != "troubleshooting.md"  # there it is a word of errors
             for command in commands(page, "make") for word in re.sub("\"[^\"]*\"|'[^']*'", "", command).split()[1:]
             if re.fullmatch(r"[a-z][\w-]+", word)]
    assert len(named) > 50
    assert sorted({one for one in named if one[1] not in known}) == []


def test_values_that_commands_set_are_those_of_the_chart():
    charts = {path.parent.name: yaml.safe_load(path.read_text()) for path in (ROOT / "manifests/chart").glob("*/values.yaml")}
    driver, provider = charts["secrets-store-csi-driver"], charts["csi-secrets-store-provider-azure"]
    provider = {**provider, "secrets-store-csi-driver": driver}
    found = 0
    for page in PAGES:
        for command in commands(page, "helm"):
            chart = provider if "csi-secrets-store-provider-azure" in command else driver if "chart/secrets-store-csi-driver" in command else None
            for assignment in re.findall(r"--set(?:-string)?[ =]'?([^\s']+)", command) if chart else []:
                for name in re.findall(r"(?:^|,)([\w.-]+)(?:\[\d+\])?[\w.]*=", assignment):
                    at = chart
                    for part in name.split("."):
                        assert isinstance(at, dict) and part in at, f"{page.name}: {name}"
                        at = at[part]
                    found += 1
    assert found > 5


def test_metrics_that_are_named_exist():
    known = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/metrics.md").read_text() + (ROOT / "docs/metrics-provider-azure.md").read_text(), re.MULTILINE))
    named = {(page.name, name) for page in PAGES for span in re.findall(r"`([^`\n]+)`", page.read_text())
             for name in re.findall(r"\b([a-z]+_\w+_(?:total|seconds|bytes)(?:_count|_sum|_bucket)?)\b", span)}
    others = {"secretproviderclasspodstatus_last_checked_timestamp_seconds", "secretproviderclasspodstatus_last_error_timestamp_seconds"}
    assert len(named) > 50
    assert sorted(one for one in named if re.sub("_(count|sum|bucket)$", "", one[1]) not in known | others) == []


def test_commands_of_ours_have_flags_of_theirs():
    """Each flag in the reference of the program, or of the subcommand."""
    reference = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", (ROOT / "docs/flags.md").read_text(), re.DOTALL | re.MULTILINE))
    found = 0
    for program in ("secrets-store-driver", "secrets-store-provider-azure", "secrets-store-ctl"):
        known = set(re.findall(r"`(--?[\w-]+)`", reference[program]))
        for page in PAGES:
            for command in commands(page, program):
                for flag in re.findall(r" (--[a-z][\w-]*)", command.split(" -- ")[0]):
                    assert flag in known or flag == "--help", f"{page.name}: {command}"
                    found += 1
    assert found > 20


def test_the_support_matrix_is_that_of_the_results():
    done = subprocess.run([ROOT / "test/tools/matrix.py"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == (ROOT / "docs/support-matrix.md").read_text(), "make matrix writes it"
    suites = [json.loads(path.read_text())["suite"] for path in (ROOT / "test/results").glob("*.json")]
    assert suites and done.stdout.count("\n| ") == len(suites) + 2


def test_the_document_lists_the_exceptions_of_a_reproducible_release():
    rows = [line.split(maxsplit=2) for line in (ROOT / "release/exceptions").read_text().splitlines() if line and line[0] != "#"]
    words = {"always": "the same Debian release too", "debian": "another Debian release"}
    table = "".join(f"| `{pattern}` | {words[where]} | {reason} |\n" for where, pattern, reason in rows)
    assert rows and f"| Files | On | Why |\n| --- | --- | --- |\n{table}\n" in (ROOT / "docs/release.md").read_text(), table


COMING_FROM_2020 = "Coming from the tutorial of 2020"


def test_the_tutorial_leads_through_every_step_of_that_of_2020_in_order():
    table, at = tutorial.sections()[COMING_FROM_2020], 0
    for step in tutorial.STEPS_OF_2020:
        found = table.find(step, at)
        assert found >= 0, f"{step} is not there, or not after {table[:at][-60:]}"
        at = found + len(step)
    parameters = re.findall(r"^    (\w+):", tutorial.CLASS, re.MULTILINE)
    assert len(parameters) == 9 and [name for name in parameters if name not in table] == []


def test_the_tutorial_uses_the_names_of_that_of_2020():
    page = "".join(text for heading, text in tutorial.sections().items() if heading != COMING_FROM_2020)
    assert [name for name in tutorial.NAMES_OF_2020 if name not in page] == []


def test_every_object_of_the_tutorial_is_applied_end_to_end():
    """Every block with a kind is typed by the end-to-end tests: nothing on the page is untested."""
    tried = set(re.findall(r'typist\.type\("([^"]+)"', (ROOT / "test/e2e/test_tutorial_page.py").read_text()))
    having = {heading for heading, text in tutorial.sections().items() if any("apiVersion:" in block for block in tutorial.blocks(text))}
    assert len(having) == 4 and having - tried == set()
    for heading in having:
        assert all(block in tutorial.typed(heading) for block in tutorial.blocks(tutorial.sections()[heading]) if "apiVersion:" in block), heading
