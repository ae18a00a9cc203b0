"""`selvage label`: a folder of images in, a folder of labels out, in one command."""

import json as json_module
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Final

import typer

from api_schemas.jobs import Job
from selvage_client.cli import flows
from selvage_client.cli.bars import clock
from selvage_client.cli.consoles import output_console
from selvage_client.cli.options import (
    ApiKey,
    Images,
    Json,
    ModelName,
    PipelineFile,
    Url,
    check_model,
    read_pipeline,
)
from selvage_client.cli.tables import facts_table, reasons_table, styled
from selvage_client.downloads import RECORD_NAME, DownloadReport, check_folder
from selvage_client.errors import SelvageError, client_problem
from selvage_client.sync_client import Selvage
from selvage_client.transport import DEFAULT_URL

EMBEDDED_GROUP: Final = "selvage.embedded"


def register(app: typer.Typer) -> None:
    """Add `selvage label`."""
    app.command()(label)


def label(
    images: Images,
    model: ModelName,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the labels.")],
    pipeline: PipelineFile = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of the embedded service.  [default: as for `selvage up`]"),
    ] = None,
    json: Json = False,
) -> None:
    """Label a folder of images; without --url by a service started for this command."""
    check_model(model)
    check_folder(out)
    config = read_pipeline(pipeline)
    with _service(url, data_dir) as address, Selvage(address, api_key) as client:
        created = flows.send(client, images, model, config)
        with flows.resumable(_resume_hint(created.job.id, out, url, data_dir)):
            job = flows.watch_job(client, created.job.id)
            report = flows.fetch(client, job.id, out)
        reasons = flows.reasons(client, job)
    if json:
        typer.echo(json_module.dumps(_summary_json(job, report, reasons), indent=2))
    else:
        console = output_console()
        console.print(facts_table(_summary_rows(job, report)))
        if reasons:
            console.print(reasons_table(reasons))
    raise typer.Exit(flows.exit_code(job))


@contextmanager
def _service(url: str | None, data_dir: Path | None) -> Iterator[str]:
    """Yield the address of the service to use; one of our own lives as long as the block."""
    if url is not None:
        yield url
        return
    starters = entry_points(group=EMBEDDED_GROUP, name="service")
    if not starters:
        detail = (
            "This is an installation of the client alone, so it cannot start a service. "
            f"Give the address of one: --url {DEFAULT_URL}, or the variable SELVAGE_URL."
        )
        title = "There is no service to ask"
        raise SelvageError(client_problem("service-not-installed", title, detail))
    (starter,) = starters
    with starter.load()(data_dir=data_dir) as address:
        yield address


def _resume_hint(job_id: str, out: Path, url: str | None, data_dir: Path | None) -> str:
    if url is not None:
        return (
            f"{flows.watch_hint(job_id, url)}\n"
            f"Then fetch the labels: selvage download {job_id} --out {out} --url {url}"
        )
    folder = "" if data_dir is None else f"SELVAGE_DATA_DIR={data_dir} "
    return (
        "The service stops; the job is kept. To go on:\n"
        f"  {folder}selvage up\n"
        f"  selvage watch {job_id}\n"
        f"  selvage download {job_id} --out {out}"
    )


def _summary_rows(job: Job, report: DownloadReport) -> list[tuple[str, str]]:
    figures = _figures(report.folder)
    rows = [
        ("job", job.id),
        ("status", styled(job.status)),
        ("labels", f"{report.labels} ({report.without_label} images without one)"),
    ]
    if job.started_at and job.finished_at:
        seconds = (job.finished_at - job.started_at).total_seconds()
        rate = f", {report.labels / seconds:.1f} images/s" if seconds > 0 else ""
        rows.append(("took", clock(seconds) + rate))
    rows += [(f"mean {name}", f"{value:.3f}") for name, value in figures.items()]
    rows.append(("folder", str(report.folder)))
    return rows


def _summary_json(job: Job, report: DownloadReport, reasons: dict[str, str]) -> dict[str, Any]:
    return {
        "job": job.model_dump(mode="json"),
        "folder": str(report.folder),
        "labels": report.labels,
        "without_label": report.without_label,
        "reasons": reasons,
        "mean": _figures(report.folder),
    }


def _figures(folder: Path) -> dict[str, float]:
    """Return the mean coverage and quality over the labels of a folder, where known."""
    lines = (folder / RECORD_NAME).read_bytes().split(b"\n")
    rows = [json_module.loads(line) for line in lines if line]
    values = {name: [row[name] for row in rows if name in row] for name in ("coverage", "quality")}
    return {name: fmean(found) for name, found in values.items() if found}
