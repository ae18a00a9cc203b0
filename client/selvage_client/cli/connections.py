"""`selvage connections list | show | create … | test | delete`."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from api_schemas.connections import Connection, ConnectionTest, S3Config
from selvage_client.cli.options import ApiKey, Json, Limit, Url
from selvage_client.cli.printing import plain_table, print_list, print_one, styled_table, tell
from selvage_client.cli.secret_input import SecretStdin, SecretVariable, read_secret
from selvage_client.cli.tables import facts_table, local_time
from selvage_client.sync_client import Selvage

Reference = Annotated[str, typer.Argument(metavar="CONNECTION", help="Name or id, con_….")]
NewName = Annotated[str, typer.Argument(metavar="NAME", help="Such as lab-bucket.")]


def group() -> typer.Typer:
    """Return the commands about connections."""
    connections = typer.Typer(help="Places outside, with credentials.", no_args_is_help=True)
    connections.command("list")(list_connections)
    connections.command("show")(show)
    create = typer.Typer(
        help="Give a place a name. Its secret is typed, or comes from a variable or stdin.",
        no_args_is_help=True,
    )
    create.command("s3")(create_s3)
    create.command("http")(create_http)
    create.command("label-studio")(create_label_studio)
    connections.add_typer(create, name="create")
    connections.command("test")(try_connection)
    connections.command("delete")(delete)
    return connections


def list_connections(
    limit: Limit = 100, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """List connections."""
    empty = "No connection yet. Make one: selvage connections create s3 NAME --bucket BUCKET"
    with Selvage(url, api_key) as client:
        print_list(client.connections.list(), json=json, table=_table, empty=empty, limit=limit)


def show(
    connection: Reference, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """Show one connection; of its secrets the names."""
    with Selvage(url, api_key) as client:
        found = client.connections.get(connection)
    config = found.config.model_dump(mode="json", exclude_none=True)
    rows = [("connection", found.id), ("name", escape(found.name)), ("kind", found.kind)]
    rows += [(f"  {name}", escape(str(value))) for name, value in config.items()]
    rows.append(("secrets", ", ".join(found.secrets) or "none"))
    rows.append(("last test", _outcome(found.last_test)))
    print_one(found, json=json, table=facts_table(rows))


def create_s3(
    name: NewName,
    bucket: Annotated[str, typer.Option(help="Name of the bucket.")],
    access_key_id: Annotated[
        str | None, typer.Option(help="Whose secret is asked for; without it the bucket is public.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="https://host:port of a store.  [default: AWS]")
    ] = None,
    region: Annotated[str | None, typer.Option(help="[default: us-east-1]")] = None,
    prefix: Annotated[str | None, typer.Option(help="Where keys begin; ends in a slash.")] = None,
    secret_env: SecretVariable = None,
    secret_stdin: SecretStdin = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """A bucket, or the part of one below a prefix."""
    config: dict[str, Any] = {
        "bucket": bucket,
        "access_key_id": access_key_id,
        "endpoint": endpoint,
        "region": region,
        "prefix": prefix,
    }
    secrets = {}
    if access_key_id is None:
        config["anonymous"] = True
    else:
        secret = read_secret("secret access key", secret_env, stdin=secret_stdin)
        secrets["secret_access_key"] = secret
    _create(name, "s3", config, secrets, url=url, api_key=api_key, json=json)


def create_http(
    name: NewName,
    base_url: Annotated[str, typer.Option(help="Credentials go to addresses below it only.")],
    username: Annotated[
        str | None, typer.Option(help="Basic authentication; its password is asked for.")
    ] = None,
    header_name: Annotated[
        str | None, typer.Option(help="A header such as X-Api-Key; its value is asked for.")
    ] = None,
    bearer: Annotated[
        bool, typer.Option("--bearer", help="A bearer token, which is asked for.")
    ] = False,
    secret_env: SecretVariable = None,
    secret_stdin: SecretStdin = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """A web server below one address."""
    config = {"base_url": base_url, "username": username, "header_name": header_name}
    secrets = {}
    asked = [
        ("password", "password", username is not None),
        ("header_value", f"value of {header_name}", header_name is not None),
        ("bearer_token", "bearer token", bearer),
    ]
    for field, what, wanted in asked:
        if wanted:
            secrets[field] = read_secret(what, secret_env, stdin=secret_stdin)
    _create(name, "http", config, secrets, url=url, api_key=api_key, json=json)


def create_label_studio(
    name: NewName,
    base_url: Annotated[str, typer.Option(help="The token goes to addresses below it only.")],
    secret_env: SecretVariable = None,
    secret_stdin: SecretStdin = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """A Label Studio server; its access token is asked for."""
    token = read_secret("access token", secret_env, stdin=secret_stdin)
    secrets = {"access_token": token}
    config = {"base_url": base_url}
    _create(name, "label_studio", config, secrets, url=url, api_key=api_key, json=json)


def try_connection(
    connection: Reference,
    key: Annotated[str | None, typer.Option(help="A file to read.  [default: the first]")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Let the service list and read there, now; exit code 1 if it cannot."""
    with Selvage(url, api_key) as client:
        found = client.connections.test(connection, key)
    print_one(found, json=json, table=_checks(found))
    raise typer.Exit(0 if found.ok else 1)


def delete(connection: Reference, url: Url = None, api_key: ApiKey = None) -> None:
    """Delete a connection and its secrets."""
    with Selvage(url, api_key) as client:
        client.connections.delete(connection)
    typer.echo(f"Connection {connection} is deleted.")


def _create(
    name: str,
    kind: Literal["s3", "http", "label_studio"],
    config: dict[str, Any],
    secrets: dict[str, str],
    *,
    url: str | None,
    api_key: str | None,
    json: bool,
) -> None:
    given = {field: value for field, value in config.items() if value is not None}
    with Selvage(url, api_key) as client:
        made = client.connections.create(name, kind, given, secrets=secrets)
    tell(made, f"{made.id}\nTry it: selvage connections test {made.name}", json=json)


def _table(connections: Iterable[Connection]) -> Table:
    rows: list[list[str]] = [
        [
            one.name,
            one.kind,
            one.config.bucket if isinstance(one.config, S3Config) else one.config.base_url,
            ", ".join(one.secrets),
            "never" if one.last_test is None else ("ok" if one.last_test.ok else "failed"),
            one.id,
        ]
        for one in connections
    ]
    return plain_table(["name", "kind", "place", "secrets", "last test", "id"], rows)


def _outcome(found: ConnectionTest | None) -> str:
    if found is None:
        return "never"
    word = "[green]ok[/green]" if found.ok else "[red]failed[/red]"
    return f"{word}, {local_time(found.tested_at)}"


def _checks(found: ConnectionTest) -> Table:
    rows = [
        [
            check.name,
            "[green]ok[/green]" if check.ok else "[red]failed[/red]",
            f"{check.seconds:.2f} s",
            escape(check.problem.detail if check.problem else check.note),
        ]
        for check in found.checks
    ]
    return styled_table(["check", "", "took", ""], rows)
