"""The pages about the client name only what is there."""

import inspect
import re
from operator import attrgetter
from pathlib import Path

import pytest
from selvage_client import AsyncSelvage, Selvage
from selvage_client.cli import build_app
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs" / "client.md", ROOT / "client" / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_are_python_and_use_methods_that_exist(page: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    for example in examples:
        compile(example, page.name, "exec")
        for client in (Selvage("http://fake"), AsyncSelvage("http://fake")):
            for path in re.findall(r"\bclient\.([\w.]+)\(", example):
                assert callable(attrgetter(path)(client)), path


def test_the_table_of_methods_is_complete() -> None:
    table = PAGES[0].read_text(encoding="utf-8").split("| for | methods |")[1].split("\n\n")[0]
    named = set(re.findall(r"`(\w+)[`(]", table))
    there = {
        name
        for name, _ in inspect.getmembers(Selvage, inspect.isfunction)
        if not name.startswith("_")
    } - {"close"}
    assert named == there


def test_the_table_of_groups_is_complete() -> None:
    text = PAGES[0].read_text(encoding="utf-8").split("| group | methods |")[1].split("\n\n")[0]
    rows = re.findall(r"\| `client\.(\w+)` \| (.*) \|", text)
    client = Selvage("http://fake")
    for group, methods in rows:
        members = inspect.getmembers(type(getattr(client, group)), inspect.isfunction)
        there = {name for name, _ in members if not name.startswith("_")}
        assert set(re.findall(r"`(\w+)`", methods)) == there, group
    assert {group for group, _ in rows} == set(vars(client)) - {"url", "_transport"}


def test_the_table_of_commands_names_commands() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    groups = (
        "campaign|models|jobs|image-sets|label-sets|uploads|connections|review|schedules|pipelines"
        "|webhooks|integrations|exports"
    )
    pattern = rf"`selvage ((?:(?:{groups}) )?(?:create-from |create )?[a-z0-9-]+)"
    commands = set(re.findall(pattern, text)) - {"up"}
    assert len(commands) == 34
    for command in sorted(commands):
        result = CliRunner().invoke(build_app(), [*command.split(), "--help"])
        assert result.exit_code == 0, command
