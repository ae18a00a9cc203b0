"""Commands that are not run here, for want of a cluster or an hour, are at least ones that exist.

Each line that begins with `selvage` is parsed by the command itself, options and all; each target
of make is in the Makefile, each module can be found.
"""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from selvage_client.cli.application import build_app

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "client" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
BLOCK = re.compile(r"^```(?:bash|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def commands() -> Iterator[tuple[str, str]]:
    """Yield (page, line); lines that go on are joined, and what stands around a command is cut."""
    for document in DOCUMENTS:
        for block in BLOCK.findall(document.read_text(encoding="utf-8")):
            for line in re.sub(r"\\\n\s*", "", block).splitlines():
                line = re.sub(r'"\$\(cat [^)]*\)"', "X", line.removeprefix("$ "))
                for part in re.split(r"&&|\||;|\$\(|>", line):
                    yield document.name, part.strip().rstrip(")")


SELVAGE = sorted({one for one in commands() if re.match(r"(\.venv/bin/)?selvage ", one[1])})
MAKE = sorted({one for one in commands() if re.match(r"make ", one[1])})
MODULES = sorted({m[1] for _, line in commands() if (m := re.search(r"python -m ([\w.]+)", line))})


@pytest.fixture(scope="module")
def app() -> Any:
    return typer.main.get_command(build_app())


@pytest.mark.parametrize(("page", "line"), SELVAGE)
def test_the_command_understands_it(
    app: Any, page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "mask.png", "export.json", "recipe.json", "rectified.json"):
        (tmp_path / name).touch()
    for name in ("DIR", "MODEL_FOLDER", "night-drive", "night", "day", "examples/demo_model"):
        (tmp_path / name).mkdir(parents=True)
    arguments = shlex.split(re.sub(r"#.*", "", line.removeprefix(".venv/bin/")))[1:]
    command, context, name = app, app.context_class(app, info_name="selvage"), "selvage"
    while hasattr(command, "get_command"):
        name = arguments.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"{page}: {line}: there is no {name}"
        context = command.context_class(found, parent=context, info_name=name)
        command = found
    command.make_context(name, arguments, parent=context)  # parses, and refuses what is not right


@pytest.mark.parametrize(("page", "line"), MAKE)
def test_make_has_it(page: str, line: str) -> None:
    target = shlex.split(line, comments=True)[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), page


@pytest.mark.parametrize("module", MODULES)
def test_the_module_is_there(module: str) -> None:
    assert importlib.util.find_spec(module) is not None


def test_something_was_found() -> None:
    assert len(SELVAGE) > 40
    assert len(MAKE) > 2
    assert len(MODULES) >= 2
