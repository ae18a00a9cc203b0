from collections.abc import Callable

import pytest
import typer
from selvage_client.cli import application
from typer.testing import CliRunner, Result


class EntryPoint:
    def __init__(self, load: Callable[[], Callable[[typer.Typer], None]]) -> None:
        self.load = load


def invoke(monkeypatch: pytest.MonkeyPatch, found: list[EntryPoint], *arguments: str) -> Result:
    def entry_points(*, group: str) -> list[EntryPoint]:
        return found if group == "selvage.commands" else []

    monkeypatch.setattr(application, "entry_points", entry_points)
    return CliRunner(env={"COLUMNS": "200"}).invoke(application.build_app(), arguments)


@pytest.mark.parametrize(
    "arguments",
    [["up", "--port", "0"], ["worker", "label", "--gpus", "all"], ["models", "add", "x"]],
)
def test_the_client_alone_says_where_the_operator_commands_are(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    result = invoke(monkeypatch, [], *arguments)
    assert result.exit_code == 1
    assert "belongs to the service." in result.stderr
    assert "pip install -r requirements.lock -e ." in result.stderr


def test_the_client_alone_does_not_offer_them(monkeypatch: pytest.MonkeyPatch) -> None:
    output = invoke(monkeypatch, [], "--help").output
    assert "submit" in output
    assert "scheduler" not in output


def test_installed_packages_add_commands_and_join_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    def register(app: typer.Typer) -> None:
        app.command("up")(lambda: typer.echo("started"))
        (group,) = [info for info in app.registered_groups if info.name == "models"]
        assert group.typer_instance is not None
        group.typer_instance.command("add")(lambda: typer.echo("added"))

    found = [EntryPoint(lambda: register)]
    assert invoke(monkeypatch, found, "up").output == "started\n"
    assert invoke(monkeypatch, found, "models", "add").output == "added\n"
    assert "list" in invoke(monkeypatch, found, "models", "--help").output


def test_a_broken_service_does_not_take_the_client_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Callable[[typer.Typer], None]:
        raise ImportError("No module named 'celery'")

    result = invoke(monkeypatch, [EntryPoint(broken)], "up")
    assert result.exit_code == 1
    assert "No module named 'celery'" in result.stderr
    assert invoke(monkeypatch, [EntryPoint(broken)], "status", "--help").exit_code == 0
