"""Which addresses may be dialled: public ones, and what the operator allows by name or network.

The tables are written out instead of asking `ipaddress.is_global`, whose answer changes with the
version of Python (192.0.0.0/24 and what NAT64 embeds, for two).
"""

import ipaddress
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

ALLOW_VARIABLE: Final = "SELVAGE_FETCH_ALLOW_NETWORKS"
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_CLOSED_V4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and a cloud's metadata service
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's host agent, on a public number
        "169.254.0.0/16",  # link-local: metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments, and a cloud's metadata service
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_OPEN_V6: Final = IPv6Network("2000::/3")  # all that is global unicast
_CLOSED_V6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # Teredo, benchmarks, ORCHID: tunnels and what is not a host
        "2001:db8::/32",
        "2002::/16",  # 6to4: carries any IPv4 address
        "3fff::/20",
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
# Names of the allow-list never lead here; only a network written out does.
_NEVER_BY_NAME: Final[tuple[Network, ...]] = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("169.254.0.0/16"),
    IPv4Network("224.0.0.0/3"),
    IPv6Network("::/128"),
    IPv6Network("fe80::/10"),
    IPv6Network("ff00::/8"),
)
_HOST_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")


class BadAllowList(ValueError):
    """An entry of the allow-list is neither a network nor the name of a host."""


def embedded(address: Address) -> Address:
    """Return the IPv4 address that a mapped or NAT64 address stands for, else the address."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether the address is one of the open internet."""
    address = embedded(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_V4)
    if address.scope_id is not None or address not in _OPEN_V6:
        return False
    return not any(address in network for network in _CLOSED_V6)


@dataclass(frozen=True)
class AddressPolicy:
    """What may be dialled besides the open internet."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    setting: str = ALLOW_VARIABLE

    @classmethod
    def parse(cls, text: str, setting: str = ALLOW_VARIABLE) -> "AddressPolicy":
        """Read an allow-list: networks, addresses and host names, by comma.

        Args:
            setting: the variable that it comes from, for messages.

        Raises:
            BadAllowList: with the entry.
        """
        networks: list[Network] = []
        hosts: set[str] = set()
        for entry in (part.strip().lower() for part in text.split(",")):
            if not entry:
                continue
            try:
                networks.append(ipaddress.ip_network(entry))
            except ValueError as error:
                if "/" in entry or not _HOST_NAME.fullmatch(entry) or _ends_in_number(entry):
                    raise BadAllowList(
                        f"'{entry}' is neither a network such as 10.1.0.0/16 nor the name of a host"
                    ) from error
                hosts.add(entry)
        return cls(tuple(networks), frozenset(hosts), setting)

    def allows(self, host: str, address: Address) -> bool:
        """Whether `address` may be dialled for `host`, which resolved to it."""
        return is_public(address) or self.is_listed(host, address)

    def is_listed(self, host: str, address: Address) -> bool:
        """Whether the operator allowed this address, by its network or by the host's name."""
        meant = embedded(address)
        if any(meant in network or address in network for network in self.networks):
            return True
        return host.lower().rstrip(".") in self.hosts and not any(
            meant in net for net in _NEVER_BY_NAME
        )


def literal(host: str) -> Address | None:
    """Return the address that `host` spells out, None for a name.

    Raises:
        ValueError: it ends in a number and is no ordinary address: `127.1`, `0x7f.0.0.1`,
            `2130706433`, `0177.0.0.1`. Resolvers read such things, each in its own way.
    """
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        if (
            ":" in host
            or not _HOST_NAME.fullmatch(host.lower().rstrip("."))
            or _ends_in_number(host)
        ):
            raise ValueError(f"not an address or a name: {host!r}") from None
        return None


def _ends_in_number(host: str) -> bool:
    last = host.rstrip(".").rpartition(".")[2].lower()
    return last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last) is not None
