"""The receiver within this process: what strangers send is bounded before it is read, and others go on."""

from __future__ import annotations

import gc
import re
import socket
import socketserver
import ssl
import struct
import threading
import time
from io import BytesIO

import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, StoragePresentationContexts, _config
from pynetdicom.dimse_primitives import C_STORE
from tests.integration.test_node import free_port, scan, store
from tests.integration.test_node_tls import make_certificate

from bonescan.node import receiver
from bonescan.node.config import NodeConfig, TlsConfig
from bonescan.node.receiver import VERIFICATION, Receiver
from bonescan.node.storage import Storage

# pynetdicom leaves the sockets of connections that broke to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def listening(tmp_path, monkeypatch):
    """A receiver that takes objects of up to a megabyte, two associations at once; its port."""
    monkeypatch.setattr(receiver, "REQUEST_SECONDS", 4.0)
    # A server looks so often whether it is to end: by default twice a second.
    monkeypatch.setattr(socketserver.BaseServer.serve_forever, "__defaults__", (0.02,))
    storage = Storage(tmp_path / "storage")
    storage.open()
    port = free_port()
    config = NodeConfig(str(tmp_path / "storage"), port=port, object_megabytes=1, associations=2, free_megabytes=1)
    one = Receiver(config, storage)
    one.start()
    yield port
    one.stop()
    storage.close()
    for thread in acceptors():
        # As if REQUEST_SECONDS were over: connections that broke have nothing else to wait for.
        thread.dul.to_user_queue.put(None)
        thread.join(timeout=10)
    gc.collect()


def acceptors():
    """The threads of the associations that the receiver accepted."""
    return [thread for thread in threading.enumerate() if "AcceptorThread" in thread.name]


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def closed(connection):
    """Whether the other side ends the connection."""
    try:
        while connection.recv(1024):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def echoes(port):
    entity = AE()
    entity.add_requested_context(VERIFICATION)
    association = entity.associate("127.0.0.1", port, ae_title="BONESCAN")
    if not association.is_established:
        return False
    answer = association.send_c_echo()
    association.release()
    return answer.get("Status") == 0


def test_who_was_refused_is_in_the_log(tmp_path, caplog):
    storage = Storage(tmp_path / "storage")
    storage.open()
    port = free_port()
    one = Receiver(NodeConfig(str(tmp_path / "storage"), port=port, calling_ae_titles=("GAMMA1",)), storage)
    one.start()
    try:
        for own, called in (("GAMMA1", "OTHER"), ("GAMMA2", "BONESCAN"), ("GAMMA1", "BONESCAN")):
            entity = AE(ae_title=own)
            entity.add_requested_context(VERIFICATION)
            association = entity.associate("127.0.0.1", port, ae_title=called)
            if association.is_established:
                association.release()
    finally:
        one.stop()
        storage.close()
    said = [record.getMessage() for record in caplog.records if "refused an association" in record.getMessage()]
    assert said == [
        "refused an association of 'GAMMA1' at 127.0.0.1: it calls 'OTHER', and this node is 'BONESCAN'",
        "refused an association of 'GAMMA2' at 127.0.0.1: it is not among calling_ae_titles",
    ]


def said_by(caplog, beginning, quantity=1):
    """The messages that begin so, as soon as there are so many."""
    for _ in range(100):
        said = [record.getMessage() for record in caplog.records if record.getMessage().startswith(beginning)]
        if len(said) >= quantity:
            break
        time.sleep(0.05)
    return said


def test_a_kind_of_object_that_is_not_taken_is_in_the_log(listening, caplog):
    caplog.set_level("INFO", "bonescan.node")
    entity = AE(ae_title="GAMMA1")
    for uid in (VERIFICATION, "1.2.840.10008.5.1.4.1.1.2", "1.2.826.0.1.3680043.9.9.9"):
        entity.add_requested_context(uid)
    association = entity.associate("127.0.0.1", listening, ae_title="BONESCAN")
    association.release()
    (said,) = said_by(caplog, "'GAMMA1' at 127.0.0.1 offered")
    assert "offered 2 kinds of objects that are not taken: CT Image Storage, a private SOP class (" in said


def test_of_many_kinds_of_objects_that_are_not_taken_the_log_names_a_few(listening, caplog):
    caplog.set_level("INFO", "bonescan.node")
    entity = AE(ae_title="GAMMA1")
    entity.requested_contexts = StoragePresentationContexts[:100]
    entity.associate("127.0.0.1", listening, ae_title="BONESCAN").release()
    (said,) = said_by(caplog, "'GAMMA1' at 127.0.0.1 offered")
    assert re.search(r"offered \d\d kinds of objects that are not taken: .+ and \d\d more \(", said)
    assert len(said) < 300


def test_a_disk_that_is_nearly_full_is_reported_with_the_figures(listening, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(Storage, "free_megabytes", lambda _storage: 0.5)
    assert store(scan_of(tmp_path, 0), listening) == receiver.OUT_OF_RESOURCES
    assert len(said_by(caplog, "refused an object: the disk of the storage is nearly full (0 MB free, free_m")) == 1


def test_callers_without_tls_and_without_a_certificate_are_in_the_log(tmp_path, caplog):
    make_certificate(tmp_path, "ours")
    files = {name: str(tmp_path / f"ours.{ending}") for name, ending in (("certificate", "pem"), ("key", "key"))}
    storage = Storage(tmp_path / "storage")
    storage.open()
    port = free_port()
    tls = TlsConfig(listen=True, ca_file=files["certificate"], **files)
    one = Receiver(NodeConfig(str(tmp_path / "storage"), port=port, tls=tls), storage)
    one.start()
    try:
        with connect(port) as plain:
            plain.sendall(struct.pack(">BBL", 1, 0, 200) + bytes(200))
            assert closed(plain)
        assert said_by(caplog, "refused a connection from 127.0.0.1: no TLS (wrong version number)")
        context = ssl.create_default_context(cafile=files["certificate"])
        with (
            connect(port) as bare,
            context.wrap_socket(bare, server_hostname="localhost") as stranger,
            pytest.raises(OSError),  # which one, the system chooses
        ):
            stranger.recv(1)
        assert said_by(caplog, "refused a connection from 127.0.0.1: no TLS (peer did not return a certificate)")
    finally:
        one.stop()
        storage.close()


@pytest.mark.parametrize("kind", [1, 4])
@pytest.mark.parametrize("length", [0xFFFFFFFF, 2**20])
def test_a_pdu_that_states_far_too_much_ends_its_connection_unread(listening, kind, length):
    with connect(listening) as stranger:
        stranger.sendall(struct.pack(">BBL", kind, 0, length) + bytes(1000))
        assert closed(stranger)
    assert echoes(listening)


def test_a_pdu_that_does_not_come_ends_its_connection(listening, monkeypatch):
    monkeypatch.setattr(receiver, "_READ_SECONDS", 0.5)
    with connect(listening) as stranger:
        stranger.sendall(struct.pack(">BBL", 1, 0, 200) + b"half")
        assert closed(stranger)
    assert echoes(listening)


def test_a_pdu_that_comes_byte_by_byte_ends_its_connection(listening, monkeypatch):
    monkeypatch.setattr(receiver, "_READ_SECONDS", 0.5)
    with connect(listening) as stranger:
        stranger.sendall(struct.pack(">BBL", 1, 0, 2000))
        begun = time.monotonic()
        with pytest.raises(OSError):  # which one, the system chooses
            while time.monotonic() - begun < 20:
                stranger.sendall(b"x")
                time.sleep(0.05)


def test_an_object_far_too_large_ends_its_association_before_it_has_come(listening, tmp_path):
    large = scan_of(tmp_path, 20)
    assert store(large, listening) is None
    assert store(scan_of(tmp_path, 2), listening) == receiver.CANNOT_UNDERSTAND
    assert list((tmp_path / "storage" / "spool").iterdir()) == []
    assert store(scan_of(tmp_path, 0), listening) == 0


def test_many_objects_in_one_association_are_no_large_object(listening, tmp_path):
    quantity = 12
    dataset = scan_of(tmp_path, 0.7)
    entity = AE()
    entity.add_requested_context(dataset.SOPClassUID)
    association = entity.associate("127.0.0.1", listening, ae_title="BONESCAN")
    for number in range(quantity):
        dataset.SOPInstanceUID = f"1.2.3.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        assert association.send_c_store(dataset).Status == 0
    association.release()
    assert len(list((tmp_path / "storage" / "spool").iterdir())) == quantity


def scan_of(folder, megabytes) -> Dataset:
    dataset = pydicom.dcmread(scan(folder))
    dataset.add_new(0x00091001, "OB", bytes(int(megabytes * 2**20)))
    return dataset


def test_requests_without_waiting_for_an_answer_end_their_association(listening, tmp_path, monkeypatch):
    monkeypatch.setattr(Storage, "accept", lambda *_: time.sleep(2))
    dataset = scan_of(tmp_path, 0)
    entity = AE()
    entity.add_requested_context(dataset.SOPClassUID)
    association = entity.associate("127.0.0.1", listening, ae_title="BONESCAN")
    assert association.is_established
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    (context,) = association.accepted_contexts
    for _ in range(30):
        request.DataSet = BytesIO(bytes(1000))
        association.dimse.send_msg(request, context.context_id)
    for _ in range(100):
        if not association.is_established:
            break
        time.sleep(0.1)
    assert not association.is_established


def test_more_connections_than_anybody_needs_are_closed_and_the_rest_served_later(listening):
    strangers, ended = [], 0
    try:
        for _ in range(12):
            before = len(acceptors())
            strangers.append(connect(listening))
            strangers[-1].settimeout(0.02)
            # One after another: the bound counts a connection once its thread runs.
            while len(acceptors()) == before:
                if closed(strangers[-1]):
                    ended += 1
                    break
        assert ended == len(strangers) - 2 * receiver._CONNECTIONS_AN_ASSOCIATION
    finally:
        for stranger in strangers:
            stranger.close()
    end = time.monotonic() + 30
    while not echoes(listening):
        assert time.monotonic() < end
        time.sleep(0.5)


def test_the_library_logs_nothing_of_what_it_is_sent(listening):
    assert (_config.LOG_REQUEST_IDENTIFIERS, _config.LOG_HANDLER_LEVEL) == (False, "none")
