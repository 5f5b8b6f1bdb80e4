"""The DICOM receiver: C-ECHO and C-STORE. It never parses the objects that it receives; it writes their bytes to disk.

It answers success only when the object is on the disk (PS3.4 B.2.3), as the sender may then delete its own copy.
`Inflow` limits what a connection can make it hold in memory.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Sequence
from typing import Any

from pynetdicom import AE, evt
from pynetdicom import _config as pynetdicom_config
from pynetdicom.events import Event
from pynetdicom.transport import AssociationSocket

from bonescan.errors import OptionError
from bonescan.node.config import NodeConfig, server_context
from bonescan.node.storage import Storage
from bonescan.report.words import counted

SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.20",
    "1.2.840.10008.5.1.4.1.1.5",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.7.3",
)
"""Nuclear Medicine Image, its retired class, Secondary Capture, Multi-frame Grayscale Word Secondary Capture."""
TRANSFER_SYNTAXES = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
)
"""Native, run lengths, and lossless JPEG, JPEG-LS and JPEG 2000; never the deflated syntax."""

REQUEST_SECONDS = 10.0
"""The longest wait for an association request; until then the connection counts as an association, even if it broke."""
_CONNECTIONS_AN_ASSOCIATION = 4
"""Open connections per allowed association; those beyond the allowed associations are open until they are refused."""
_READ_SECONDS = 60.0
"""The longest time for a PDU to arrive, from its first byte."""
_MOST_PDU_BYTES = 2**18
"""Data PDUs are negotiated to 16 KB; an association request with many contexts is longer."""
_MOST_WAITING = 4
"""Most waiting requests per association; one is right, as no asynchronous ones are negotiated (PS3.7 D.3.3.3)."""
_CHUNK = 2**16
_MOST_KINDS_NAMED = 3
"""Of the kinds of objects that were refused; a sender may offer over a hundred, and a line must stay readable."""
_BEYOND_BYTES = 2**22
"""An object that is too large by up to this is answered with a status; a larger one ends the connection."""

log = logging.getLogger("bonescan.node")


def quiet_pynetdicom() -> None:
    """Keep identifiers out of the log: by default pynetdicom logs the identifiers of queries and much more."""
    pynetdicom_config.LOG_REQUEST_IDENTIFIERS = False
    pynetdicom_config.LOG_RESPONSE_IDENTIFIERS = False
    pynetdicom_config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)


def _plain(text: str) -> str:
    """Text of a sender in a form that is safe for one line of the log."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:64].strip()


def _class_name(uid: Any) -> str:
    """The standard's name of a SOP class; a private UID is not logged, as its sender chose it."""
    return "a private SOP class" if uid is None or uid.name == str(uid) else str(uid.name)


def _first_named(kinds: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(kinds) - _MOST_KINDS_NAMED
    return ", ".join(kinds[:_MOST_KINDS_NAMED]) + (f" and {more} more" if more > 0 else "")


class Receiver:
    """Listens, and puts received objects into the storage."""

    def __init__(self, config: NodeConfig, storage: Storage) -> None:
        self._config = config
        self._storage = storage
        self._server: Any = None
        self._callers: dict[str, str] = {}

    def start(self) -> None:
        """Begin to listen, in separate threads. Raises OptionError where the address or port cannot be used."""
        quiet_pynetdicom()
        config = self._config
        entity = AE(ae_title=config.ae_title)
        entity.require_called_aet = True
        entity.require_calling_aet = list(config.calling_ae_titles)
        entity.maximum_associations = config.associations
        entity.acse_timeout = REQUEST_SECONDS
        entity.add_supported_context(VERIFICATION)
        for uid in STORAGE_CLASSES:
            entity.add_supported_context(uid, list(TRANSFER_SYNTAXES))
        try:
            self._server = entity.start_server(
                (config.host, config.port),
                block=False,
                ssl_context=server_context(config.tls),
                evt_handlers=[
                    (evt.EVT_CONN_OPEN, self._bound),
                    (evt.EVT_REJECTED, self._rejected),
                    (evt.EVT_ACCEPTED, self._accepted),
                    (evt.EVT_C_STORE, self._store),
                ],
            )
            self._server.verify_request = self._has_room
        except OSError as error:
            raise OptionError(
                f"{config.host}:{config.port} cannot be listened on ({error.strerror}): give another host or port"
            ) from None

    def stop(self) -> None:
        """Accept no more associations, and end the open ones."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def caller_of(self, name: str) -> str:
        """Return the AE title that sent an object, and forget it; "" where another run of the node received it."""
        return self._callers.pop(name, "")

    def _has_room(self, _request: object, _address: object) -> bool:
        """Tell whether one more connection is accepted: each costs threads until its association request.

        A connection counts once its thread runs, so that connections at the same moment may exceed the limit.
        """
        has_room = len(self._server.active_associations) < _CONNECTIONS_AN_ASSOCIATION * self._config.associations
        if not has_room:
            log.warning("closed a connection: there are too many")
        return has_room

    def _bound(self, event: Event) -> None:
        """Set the limits of a new connection, before any byte of it is read."""
        association = event.assoc
        connection: Any = association.dul.socket
        connection.socket.settimeout(_READ_SECONDS)
        inflow = Inflow(connection, self._config.object_megabytes * 2**20)
        connection.recv = inflow.recv
        association.bind(evt.EVT_DIMSE_RECV, inflow.message_ended)

    def _rejected(self, event: Event) -> None:
        """Log who was refused and why; look here first when results for a scanner are missing."""
        caller = event.assoc.requestor
        request: Any = caller.primitive
        calling, called = (_plain(str(one)) for one in (request.calling_ae_title, request.called_ae_title))
        config = self._config
        if called != config.ae_title:
            why = f"it calls {called!r}, and this node is {config.ae_title!r}"
        elif config.calling_ae_titles and calling not in config.calling_ae_titles:
            why = "it is not among calling_ae_titles"
        else:
            why = f"there are {config.associations} associations already, or it asks for nothing that is taken"
        log.warning("refused an association of %r at %s: %s", calling, _plain(str(caller.address)), why)

    def _accepted(self, event: Event) -> None:
        """Log what an accepted association asked for and does not get; the sender may not show it."""
        caller = event.assoc.requestor
        refused = sorted({_class_name(one.abstract_syntax) for one in event.assoc.rejected_contexts})
        if refused:
            log.info(
                "%r at %s offered %s of objects that are not taken: %s (SOP class, or no transfer syntax in common)",
                _plain(str(caller.ae_title)),
                _plain(str(caller.address)),
                counted(len(refused), "kind"),
                _first_named(refused),
            )

    def _store(self, event: Event) -> int:
        """Answer one C-STORE request."""
        try:
            name = self._storage.instance_name(str(getattr(event.request, "AffectedSOPInstanceUID", "")))
            if name is None:
                log.warning("refused an object whose SOP Instance UID is none")
                return CANNOT_UNDERSTAND
            content = event.encoded_dataset(include_meta=True)
            if len(content) > self._config.object_megabytes * 2**20:
                log.warning("refused an object of %d MB", len(content) >> 20)
                return CANNOT_UNDERSTAND
            space = self._storage.space(self._config.free_megabytes)
            if not space.is_enough:
                log.error("refused an object: the disk of the storage is nearly full (%s)", space)
                return OUT_OF_RESOURCES
            self._callers[name] = _plain(str(event.assoc.requestor.ae_title))
            self._storage.accept(content, name)
        except OSError as error:
            self._callers.pop(name or "", None)
            log.error("an object could not be stored: %s", error.strerror)
            return OUT_OF_RESOURCES
        except Exception as error:
            log.error("an object could not be taken: %s", type(error).__name__)
            return CANNOT_UNDERSTAND
        return SUCCESS


class InflowError(OSError):
    """A sender exceeded a limit; pynetdicom closes the connection on an OSError."""


class Inflow:
    """Reads the bytes of one association, and limits the memory that it can use. message_bytes: the largest message.

    pynetdicom reads as many bytes as a PDU says it has, collects a complete message, and queues messages of a sender
    that does not wait for answers. The sender chooses all of these sizes, before any AE title is checked.
    """

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
        end = time.monotonic() + _READ_SECONDS
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
