"""Runs the `selvage` command inside the test's process."""

from selvage_client.cli import build_app
from typer.testing import CliRunner, Result


def selvage(*arguments: object, stdin: str | None = None) -> Result:
    """Return what the command did, on a wide terminal and without an address in the environment."""
    env = {"COLUMNS": "200", "SELVAGE_URL": None}
    return CliRunner(env=env).invoke(
        build_app(), [str(argument) for argument in arguments], input=stdin
    )
