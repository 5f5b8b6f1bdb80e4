"""No connection leaves this machine in the tests: an audit hook in every Python process that they start.

Python imports a module of this name when it starts. A violation is refused, and written down where the test run looks
for it, for code under test may swallow what is raised.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path
from typing import Any

VIOLATIONS = "BONESCAN_TEST_VIOLATIONS"
_NAMES = ("localhost", "", "0.0.0.0", "::")
_LOOKED_UP = ("socket.getaddrinfo", "socket.gethostbyname")
_TALKED_TO = ("socket.connect", "socket.sendto", "socket.sendmsg")


def _is_here(host: Any) -> bool:
    """Tell whether a host is this machine."""
    if host is None:
        return True
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name in _NAMES:
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def guard(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse to look up or talk to another machine."""
    if event in _TALKED_TO:
        address = arguments[1]
        # AF_UNIX has paths, and a connected socket sends without an address.
        if not isinstance(address, tuple) or _is_here(address[0]):
            return
        host = address[0]
    elif event in _LOOKED_UP:
        host = arguments[0]
        if _is_here(host):
            return
    else:
        return
    place = os.environ.get(VIOLATIONS)
    if place:
        with Path(place).open("a") as file:
            file.write(f"{event} {host!r} in {sys.argv[:3]}\n")
    raise PermissionError(f"the tests talk to this machine alone, not to {host!r}")


sys.addaudithook(guard)
