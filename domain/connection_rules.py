"""What a connection's configuration and secrets must be, each alone and together."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from pydantic import BaseModel, SecretStr, ValidationError

from api_schemas.connections import (
    HttpConfig,
    HttpSecrets,
    LabelStudioConfig,
    LabelStudioSecrets,
    S3Config,
    S3Secrets,
)
from api_schemas.problems import FieldProblem, ValidationProblem
from storage.remote.addresses import AddressPolicy
from storage.remote.urls import has_dot_segments, parse_url

_KINDS: Final[dict[str, tuple[type[BaseModel], type[BaseModel]]]] = {
    "s3": (S3Config, S3Secrets),
    "http": (HttpConfig, HttpSecrets),
    "label_studio": (LabelStudioConfig, LabelStudioSecrets),
}
# Headers that frame a message or decide what it means; a connection sets none of them.
_FRAMING_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer",
     "expect", "accept-encoding", "range", "proxy-authorization", "proxy-connection", "keep-alive"}
)  # fmt: skip


def checked_config(
    policy: AddressPolicy, kind: str, config: Mapping[str, Any], secret_names: Collection[str]
) -> dict[str, Any]:
    """Return a configuration in its stored form.

    Args:
        secret_names: the secrets that will be set beside it.

    Raises:
        ValidationProblem: fields are wrong, or do not fit together or with the secrets.
        SourceRefused: the address is one that is not fetched from here.
    """
    parsed = _validated(_KINDS[kind][0], config, "config")
    if isinstance(parsed, S3Config):
        return _checked_s3(parsed, secret_names, policy).model_dump()
    if isinstance(parsed, LabelStudioConfig):
        if "access_token" not in secret_names:
            raise _misfit("/secrets/access_token", "is needed")
        return {"base_url": _checked_base_url(parsed.base_url, policy)}
    assert isinstance(parsed, HttpConfig)
    return _checked_http(parsed, secret_names, policy).model_dump()


def checked_secrets(kind: str, secrets: Mapping[str, SecretStr]) -> dict[str, str]:
    """Return the values of secrets that can be sent in a header.

    Raises:
        ValidationProblem: unknown names, or characters that no header can carry.
    """
    _validated(_KINDS[kind][1], secrets, "secrets")
    plain = {name: value.get_secret_value() for name, value in secrets.items()}
    for name, value in plain.items():
        if not value.isascii() or not value.isprintable() or value != value.strip():
            raise _misfit(f"/secrets/{name}", "must be printable ASCII without space at its ends")
    return plain


def _checked_s3(config: S3Config, secrets: Collection[str], policy: AddressPolicy) -> S3Config:
    if config.anonymous and (len(secrets) > 0 or config.access_key_id):
        raise _misfit("/config/anonymous", "an anonymous connection has no credentials")
    if not config.anonymous and not (config.access_key_id and "secret_access_key" in secrets):
        raise _misfit(
            "/secrets/secret_access_key",
            'access_key_id and secret_access_key are needed, or "anonymous": true',
        )
    if config.prefix.startswith("/") or has_dot_segments(config.prefix):
        raise _misfit("/config/prefix", "must not begin with a slash, nor hold '.' or '..' parts")
    if not config.prefix.isprintable():
        raise _misfit("/config/prefix", "has characters that cannot be shown")
    prefix = (
        config.prefix if config.prefix.endswith("/") or not config.prefix else config.prefix + "/"
    )
    if config.endpoint is not None:
        parse_url(config.endpoint, policy)
        config = config.model_copy(update={"endpoint": config.endpoint.rstrip("/")})
    return config.model_copy(update={"prefix": prefix})


def _checked_http(
    config: HttpConfig, secrets: Collection[str], policy: AddressPolicy
) -> HttpConfig:
    if len(secrets) > 1:
        raise _misfit("/secrets", "give one of bearer_token, password, header_value")
    if ("password" in secrets) != (config.username is not None):
        raise _misfit("/config/username", "username and password belong together")
    if ("header_value" in secrets) != (config.header_name is not None):
        raise _misfit("/config/header_name", "header_name and header_value belong together")
    if config.header_name is not None and config.header_name.lower() in _FRAMING_HEADERS:
        raise _misfit("/config/header_name", "this header is not for credentials")
    return config.model_copy(update={"base_url": _checked_base_url(config.base_url, policy)})


def _checked_base_url(base_url: str, policy: AddressPolicy) -> str:
    if has_dot_segments(base_url.partition("://")[2]):
        raise _misfit("/config/base_url", "must not hold '.' or '..' parts")
    return str(parse_url(base_url if base_url.endswith("/") else base_url + "/", policy))


def _validated(model: type[BaseModel], values: Mapping[str, Any], part: str) -> BaseModel:
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        found = [
            FieldProblem(
                pointer="/".join(("", part, *(str(place) for place in problem["loc"])))[:200],
                detail=problem["msg"],
            )
            for problem in error.errors(include_input=False, include_url=False)
        ]
        first = found[0]
        # not `from error`: what was given may be secret, and the error quotes it
        raise ValidationProblem(
            f"The connection is not valid: {first.pointer}: {first.detail}.", errors=found
        ) from None


def _misfit(pointer: str, detail: str) -> ValidationProblem:
    return ValidationProblem(
        f"The connection is not valid: {pointer}: {detail}.",
        errors=[FieldProblem(pointer=pointer, detail=detail)],
    )
