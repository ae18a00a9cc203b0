"""Options that several commands share, and what they mean."""

import json
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from api_schemas.ids import ULID_PATTERN
from api_schemas.models import parse_model_reference
from selvage_client.errors import invalid_input
from selvage_client.requests import Pipeline
from selvage_client.transport import API_KEY_VARIABLE, DEFAULT_URL, URL_VARIABLE

Url = Annotated[
    str | None,
    typer.Option(envvar=URL_VARIABLE, help=f"Address of the service.  [default: {DEFAULT_URL}]"),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar=API_KEY_VARIABLE,
        help="Key of the service; others on this machine see it here, but not in the variable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, for scripts.")]
ModelName = Annotated[
    str, typer.Option("--model", "-m", help="`name` or `name:version`, see `selvage models list`.")
]
PipelineFile = Annotated[
    str | None,
    typer.Option("--pipeline", help="JSON file with the configuration, or the name of a pipeline."),
]
ScheduleAt = Annotated[
    str | None,
    typer.Option(help="Not begun before: `2026-11-20T02:00`, or from now: `90m`, `2h`, `1d`."),
]
DeadlineAt = Annotated[
    str | None, typer.Option(help="What is not done by then is cancelled; written the same way.")
]
Priority = Annotated[int | None, typer.Option(min=-100, max=100, help="Higher goes first.")]
Wait = Annotated[bool, typer.Option("--wait", help="Stay until the job is done.")]
Limit = Annotated[int, typer.Option(min=1, help="How many to list.")]
Force = Annotated[
    bool, typer.Option("--force", help="Although finished jobs or the like refer to it.")
]
_JSON_SUFFIX: Final = ".json"
_FROM_NOW: Final = re.compile(r"(?P<number>\d{1,6})(?P<unit>[smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
Images = Annotated[Path, typer.Argument(help="Folder of images, a zip of them, or one image.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job, job_….")]


def read_pipeline(pipeline: str | None) -> Pipeline | None:
    """Return the content of a pipeline file, or the name of a stored pipeline as it is.

    Raises:
        InvalidInput: it is a file that cannot be read or holds no JSON object.
    """
    if pipeline is None:
        return None
    path = Path(pipeline)
    is_name = not path.exists() and path.suffix != _JSON_SUFFIX and path.name == pipeline
    return pipeline if is_name else read_json(path, "{'predict': {}}")


def read_json(path: Path, example: str) -> dict[str, Any]:
    """Return the JSON object in a file; `-` is stdin.

    Raises:
        InvalidInput: it cannot be read or holds no JSON object.
    """
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        content = json.loads(text)
    except OSError as error:
        raise invalid_input(f"'{path}' cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise invalid_input(f"'{path}' is not JSON ({error}).") from error
    if not isinstance(content, dict):
        raise invalid_input(f"'{path}' must hold one JSON object, like {example}.")
    return content


def read_time(text: str | None) -> datetime | timedelta | None:
    """Return a time as it is written on the command line; without a zone it is local.

    Raises:
        InvalidInput: it is none.
    """
    if text is None:
        return None
    match = _FROM_NOW.fullmatch(text.strip())
    if match is not None:
        return timedelta(**{_UNITS[match["unit"]]: int(match["number"])})
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError) as error:
        raise invalid_input(
            f"'{text}' is no time. Write 2026-11-20T02:00, or from now on 90m, 2h or 1d."
        ) from error


def check_model(model: str) -> None:
    """Refuse a path where a name is meant.

    Raises:
        InvalidInput: the reference is a path.
    """
    if "/" in model or "\\" in model:
        raise invalid_input(
            f"'{model}' is a path, and --model wants the name of a registered model. "
            f"Register it first: `selvage models add {model} --name NAME`."
        )


def is_id(prefix: str, given: Path) -> bool:
    """Return whether an argument is an id such as `upl_…`, not a file of that name."""
    return re.fullmatch(f"{prefix}_{ULID_PATTERN}", str(given)) is not None and not given.exists()


def model_version(reference: str) -> tuple[str, int]:
    """Split `name:version`.

    Raises:
        InvalidInput: it names no version.
    """
    try:
        name, version = parse_model_reference(reference)
    except ValueError as error:
        raise invalid_input(f"{error}.") from error
    if version is None:
        raise invalid_input(f"Say which version of '{name}': {name}:1, {name}:2, …")
    return name, version
