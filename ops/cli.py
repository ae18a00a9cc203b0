"""The operator's commands; the user's half of `selvage` finds them by an entry point."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from domain.settings import Settings
from ops import database as database_commands
from ops import gc, keys, secrets
from ops.announcement import read_announcement
from ops.devices import choose_gpus
from ops.log import ServiceLog
from ops.processes import environment, module_command
from ops.rim import failure, load_settings
from ops.settings_view import settings_rows
from ops.supervisor import Supervisor
from ops.up import (
    LIGHT_QUEUE,
    CannotStart,
    run_up,
    training_worker_process,
    with_metrics_port,
    worker_process,
)

_DEVICE_HELP = "`cpu`, `cuda`, `cuda:0`, or `auto`: a GPU if there is one."


# The module that is run knows its arguments, and shows its own help.
_ANY_ARGUMENTS: dict[str, Any] = {
    "add_help_option": False,
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
}


def register(app: typer.Typer) -> None:
    """Add the operator's commands to `app`; an existing group `models` gets three more."""
    app.command("up")(up)
    app.command("scheduler")(scheduler)
    app.command("settings")(show_settings)
    worker = _group(app, "worker", "Processes that do the work.")
    worker.command("label")(worker_label)
    worker.command("light")(worker_light)
    worker.command("training")(worker_training)
    database = _group(app, "db", "The catalog.")
    database.command("upgrade")(db_upgrade)
    database.command("backup")(db_backup)
    database.command("check")(database_commands.check)
    database.command("downgrade")(database_commands.downgrade)
    app.command("gc")(gc.collect)
    api_keys = _group(app, "keys", "API keys.")
    api_keys.command("create")(keys.create)
    api_keys.command("list")(keys.list_keys)
    api_keys.command("revoke")(keys.revoke)
    stored = _group(app, "secrets", "Credentials of connections, and the keys to them.")
    stored.command("new-key")(secrets.new_key)
    stored.command("rotate")(secrets.rotate)
    models = _group(app, "models", "Models of the service.")
    models.command("add", **_ANY_ARGUMENTS)(models_add)
    models.command("convert", **_ANY_ARGUMENTS)(models_convert)
    models.command("pull", **_ANY_ARGUMENTS)(models_pull)


def up(
    port: Annotated[int | None, typer.Option(help="Port of the API; 0 takes a free one.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Label workers to start.")] = None,
    device: Annotated[str | None, typer.Option(help=_DEVICE_HELP)] = None,
    quiet: Annotated[bool, typer.Option(help="Write the log to its file only.")] = False,
    until_stdin_closes: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run the whole service on this machine until Ctrl-C."""
    settings = load_settings(port=port, workers=workers, device=device)
    lifeline_fd = sys.stdin.fileno() if until_stdin_closes else None
    try:
        code = run_up(settings, lifeline_fd=lifeline_fd, console=not quiet)
    except CannotStart as error:
        raise failure(str(error)) from None
    raise typer.Exit(code)


def worker_label(
    gpus: Annotated[
        str | None, typer.Option(help="`all`, or ids such as `0,1`: one worker for each.")
    ] = None,
    device: Annotated[str | None, typer.Option(help=_DEVICE_HELP)] = None,
) -> None:
    """Run label workers for a service that runs already."""
    settings = load_settings(device=device)
    env = _service_env(settings)
    if gpus is None:
        _become("workers.parent", "--device", settings.device, env=env)
    try:
        chosen = choose_gpus(gpus)
    except ValueError as error:
        raise failure(str(error)) from None
    specs = [
        worker_process(f"gpu-{gpu}", "cuda:0", with_metrics_port(env, settings, number), gpu=gpu)
        for number, gpu in enumerate(chosen)
    ]
    log = ServiceLog(None)
    Supervisor(specs, log, shutdown_seconds=settings.shutdown_seconds).run()


def worker_light() -> None:
    """Run a worker that takes in images from elsewhere, for a service that runs already."""
    _become("workers.parent", "--queue", LIGHT_QUEUE, env=_service_env(load_settings()))


def worker_training(
    gpus: Annotated[
        str | None,
        typer.Option(help="`all`, or ids such as `0,1`: one training at a time on all of them."),
    ] = None,
) -> None:
    """Run a worker that trains models, for a service that runs already; on the CPU without --gpus.

    It has its devices to itself while it trains: label workers on them make room and come back.
    """
    env = _service_env(load_settings())
    try:
        chosen = [] if gpus is None else choose_gpus(gpus)
    except ValueError as error:
        raise failure(str(error)) from None
    spec = training_worker_process("training", env, gpus=chosen)
    sys.stdout.flush()
    os.execve(spec.command[0], spec.command, dict(spec.env))


def scheduler() -> None:
    """Run the scheduler of a service whose API and workers run elsewhere."""
    _become("workers.scheduler", env=_service_env(load_settings()))


def db_upgrade() -> None:
    """Create the tables of the catalog, or bring them up to date."""
    # Imported here: SQLAlchemy takes a while, and `selvage --help` should not.
    from storage.catalog.migrations import upgrade

    settings = load_settings()
    if settings.database_url is None:
        settings.data_dir.absolute().mkdir(parents=True, exist_ok=True)
    upgrade(settings.catalog_url)
    typer.echo("The catalog is up to date.")


def db_backup(
    target: Annotated[Path, typer.Argument(help="New file for the copy.", show_default=False)],
) -> None:
    """Copy the catalog to a new file, while the service runs (SQLite)."""
    from ops.backup import CannotBackUp, back_up_catalog

    try:
        size_bytes = back_up_catalog(load_settings().catalog_url, target)
    except CannotBackUp as error:
        raise failure(str(error)) from None
    typer.echo(f"The catalog was copied to {target} ({size_bytes / 2**20:.1f} MiB).")


def models_add(context: typer.Context) -> None:
    """Check a model folder on this machine and register it: FOLDER --name NAME."""
    _delegate("workers.add_model", context.args)


def models_convert(context: typer.Context) -> None:
    """Make a model folder of a file that may carry code, such as a pickle: SOURCE TARGET."""
    _delegate("models.convert", context.args)


def models_pull(context: typer.Context) -> None:
    """Download a region model of Segment Anything and register it: sam_vit_b | sam_vit_l | …_h."""
    _delegate("workers.pull_region_model", context.args)


def show_settings() -> None:
    """Show every setting: variable, value here, default, meaning."""
    table = Table("variable", "value", "default", "meaning")
    for row in settings_rows(load_settings()):
        table.add_row(*row)
    Console().print(table)


def _group(app: typer.Typer, name: str, help_text: str) -> typer.Typer:
    for info in app.registered_groups:
        if info.name == name and info.typer_instance is not None:
            return info.typer_instance
    group = typer.Typer(help=help_text, no_args_is_help=True)
    app.add_typer(group, name=name)
    return group


def _service_env(settings: Settings) -> dict[str, str]:
    """Return the environment for a process that joins a running service."""
    env = environment(SELVAGE_DATA_DIR=str(settings.data_dir.absolute()))
    if settings.redis_url is None:
        running = read_announcement(settings.data_dir)
        if running is None:
            raise failure(
                f"No service runs on {settings.data_dir.absolute()} (`selvage up` starts one), and"
                " SELVAGE_REDIS_URL names no queue elsewhere."
            )
        env["SELVAGE_REDIS_URL"] = running.broker_url
    return env


def _become(module: str, *args: str, env: dict[str, str]) -> NoReturn:
    command = module_command(module, *args)
    sys.stdout.flush()
    os.execve(command[0], command, env)


def _delegate(module: str, args: list[str]) -> NoReturn:
    """Run a module that loads torch and foreign files in a process of its own."""
    command = module_command(module, *args)
    raise typer.Exit(subprocess.run(command, env=environment(), check=False).returncode)
