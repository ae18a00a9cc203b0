"""Options that several commands share, and what they mean."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from selvage_client.errors import invalid_input
from selvage_client.transport import DEFAULT_URL, URL_VARIABLE

Url = Annotated[
    str | None,
    typer.Option(envvar=URL_VARIABLE, help=f"Address of the service.  [default: {DEFAULT_URL}]"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, for scripts.")]
ModelName = Annotated[
    str, typer.Option("--model", "-m", help="`name` or `name:version`, see `selvage models list`.")
]
PipelineFile = Annotated[
    Path | None, typer.Option("--pipeline", help="JSON file with the pipeline configuration.")
]
Images = Annotated[Path, typer.Argument(help="Folder of images, a zip of them, or one image.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job, job_….")]


def read_pipeline(path: Path | None) -> dict[str, Any] | None:
    """Return the content of a pipeline file.

    Raises:
        InvalidInput: it cannot be read or holds no JSON object.
    """
    if path is None:
        return None
    try:
        pipeline = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise invalid_input(f"'{path}' cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise invalid_input(f"'{path}' is not JSON ({error}).") from error
    if not isinstance(pipeline, dict):
        raise invalid_input(f"'{path}' must hold one JSON object, like {{'predict': {{}}}}.")
    return pipeline


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
