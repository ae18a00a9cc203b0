"""`selvage secrets`: the keys that encrypt stored credentials, and what they encrypt."""

import typer

from api_schemas.problems import ProblemError
from ops.rim import failure, load_settings, open_catalog


def new_key() -> None:
    """Print a fresh key for SELVAGE_SECRET_KEY."""
    # Imported here, as below: `selvage --help` should not wait for cryptography.
    from domain import secrets

    typer.echo(secrets.new_key())


def rotate() -> None:
    """Encrypt all stored credentials anew.

    The key is the first of SELVAGE_SECRET_KEY, or else a fresh one in the data folder.
    """
    from domain import secret_rotation
    from domain.secrets import KEY_FILE, SecretKeeper

    settings = load_settings()
    keeper = SecretKeeper(settings)
    with open_catalog(settings) as catalog:
        try:
            done = secret_rotation.rotate(catalog, keeper)
        except ProblemError as error:
            raise failure(error.detail) from None
    key = f"a new key in {KEY_FILE}" if keeper.is_file else "the first key of SELVAGE_SECRET_KEY"
    what = "connections and webhook endpoints"
    typer.echo(f"The secrets of {done.rotated} {what} are encrypted with {key}.")
    if done.unreadable:
        raise failure(
            f"No key fits the secrets of: {', '.join(done.unreadable)}. Set them anew "
            "(PATCH /v1/connections/NAME; POST /v1/webhook-endpoints/NAME:rotate-secret with "
            "overlap_seconds 0), or give the former key back."
        )
    if not keeper.is_file:
        typer.echo("Former keys can go once every process runs with this one in front.")
