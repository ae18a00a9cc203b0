"""`selvage submit | refine | fit-… | train`: jobs that make labels, or help to make them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from api_schemas.labels import PseudoLabelsCreated
from selvage_client.cli import flows
from selvage_client.cli.consoles import errors_console, output_console
from selvage_client.cli.options import (
    ApiKey,
    DeadlineAt,
    Json,
    ModelName,
    PipelineFile,
    Priority,
    ScheduleAt,
    Url,
    Wait,
    check_model,
    is_id,
    read_json,
    read_pipeline,
    read_time,
)
from selvage_client.cli.tables import job_details, reasons_table
from selvage_client.packing import images_archive
from selvage_client.sync_client import Selvage

SourceLabels = Annotated[
    str, typer.Argument(metavar="ANNOTATION_SET", help="Labels of purpose `source`, ann_….")
]
SampleImages = Annotated[int | None, typer.Option(min=2, help="Images used.  [default: 512]")]
Promote = Annotated[
    bool, typer.Option("--promote", help="Let the bare model name mean the new version.")
]


def register(app: typer.Typer) -> None:
    """Add the commands that start jobs."""
    app.command()(submit)
    app.command()(refine)
    app.command()(fit_connectivity)
    app.command()(fit_rectifier)
    app.command()(train)


def submit(
    images: Annotated[
        Path,
        typer.Argument(help="Folder of images, a zip of them, one image, or an image set, set_…."),
    ],
    model: ModelName,
    wait: Wait = False,
    pipeline: PipelineFile = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse all files if one of them cannot be used.")
    ] = False,
    schedule_at: ScheduleAt = None,
    deadline_at: DeadlineAt = None,
    priority: Priority = None,
    upload: Annotated[
        bool,
        typer.Option("--upload", help="Send as one archive, in parts that can be resumed."),
    ] = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Send images to a service, or name a set of them, and start a job that labels them."""
    check_model(model)
    options: dict[str, Any] = {
        "schedule_at": read_time(schedule_at),
        "deadline_at": read_time(deadline_at),
        "priority": priority,
    }
    config = read_pipeline(pipeline)
    with Selvage(url, api_key) as client:
        image_set = str(images) if is_id("set", images) else None
        if upload and image_set is None:
            image_set = _send_archive(client, images, model, url)
        if image_set is not None:
            job = client.generate(image_set, model, pipeline=config, **options)
            flows.start_and_tell(client, job, wait=wait, json=json, url=url)
        options["handling"] = "strict" if strict else None
        created = flows.send(client, images, model, config, **options)
        if wait:
            with flows.resumable(flows.watch_hint(created.job.id, url)):
                job = flows.watch_job(client, created.job.id)
            created = created.model_copy(update={"job": job})
    _tell(created, wait=wait, json=json)


def refine(
    labels: Annotated[
        str,
        typer.Argument(metavar="JOB", help="A job, or an annotation set (ann_…) to start from."),
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="By default the labels' model, in its current version."),
    ] = None,
    pipeline: PipelineFile = None,
    wait: Wait = False,
    schedule_at: ScheduleAt = None,
    deadline_at: DeadlineAt = None,
    priority: Priority = None,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Label the images of a job again with another model or pipeline; what stays is taken over.

    With an annotation set of purpose `initial`, grow and correct its labels; that takes --model.
    """
    config = read_pipeline(pipeline)
    start, deadline = read_time(schedule_at), read_time(deadline_at)
    with Selvage(url, api_key) as client:
        is_set = is_id("ann", Path(labels))
        started = client.refine(
            None if is_set else labels,
            annotation_set=labels if is_set else None,
            model=model,
            pipeline=config,
            schedule_at=start,
            deadline_at=deadline,
            priority=priority,
        )
        flows.start_and_tell(client, started, wait=wait, json=json, url=url)


def fit_connectivity(
    annotation_set: SourceLabels,
    model: ModelName,
    pipeline: PipelineFile = None,
    sample_images: SampleImages = None,
    views: Annotated[
        int | None, typer.Option(min=1, help="Styles in which each image is seen.  [default: 4]")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of images and styles.")] = None,
    promote: Promote = False,
    wait: Wait = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Fit a model's classifier of regions on labelled source images: a new version with it."""
    check_model(model)
    config = read_pipeline(pipeline)
    with Selvage(url, api_key) as client:
        started = client.fit_connectivity(
            annotation_set,
            model,
            pipeline=config,
            sample_images=sample_images,
            views=views,
            seed=seed,
            promote=promote,
        )
        flows.start_and_tell(client, started, wait=wait, json=json, url=url)


def fit_rectifier(
    fitted_on: Annotated[
        str,
        typer.Argument(
            metavar="SET",
            help="Labels of purpose `source`, ann_…, or unlabelled images of the target, set_….",
        ),
    ],
    model: ModelName,
    pipeline: PipelineFile = None,
    sample_images: SampleImages = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of images and of the fit.")] = None,
    promote: Promote = False,
    wait: Wait = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Fit a model's rectifier, on labelled source images or images alone: a new version with it."""
    check_model(model)
    config = read_pipeline(pipeline)
    with Selvage(url, api_key) as client:
        is_labelled = is_id("ann", Path(fitted_on))
        started = client.fit_rectifier(
            fitted_on if is_labelled else None,
            model,
            image_set=None if is_labelled else fitted_on,
            pipeline=config,
            sample_images=sample_images,
            seed=seed,
            promote=promote,
        )
        flows.start_and_tell(client, started, wait=wait, json=json, url=url)


def train(
    label_set: Annotated[
        str, typer.Argument(metavar="LABEL_SET", help="Labels of the target domain, lbs_….")
    ],
    model: ModelName,
    source: Annotated[
        str | None,
        typer.Option(help="Annotation set of purpose `source`; for the setting `uda`."),
    ] = None,
    setting: Annotated[
        str | None,
        typer.Option(
            help="uda, source_free or black_box.  [default: uda with --source, else source_free]"
        ),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="JSON file that says how to train; `-` is stdin.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="[default: 2000]")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of all that is drawn.")] = None,
    promote: Promote = False,
    wait: Wait = False,
    deadline_at: DeadlineAt = None,
    priority: Priority = None,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Train a model on a label set, with source images or without: a new version of it."""
    check_model(model)
    content = None if recipe is None else read_json(recipe, "{'learning_rate': 0.001}")
    with Selvage(url, api_key) as client:
        started = client.train(
            label_set,
            model,
            source=None if source is None else {"annotations": source},
            setting=setting or ("source_free" if source is None else "uda"),
            recipe=content,
            steps=steps,
            seed=seed,
            promote=promote,
            deadline_at=read_time(deadline_at),
            priority=priority,
        )
        flows.start_and_tell(client, started, wait=wait, json=json, url=url)


def _send_archive(client: Selvage, images: Path, model: str, url: str | None) -> str:
    """Upload images as one archive, let the service take them in; return the image set."""
    flows.check_model_exists(client, model)
    with images_archive(images) as archive:
        upload = flows.send_in_parts(client, archive, passing=archive != images)
    return flows.take_in(client, {"type": "upload", "upload": upload.id}, images.name, url)


def _tell(created: PseudoLabelsCreated, *, wait: bool, json: bool) -> None:
    job = created.job
    if rejected := flows.rejected_files(created.image_set):
        errors_console().print(reasons_table(rejected))
    if json:
        typer.echo(created.model_dump_json(indent=2))
    elif wait:
        output_console().print(job_details(job))
    else:
        typer.echo(job.id)
    if wait:
        raise typer.Exit(flows.exit_code(job))
