"""Limit the memory that one connection can make the receiver use, before anything is read.

pynetdicom reads as many bytes as a PDU says it has, collects a complete message, and queues messages of a sender that
does not wait for answers. The sender chooses all of these sizes, before any AE title is checked.
"""

from __future__ import annotations

import logging
import ssl
import time

from pynetdicom.events import Event
from pynetdicom.transport import AssociationSocket

READ_SECONDS = 60.0
"""The longest time for a PDU to arrive, from its first byte."""
_MOST_PDU_BYTES = 2**18
"""Data PDUs are negotiated to 16 KB; an association request with many contexts is longer."""
_MOST_WAITING = 4
"""Most waiting requests per association; one is right, as no asynchronous ones are negotiated (PS3.7 D.3.3.3)."""
_CHUNK = 2**16
_BEYOND_BYTES = 2**22
"""An object that is too large by up to this is answered with a status; a larger one ends the connection."""

log = logging.getLogger("bonescan.node")


class InflowError(OSError):
    """A sender exceeded a limit; pynetdicom closes the connection on an OSError."""


class Inflow:
    """Reads the bytes of one association. message_bytes: the largest size of a message."""

    def __init__(self, connection: AssociationSocket, message_bytes: int) -> None:
        self._connection = connection
        self._most = message_bytes + _BEYOND_BYTES
        self._of_message = 0

    def message_ended(self, _event: Event) -> None:
        """Reset the count after a complete message."""
        self._of_message = 0

    def recv(self, nr_bytes: int) -> bytearray:
        """Return so many bytes, or fewer where the sender closed the connection. Raises InflowError and OSError."""
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
            part = self._read(min(nr_bytes - len(content), _CHUNK))
            if not part:
                break
            content += part
            if time.monotonic() > end:
                self._refuse("a PDU that takes too long")
        return content

    def _read(self, most: int) -> bytes:
        """Read from the socket; over TLS, the first call does the handshake. Raises OSError, and logs a failed one."""
        try:
            return self._connection.socket.recv(most)  # type: ignore[union-attr]
        except ssl.SSLError as error:
            caller = self._connection.assoc.requestor.address
            reason = (error.reason or "the handshake failed").replace("_", " ").lower()
            log.warning("refused a connection from %s: no TLS (%s)", caller, reason)
            raise

    def _refuse(self, what: str) -> None:
        log.warning("closed a connection that sent %s", what)
        raise InflowError(what)
