"""Checks shared by the configuration classes: each names the key that is wrong."""

from dataclasses import fields
from typing import Any

from models.errors import ConfigError


def check(valid: bool, path: str, expected: str) -> None:
    if not valid:
        raise ConfigError(path, f"must be {expected}")


def is_number(value: Any, low: float, high: float) -> bool:
    # NaN fails both comparisons.
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def is_integer(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def number_tuple(path: str, values: Any) -> tuple[float, ...]:
    if not isinstance(values, list | tuple) or not all(is_number(v, -1e9, 1e9) for v in values):
        raise ConfigError(path, "must be a list of numbers")
    return tuple(float(value) for value in values)


def known_keys(cls: type, path: str, data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ConfigError(path, "must be an object")
    names = {f.name for f in fields(cls)}
    unknown = sorted(str(key) for key in data if key not in names)
    if unknown:
        raise ConfigError(f"{path}.{unknown[0]}", "no such key")
    return dict(data)
