"""Send objects by C-STORE."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pynetdicom import AE
from pynetdicom.association import Association

from bonescan.dicom.objects.common import sop_class_of, transfer_syntax_of, uncompressed
from bonescan.node.config import NodeConfig, client_context
from bonescan.node.destinations import DeliveryError, DicomPeer
from bonescan.node.receiver import VERIFICATION, quiet_pynetdicom

_EXPLICIT_LITTLE, _RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"
"""The transfer syntaxes of the objects that bonescan writes."""
_DUPLICATE = 0x0111
_SUCCESS_OR_WARNING = (0x0000, 0xB)


def send(peer: DicomPeer, paths: Sequence[Path], config: NodeConfig) -> None:
    """Send files that bonescan wrote, in one association; an object that the peer already has is no failure.

    Raises DeliveryError: retryable where the peer cannot be reached, is busy or full.
    """
    quiet_pynetdicom()
    entity = _entity(peer, config)
    kinds = {(sop_class_of(path), transfer_syntax_of(path)) for path in paths}
    # One context per syntax: in a context with two, the peer would choose one, perhaps not that of our file.
    for uid, syntax in sorted(kinds | {(uid, _EXPLICIT_LITTLE) for uid, _ in kinds}):
        entity.add_requested_context(uid, syntax)
    association = _associate(entity, peer, config)
    if not association.is_established:
        raise DeliveryError(_why_not(peer, config, refused=association.is_rejected), retryable=True)
    try:
        for path in paths:
            try:
                answer = association.send_c_store(_sendable(association, path))
            except ValueError:
                raise DeliveryError(
                    f"the destination {peer.name} does not take objects of the kind of {path.name}", retryable=False
                ) from None
            except (OSError, RuntimeError):
                raise DeliveryError(f"the connection to {peer.name} broke", retryable=True) from None
            _judge(answer.get("Status") if answer else None, peer, path)
    finally:
        if association.is_established:
            association.release()


def _sendable(association: Association, path: Path) -> Any:
    """The file as it is, or uncompressed where the peer does not accept its compression."""
    said = sop_class_of(path), transfer_syntax_of(path)
    taken = {(str(one.abstract_syntax), str(one.transfer_syntax[0])) for one in association.accepted_contexts}
    return path if said in taken or said[1] == _EXPLICIT_LITTLE else uncompressed(path)


def echo(peer: DicomPeer, config: NodeConfig) -> None:
    """Ask a peer whether it is there. Raises DeliveryError."""
    quiet_pynetdicom()
    entity = _entity(peer, config)
    entity.add_requested_context(VERIFICATION)
    association = _associate(entity, peer, config)
    if not association.is_established:
        raise DeliveryError(_why_not(peer, config, refused=association.is_rejected), retryable=True)
    try:
        answer = association.send_c_echo()
    finally:
        association.release()
    if not answer or answer.get("Status") != 0:
        raise DeliveryError(f"the destination {peer.name} does not answer an echo", retryable=True)


def _why_not(peer: DicomPeer, config: NodeConfig, *, refused: bool) -> str:
    """Say where the peer is and why there is no association with it; the library does not give the reason."""
    where = _place(peer)
    if refused:
        ours = peer.calling_ae_title or config.ae_title
        return f"{where} refuses our association: it does not know us as {ours}, or is not called {peer.ae_title}"
    try:
        with socket.create_connection((peer.host, peer.port), timeout=peer.timeout_seconds) as plain:
            if peer.tls:
                client_context(config.tls).wrap_socket(plain, server_hostname=peer.host).close()
    except ssl.SSLError as error:
        return f"{where} cannot be talked to over TLS ({error.reason or 'the handshake failed'})"
    except TimeoutError:
        return f"{where} cannot be reached (no answer within {peer.timeout_seconds:g} s)"
    except OSError as error:
        return f"{where} cannot be reached ({error.strerror or error})"
    return f"{where} takes the connection and ends it: check whether it talks DICOM there, and TLS or not as we do"


def _associate(entity: AE, peer: DicomPeer, config: NodeConfig) -> Association:
    """Ask for an association. Raises DeliveryError where the host's name is unknown or the network fails."""
    tls = (client_context(config.tls), peer.host) if peer.tls else None
    try:
        return entity.associate(peer.host, peer.port, ae_title=peer.ae_title, tls_args=tls)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "its host is no host name"
        raise DeliveryError(f"{_place(peer)} cannot be reached ({why})", retryable=True) from None


def _place(peer: DicomPeer) -> str:
    return f"the destination {peer.name} at {peer.host}:{peer.port}"


def _entity(peer: DicomPeer, config: NodeConfig) -> AE:
    entity = AE(ae_title=peer.calling_ae_title or config.ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = (
        peer.timeout_seconds
    )
    return entity


def _judge(status: int | None, peer: DicomPeer, path: Path) -> None:
    """Raise DeliveryError unless the peer has the object now (PS3.4 B.2.3, PS3.7 C.4)."""
    if status is None:
        raise DeliveryError(f"the connection to {peer.name} broke", retryable=True)
    if status in (0x0000, _DUPLICATE) or status >> 12 == _SUCCESS_OR_WARNING[1]:
        return
    full = status >> 8 == 0xA7 or status in (0x0122, 0x0213)
    raise DeliveryError(f"the destination {peer.name} refused {path.name} (status {status:04X})", retryable=full)
