"""Addresses on which a server may listen."""

from __future__ import annotations

import ipaddress
import re
import socket

NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)


class SettingsError(Exception):
    """A server can't run as asked; the message says why, and what to do."""


def address_of(host: str, *, exposed: bool) -> str:
    """The IPv4 address to listen at for a host.

    Raises:
        SettingsError: it is none, or more than one; or other machines would reach it, and nobody said that they may.
    """
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        if not NAME.fullmatch(host):
            raise SettingsError(f"{host[:80]!r} is neither an address nor a name of a machine.") from None
        try:
            found = ipaddress.ip_address(socket.gethostbyname(host))
        except OSError as error:
            raise SettingsError(f"The name {host!r} has no address here ({error}).") from None
    if found.version != 4:
        raise SettingsError(f"{host} is an IPv6 address; --host takes an IPv4 address, or a name that has one.")
    if found.is_unspecified or found.is_multicast:
        raise SettingsError(
            f"{host} is no address of one interface. Name the one at which the workers reach this machine: the "
            "server's certificate and all its links are for that."
        )
    if not found.is_loopback and not exposed:
        raise SettingsError(
            f"At {host} other machines could reach this server; whoever has a token of it can run commands as you. "
            "Add --expose if you want that, and read SECURITY.md first."
        )
    return str(found)
