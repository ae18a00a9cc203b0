"""Where errors become one red sentence and what to do: the outermost layer of the command."""

import os
from typing import Any, Final

import typer
from rich.markup import escape
from typer.core import TyperGroup
from typer.exceptions import TyperException

from api_schemas.problems import Problem, ProblemError
from selvage_client.cli.consoles import errors_console
from selvage_client.errors import SelvageError

DEBUG_VARIABLE: Final = "SELVAGE_DEBUG"
INTERRUPTED: Final = 130


class FriendlyGroup(TyperGroup):
    """A root command that never ends in a traceback, unless `SELVAGE_DEBUG` is set."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; errors become a sentence and exit code 1, Ctrl-C becomes 130."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, TyperException, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            errors_console().print("Interrupted.")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if os.environ.get(DEBUG_VARIABLE):
                raise
            print_error(error)
            raise typer.Exit(1) from None


def print_error(error: Exception) -> None:
    """Print an error for a person."""
    if isinstance(error, SelvageError):
        print_problem(error.problem)
    elif isinstance(error, ProblemError):
        print_problem(error.problem())
    elif isinstance(error, OSError) and error.filename is not None:
        console = errors_console()
        what = f"'{error.filename}' cannot be used: {error.strerror}."
        console.print(f"[red]{escape(what)}[/red]", soft_wrap=True)
        console.print("Check the path, its permissions and the space on the disk.")
    else:
        first, *rest = (str(error) or type(error).__name__).splitlines()
        console = errors_console()
        console.print(f"[red]{escape(first)}[/red]", soft_wrap=True)
        for line in rest:
            console.print(escape(line), soft_wrap=True)
        console.print(f"[dim]{DEBUG_VARIABLE}=1 shows where this comes from.[/dim]")


def print_problem(problem: Problem) -> None:
    """Print what is wrong in red, then what to do and which fields are meant."""
    console = errors_console()
    console.print(f"[red]{escape(problem.title)}.[/red]", soft_wrap=True)
    console.print(escape(problem.detail), soft_wrap=True)
    for entry in problem.errors:
        console.print(f"  {escape(entry.pointer)}: {escape(entry.detail)}", soft_wrap=True)
