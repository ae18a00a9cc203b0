"""Applications that one installation after the other uses: the framework builds the routes of each
new one when the first request comes, which takes longer than most tests."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from domain.settings import Settings
from service.app import create_app
from service.state import ServiceState

# What is built into an application; all else it has from the state.
_Built = tuple[int, int, float]
_idle: dict[_Built, list[FastAPI]] = defaultdict(list)


@contextmanager
def application(settings: Settings, state: ServiceState) -> Iterator[FastAPI]:
    """An application on a state, not started, which nobody else uses within the block."""
    built = (settings.max_upload_bytes, settings.max_json_bytes, settings.body_idle_seconds)
    app = _idle[built].pop() if _idle[built] else create_app(settings)
    app.state.given = state
    yield app
    _idle[built].append(app)  # not after a failure
