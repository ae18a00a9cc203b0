"""`selvage campaign start | list | status | watch | pause | resume | stop | delete`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from api_schemas.campaigns import Campaign, Round
from selvage_client.cli import flows
from selvage_client.cli.bars import campaign_bar
from selvage_client.cli.consoles import output_console
from selvage_client.cli.options import (
    ApiKey,
    Force,
    Json,
    Limit,
    ModelName,
    PipelineFile,
    Url,
    Wait,
    read_json,
    read_pipeline,
)
from selvage_client.cli.printing import print_list, styled_table, tell
from selvage_client.cli.tables import facts_table, local_time, problem_text, styled
from selvage_client.errors import invalid_input
from selvage_client.sync_client import Selvage

CampaignId = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Id of a campaign, cmp_….")]
GOOD_ENDS: Final = ("succeeded", "halted", "stopped")


def group() -> typer.Typer:
    """Return the commands about campaigns."""
    app = typer.Typer(help="Rounds of labels and training.", no_args_is_help=True)
    app.command("start")(start)
    app.command("list")(list_campaigns)
    app.command("status")(status)
    app.command("watch")(watch)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("stop")(stop)
    app.command("delete")(delete)
    return app


def start(
    target: Annotated[str, typer.Argument(metavar="IMAGE-SET", help="Images of the new domain.")],
    model: ModelName,
    source: Annotated[
        str | None, typer.Option(metavar="SET", help="Labelled source images, ann_…: setting uda.")
    ] = None,
    black_box: Annotated[
        bool, typer.Option("--black-box", help="Without source: only the model's answers are used.")
    ] = False,
    rounds: Annotated[int | None, typer.Option(min=1, help="How many.  [default: 3]")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of each training.")] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    evaluation: Annotated[
        str | None, typer.Option(metavar="SET", help="True labels to measure each model with.")
    ] = None,
    pipeline: PipelineFile = None,
    recipe: Annotated[Path | None, typer.Option(help="JSON file: how models are trained.")] = None,
    more: Annotated[
        Path | None, typer.Option(help="JSON file with more of the request: gates, selection, ….")
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Let the bare model name mean what passed.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="What you call it.")] = None,
    wait: Wait = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Label the images, train on the labels, measure, decide; then again."""
    setting = "black_box" if black_box else "source_free" if source is None else "uda"
    given = read_json(more, "{'gates': {'max_label_drift': 0.3}}") if more else {}
    if twice := sorted({"model", "target"} & given.keys()):
        raise invalid_input(f"'{more}' has '{twice[0]}', which the command line gives.")
    options = {
        "setting": setting,
        "source": source,
        "pipeline": read_pipeline(pipeline),
        "recipe": read_json(recipe, "{'batch_size': 4}") if recipe else None,
        "rounds": rounds,
        "steps": steps,
        "seed": seed,
        "evaluation": evaluation,
        "promote": promote or None,
        "name": name,
    }
    chosen = {key: value for key, value in options.items() if value is not None}
    with Selvage(url, api_key) as client:
        made = client.campaigns.start(model, target, **{**given, **chosen})
        if wait:
            _watch(client, made.id, json=json)
    tell(made, made.id, json=json)


def list_campaigns(
    limit: Limit = 50, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """List campaigns, the newest first."""
    empty = "No campaign yet. Start one: selvage campaign start IMAGE-SET --model NAME"
    with Selvage(url, api_key) as client:
        print_list(client.campaigns.list(), json=json, table=_table, empty=empty, limit=limit)


def status(
    campaign: CampaignId, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """Show one campaign with its rounds."""
    with Selvage(url, api_key) as client:
        _show(client, client.campaigns.get(campaign), json=json)


def watch(
    campaign: CampaignId, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """Follow a campaign until it is over."""
    with Selvage(url, api_key) as client:
        _watch(client, campaign, json=json)


def pause(
    campaign: CampaignId, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """Begin no further step; a job that is under way goes on."""
    with Selvage(url, api_key) as client:
        found = client.campaigns.pause(campaign)
    tell(found, f"Campaign {found.id} is paused.", json=json)


def resume(
    campaign: CampaignId, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """Go on with the next step."""
    with Selvage(url, api_key) as client:
        found = client.campaigns.resume(campaign)
    tell(found, f"Campaign {found.id} goes on.", json=json)


def stop(campaign: CampaignId, url: Url = None, api_key: ApiKey = None, json: Json = False) -> None:
    """End a campaign; what its rounds have made stays."""
    with Selvage(url, api_key) as client:
        found = client.campaigns.stop(campaign)
    tell(found, f"Campaign {found.id} is {found.status}.", json=json)


def delete(
    campaign: CampaignId, force: Force = False, url: Url = None, api_key: ApiKey = None
) -> None:
    """Delete a campaign; its models, label sets and jobs stay."""
    with Selvage(url, api_key) as client:
        client.campaigns.delete(campaign, force=force)
    typer.echo(f"Campaign {campaign} is deleted.")


def _watch(client: Selvage, campaign_id: str, *, json: bool) -> None:
    hint = f"The campaign goes on. Follow it: selvage campaign watch {campaign_id}"
    with flows.resumable(hint), campaign_bar() as on_campaign:
        for found in client.campaigns.progress(campaign_id):
            on_campaign(found)
    _show(client, found, json=json)
    raise typer.Exit(0 if found.status in GOOD_ENDS else 1)


def _show(client: Selvage, found: Campaign, *, json: bool) -> None:
    if json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        output_console().print(_details(found, client.campaigns.rounds(found.id)))


def _table(campaigns: Iterable[Campaign]) -> Table:
    rows = [
        [one.id, escape(one.name or ""), styled(one.status),
         f"{one.progress.round}/{one.progress.rounds}", escape(one.teacher)]
        for one in campaigns
    ]  # fmt: skip
    return styled_table(["campaign", "name", "status", "rounds", "teacher"], rows)


def _details(one: Campaign, rounds: Sequence[Round]) -> Group:
    progress = one.progress
    rows = [
        ("campaign", one.id),
        ("name", escape(one.name or "–")),
        ("status", styled(one.status)),
        ("round", f"{progress.round} of {progress.rounds}"),
        ("began with", escape(one.model)),
        ("teacher now", escape(one.teacher)),
        ("started", local_time(one.created_at)),
    ]
    if progress.step:
        rows.append(("step", progress.step + (f" ({progress.job})" if progress.job else "")))
    if progress.waiting:
        rows.append(("waits", problem_text(progress.waiting)))
    if one.reason:
        rows.append(("reason", problem_text(one.reason)))
    table = [_round(found) for found in rounds]
    columns = ["round", "status", "teacher", "mIoU", "model", "mIoU", "why"]
    return Group(facts_table(rows), *([styled_table(columns, table)] if table else []))


def _round(found: Round) -> list[str]:
    before, after = found.teacher_scores, found.scores
    return [
        str(found.number),
        styled(found.status),
        escape(found.teacher),
        _percent(before.miou if before else None),
        escape(found.model or "–"),
        _percent(after.miou if after else None),
        escape(found.reason.detail if found.reason else ""),
    ]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
