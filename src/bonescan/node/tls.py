"""TLS for associations: contexts from certificates in PEM files, TLS 1.2 and newer."""

from __future__ import annotations

import ssl

from bonescan.errors import OptionError
from bonescan.node.config import TlsConfig


def server_context(tls: TlsConfig) -> ssl.SSLContext | None:
    """Return what the receiver listens with; None without TLS. Raises OptionError where a file cannot be used."""
    if not tls.listen:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, tls)
    if tls.ca_file:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: TlsConfig) -> ssl.SSLContext:
    """Return what we call a peer with: its certificate and its name are checked. Raises OptionError."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, tls)
    return context


def _load(context: ssl.SSLContext, tls: TlsConfig) -> None:
    try:
        if tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key or None)
        if tls.ca_file:
            context.load_verify_locations(tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise OptionError(f"a certificate, key or ca_file of the table tls cannot be used ({error})") from None
