"""`python -m ops`: the operator's half of the `selvage` command by itself."""

import typer

from ops.cli import register

app = typer.Typer(name="selvage", no_args_is_help=True)
register(app)

if __name__ == "__main__":
    app()
