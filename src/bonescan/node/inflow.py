"""What one connection may make the receiver hold, bounded before it is read.

pynetdicom reads as many bytes as a PDU states, collects a message whole, and queues messages of a sender that does not
wait for answers. All of that is a stranger's to choose, before any AE title is looked at.
"""

from __future__ import annotations

import logging
import time

from pynetdicom.events import Event
from pynetdicom.transport import AssociationSocket

READ_SECONDS = 60.0
"""The longest that a PDU may take to come, once it has begun."""
_MOST_PDU_BYTES = 2**18
"""Ours are of 16 KB, which is negotiated; a request for an association with many contexts is longer."""
_MOST_WAITING = 4
"""Requests of one association. No asynchronous operations are negotiated, so one is right (PS3.7 D.3.3.3)."""
_CHUNK = 2**16
_BEYOND_BYTES = 2**22
"""An object that is a little too large is answered with a status; one that is more so ends the connection."""

log = logging.getLogger("bonescan.node")


class InflowError(OSError):
    """A sender went beyond what is borne; pynetdicom closes the connection on an OSError."""


class Inflow:
    """Reads for one association. message_bytes: the most that a message may have."""

    def __init__(self, connection: AssociationSocket, message_bytes: int) -> None:
        self._connection = connection
        self._most = message_bytes + _BEYOND_BYTES
        self._of_message = 0

    def message_ended(self, _event: Event) -> None:
        """Count anew: a message has come whole."""
        self._of_message = 0

    def recv(self, nr_bytes: int) -> bytearray:
        """Return so many bytes, fewer where the sender closed. Raises InflowError and OSError."""
        self._of_message += nr_bytes
        if nr_bytes > _MOST_PDU_BYTES:
            self._refuse("a PDU that is too long")
        if self._of_message > self._most:
            self._refuse("an object that is too large")
        if self._connection.assoc.dimse.msg_queue.qsize() > _MOST_WAITING:
            self._refuse("requests without waiting for an answer")
        content = bytearray()
        end = time.monotonic() + READ_SECONDS
        while len(content) < nr_bytes:
            part = self._connection.socket.recv(min(nr_bytes - len(content), _CHUNK))  # type: ignore[union-attr]
            if not part:
                break
            content += part
            if time.monotonic() > end:
                self._refuse("a PDU that takes too long")
        return content

    def _refuse(self, what: str) -> None:
        log.warning("closed a connection that sent %s", what)
        raise InflowError(what)
