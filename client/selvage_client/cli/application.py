"""Puts the command together: our groups, then what installed packages add."""

from importlib.metadata import entry_points

import typer

from selvage_client.cli import (
    campaigns,
    connections,
    exports,
    image_sets,
    integrations,
    jobs,
    label,
    label_sets,
    models,
    pipelines,
    reviews,
    schedules,
    submit,
    system,
    uploads,
    webhooks,
)
from selvage_client.cli.rim import FriendlyGroup
from selvage_client.errors import SelvageError, client_problem

COMMANDS_GROUP = "selvage.commands"
OPERATOR_COMMANDS = ("up", "worker", "scheduler", "db", "settings", "gc", "keys", "secrets")
OPERATOR_MODEL_COMMANDS = ("add", "convert", "pull")
_ANY_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}


def build_app() -> typer.Typer:
    """Return the whole `selvage` command."""
    app = typer.Typer(
        name="selvage",
        cls=FriendlyGroup,
        help="Segmentation pseudo-labels for images of a new domain.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    label.register(app)
    submit.register(app)
    jobs.register(app)
    uploads.register(app)
    system.register(app)
    app.add_typer(models.group(), name="models")
    app.add_typer(image_sets.group(), name="image-sets")
    app.add_typer(campaigns.group(), name="campaign")
    app.add_typer(label_sets.group(), name="label-sets")
    exports.register(app)
    app.add_typer(exports.group(), name="exports")
    app.add_typer(connections.group(), name="connections")
    app.add_typer(integrations.group(), name="integrations")
    app.add_typer(pipelines.group(), name="pipelines")
    app.add_typer(reviews.group(), name="review")
    app.add_typer(schedules.group(), name="schedules")
    app.add_typer(webhooks.group(), name="webhooks")
    _add_operator_commands(app)
    return app


def _add_operator_commands(app: typer.Typer) -> None:
    """Let each `selvage.commands` entry point add to the app; stand in where there is none."""
    found = list(entry_points(group=COMMANDS_GROUP))
    if not found:
        _stand_in(app, "This is an installation of the client alone.")
        return
    try:
        for entry in found:
            entry.load()(app)
    except ImportError as error:
        _stand_in(app, f"The service's own code cannot be loaded here ({error}).")


def _stand_in(app: typer.Typer, reason: str) -> None:
    """Add hidden commands that say where the real ones are."""
    groups = {info.name: info.typer_instance for info in app.registered_groups}
    present = {command.name for command in app.registered_commands} | set(groups)
    for name in OPERATOR_COMMANDS:
        if name not in present:
            _add_stub(app, name, f"selvage {name}", reason)
    models_group = groups["models"]
    assert models_group is not None  # added by build_app
    for name in OPERATOR_MODEL_COMMANDS:
        _add_stub(models_group, name, f"selvage models {name}", reason)


def _add_stub(app: typer.Typer, name: str, command: str, reason: str) -> None:
    def stub() -> None:
        detail = (
            f"{reason} Install the service from a checkout of the project "
            "(pip install -r requirements.lock -e .) and run the command there."
        )
        title = f"`{command}` belongs to the service"
        raise SelvageError(client_problem("service-not-installed", title, detail))

    app.command(name, hidden=True, context_settings=_ANY_ARGUMENTS)(stub)
