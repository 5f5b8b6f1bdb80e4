"""TLS for associations: contexts from certificates in PEM files, TLS 1.2 and newer."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

from bonescan.errors import OptionError
from bonescan.node.config import TlsConfig


class _ServerContext(ssl.SSLContext):
    """Delays the handshake until the first read: a caller that never begins it must not block the listener."""

    def wrap_socket(self, sock: socket.socket, *args: Any, **options: Any) -> ssl.SSLSocket:
        """Wrap a socket that was accepted; no byte is exchanged yet."""
        return super().wrap_socket(sock, *args, **{**options, "do_handshake_on_connect": False})


def server_context(tls: TlsConfig) -> ssl.SSLContext | None:
    """Return the TLS context of the receiver; None without TLS. Raises OptionError where a file cannot be used."""
    if not tls.listen:
        return None
    context = _ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, tls)
    if tls.ca_file:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: TlsConfig) -> ssl.SSLContext:
    """Return the TLS context for calling a peer; the peer's certificate and name are checked. Raises OptionError."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, tls)
    return context


def _load(context: ssl.SSLContext, tls: TlsConfig) -> None:
    for name in ("certificate", "key", "ca_file"):
        path = getattr(tls, name)
        try:
            if path:
                Path(path).read_bytes()
        except OSError as error:
            raise OptionError(f"tls.{name} {path} cannot be read ({error.strerror}): correct it") from None
    try:
        used = f"tls.certificate {tls.certificate} with tls.key {tls.key}"
        if tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key or None)
        used = f"tls.ca_file {tls.ca_file}"
        if tls.ca_file:
            context.load_verify_locations(tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise OptionError(f"{used} cannot be used ({getattr(error, 'reason', None) or error}): correct it") from None
