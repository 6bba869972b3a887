"""What a forge shows beside the code: how to cite, what changed, how to report."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from germline.cli.app import app
from tests.pages import ROOT, page

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_the_citation_is_of_this_version_and_has_what_the_format_asks_for() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == VERSION
    assert citation["license"] == "Apache-2.0"
    for reference in citation["references"]:
        assert {"type", "title", "authors"} <= set(reference)


def test_the_changelog_speaks_of_this_version_and_of_what_comes() -> None:
    headings = re.findall(r"^## (.*)$", page("CHANGELOG.md").text, flags=re.MULTILINE)
    assert headings[:2] == ["Unreleased", VERSION]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_an_issue_template_can_be_read_and_names_commands_that_exist(path: Path) -> None:
    template = yaml.safe_load(path.read_text())
    if path.stem == "config":
        assert template == {"blank_issues_enabled": True}
        return
    assert {"name", "description", "body"} <= set(template)
    known = {each.name or each.callback.__name__ for each in app.registered_commands if each.callback}
    assert set(re.findall(r"`germline (\w+)", path.read_text())) <= known
    fields = [each for each in template["body"] if each["type"] != "markdown"]
    assert all(each["id"] and each["attributes"]["label"] for each in fields)
