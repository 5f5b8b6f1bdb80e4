"""Check what a node needs before it runs: model, certificates, storage, ports, destinations."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bonescan.errors import BonescanError, OptionError
from bonescan.node.config import NodeConfig, client_context, server_context
from bonescan.node.cstore import echo
from bonescan.node.destinations import DeliveryError, Destination, DicomPeer
from bonescan.node.dicomweb import WebArchive
from bonescan.node.status import HEALTH_HOST
from bonescan.node.storage import Storage
from bonescan.pipeline import load_model


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. works: whether it is as it should be. stops: whether `node run` could not work at all."""

    sentence: str
    works: bool = True
    stops: bool = False


def findings(config: NodeConfig) -> Iterator[Finding]:
    """Yield what each check finds; the next one is made whatever the one before found."""
    for check in (_model, _certificates, _storage, _ports):
        try:
            yield Finding(check(config))
        except BonescanError as error:
            yield Finding(str(error), works=False, stops=True)
    if not config.destinations:
        yield Finding("destinations: none, results stay in the storage")
    for peer in config.destinations:
        yield _answers(peer, config)


def _model(config: NodeConfig) -> str:
    model = load_model(config.model)
    model.bundle.at(config.operating_point)
    return f"model: {model.name.name}, operating point {config.operating_point}"


def _certificates(config: NodeConfig) -> str:
    listens = server_context(config.tls) is not None
    client_context(config.tls)
    return f"associations over TLS alone: {'yes' if listens else 'no'}"


def _storage(config: NodeConfig) -> str:
    """Check that the storage can be written and has space; a folder that does not exist is not made."""
    folder = Path(config.storage).absolute()
    try:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if there == folder:
            with tempfile.TemporaryFile(dir=folder):
                pass
        elif not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(13, f"{there} is not writable")
        space = Storage(there).space(config.free_megabytes)
    except OSError as error:
        raise OptionError(
            f"the storage {folder} cannot be used ({error.strerror}): run this as the node's user, or give another"
        ) from None
    if not space.is_enough:
        raise OptionError(f"the disk of the storage {folder} is nearly full ({space}): all objects would be refused")
    return f"storage: can be written, {space}"


def _ports(config: NodeConfig) -> str:
    """Check that the ports are free, unless a node runs in this storage, which then has them."""
    ports = {"port": (config.host, config.port)}
    if config.health_port:
        ports["health_port"] = (HEALTH_HOST, config.health_port)
    said = " and ".join(f"{key} {port}" for key, (_, port) in ports.items())
    if Storage(Path(config.storage)).is_open():
        return f"{said}: not tried, as a node runs in this storage"
    if config.port == config.health_port:
        raise OptionError(f"port and health_port are both {config.port}: give different ones")
    for key, (host, port) in ports.items():
        try:
            _bind(host, port)
        except OSError as error:
            raise OptionError(
                f"{host}:{port} cannot be listened on ({error.strerror}): give another host or {key}"
            ) from None
    return f"{said}: free"


def _bind(host: str, port: int) -> None:
    """Bind an address as the node does, without listening. Raises OSError where somebody listens there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def _answers(peer: Destination, config: NodeConfig) -> Finding:
    try:
        if isinstance(peer, DicomPeer):
            echo(peer, config)
        else:
            with WebArchive(peer) as archive:
                archive.check()
    except (DeliveryError, OptionError) as error:
        return Finding(str(error), works=False)
    return Finding(f"destination {peer.name}: answers")
