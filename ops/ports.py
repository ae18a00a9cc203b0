"""Choosing TCP ports."""

import random
import socket

# Below the range from which Linux and macOS take the ports of outgoing connections: a client that
# keeps knocking at a server that is being restarted could otherwise be given the server's own port
# as its source, connect to itself, and keep the server from coming back.
_FIRST_PORT = 20_000
_LAST_PORT = 32_000


def is_free(host: str, port: int) -> bool:
    """Return whether a server could listen there now."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError:
            return False
    return True


def find_free(host: str) -> int:
    """Return a port on which a server could listen now and after a restart.

    Raises:
        RuntimeError: 200 tries found none.
    """
    for _ in range(200):
        port = random.randrange(_FIRST_PORT, _LAST_PORT)
        if is_free(host, port):
            return port
    raise RuntimeError(f"No free port found between {_FIRST_PORT} and {_LAST_PORT} on {host}.")
