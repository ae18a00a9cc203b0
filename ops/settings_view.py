"""The settings as rows for people, without the secrets that addresses may carry."""

import re
from typing import Any

from domain.settings import Settings

_PASSWORD = re.compile(r"(://[^:/@\s]*):[^@\s]*@")


def settings_rows(settings: Settings) -> list[tuple[str, str, str, str]]:
    """Return variable, value, default and meaning of every setting."""
    return [
        (
            f"SELVAGE_{name.upper()}",
            _shown(getattr(settings, name)),
            _shown(field.default),
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def _shown(value: Any) -> str:
    return "" if value is None else _PASSWORD.sub(r"\1:***@", str(value))
