import socket

from ops import ports


def test_a_port_with_a_listener_is_not_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free("127.0.0.1", port)
    assert ports.is_free("127.0.0.1", port)


def test_found_ports_are_free_and_below_those_of_outgoing_connections():
    port = ports.find_free("127.0.0.1")
    assert ports.is_free("127.0.0.1", port)
    assert 20_000 <= port < 32_000
