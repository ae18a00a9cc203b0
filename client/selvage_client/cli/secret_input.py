"""Secrets on their way in: never as an argument, which every process of the machine can see."""

import os
import sys
from typing import Annotated

import typer

from selvage_client.errors import invalid_input

SecretVariable = Annotated[
    str | None,
    typer.Option(metavar="VARIABLE", help="Environment variable that holds the secret."),
]
SecretStdin = Annotated[bool, typer.Option("--secret-stdin", help="Read the secret from stdin.")]


def read_secret(what: str, variable: str | None, *, stdin: bool) -> str:
    """Return a secret from a variable, from stdin, or typed without being shown.

    Raises:
        InvalidInput: it is not there, or empty.
    """
    if variable is not None:
        found = os.environ.get(variable, "")
        where = f"The variable {variable}"
    elif stdin:
        found, where = sys.stdin.read(), "stdin"
    elif sys.stdin.isatty():
        found, where = typer.prompt(what, hide_input=True, err=True), "The answer"
    else:
        raise invalid_input(
            f"The {what} is asked for on a terminal, and there is none. Pipe it in with "
            "--secret-stdin, or name the variable that holds it with --secret-env."
        )
    found = found.strip("\r\n")
    if not found:
        raise invalid_input(f"{where} is empty: there is no {what}.")
    return found
