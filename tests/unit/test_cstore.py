"""What is sent by C-STORE: as it is stored where the peer takes that, uncompressed where it does not."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pydicom
import pynetdicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from tests.drawn import random_masks, result_of, scan_of

from bonescan.dicom.objects import write_object
from bonescan.dicom.write_nm import Header, HeaderStyle
from bonescan.errors import OptionError
from bonescan.node.config import NodeConfig, TlsConfig, client_context
from bonescan.node.cstore import echo, send
from bonescan.node.destinations import DeliveryError, DicomPeer
from bonescan.study import Spacing, View


@contextmanager
def peer_that_takes(syntaxes):
    """A storage SCP on the loopback; yields how to reach it and what it got."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    got = []

    def keep(event):
        got.append((str(event.context.transfer_syntax), event.dataset, event.file_meta))
        event.dataset.file_meta = event.file_meta
        return 0x0000

    entity = pynetdicom.AE(ae_title="ARCHIVE")
    for kind in ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.88.33"):
        entity.add_supported_context(kind, syntaxes)
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(pynetdicom.evt.EVT_C_STORE, keep)])
    try:
        yield DicomPeer("archive", "127.0.0.1", port, "ARCHIVE"), got
    finally:
        server.shutdown()


# pynetdicom leaves the socket of a request that was never answered to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_peer_that_cannot_be_reached_is_named_with_its_place_and_the_cause(tmp_path):
    config = NodeConfig(str(tmp_path))
    with socket.socket() as silent, pytest.raises(DeliveryError, match=r"takes the connection and ends it|no answer"):
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        echo(DicomPeer("archive", "127.0.0.1", silent.getsockname()[1], timeout_seconds=1.0), config)
    with peer_that_takes([ExplicitVRLittleEndian]) as (peer, _):
        gone = replace(peer, ae_title="OTHER")
    with pytest.raises(
        DeliveryError, match=rf"archive at 127\.0\.0\.1:{gone.port} cannot be reached \(Connection refused"
    ):
        echo(gone, config)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"ca_file": "nowhere.pem"}, "tls.ca_file nowhere.pem cannot be read \\(No such file"),
        ({"ca_file": __file__}, "tls.ca_file .*test_cstore.py cannot be used"),
        ({"certificate": __file__, "key": "key.pem"}, "tls.key key.pem cannot be read"),
    ],
)
def test_a_file_for_tls_that_cannot_be_used_is_named(table, said):
    with pytest.raises(OptionError, match=said):
        client_context(TlsConfig(**table))


@pytest.mark.parametrize("compressed", [True, False])
def test_a_capture_arrives_whatever_the_peer_takes(compressed, tmp_path):
    rng = np.random.default_rng(5)
    study, origin = scan_of(rng, tmp_path, Header(HeaderStyle.STANDARD), Spacing(2.4, 2.4))
    result = result_of(study, {view: [next(random_masks(rng, study.shape))] for view in View})
    paths = [tmp_path / "capture.dcm", tmp_path / "sr.dcm"]
    for path in paths:
        assert write_object(path.stem, result, origin, path)
    taken = [ExplicitVRLittleEndian, RLELossless] if compressed else [ExplicitVRLittleEndian]
    with peer_that_takes(taken) as (peer, got):
        send(peer, paths, NodeConfig(str(tmp_path)))
    first = RLELossless if compressed else ExplicitVRLittleEndian
    assert [syntax for syntax, *_ in got] == [first, ExplicitVRLittleEndian]
    stored = pydicom.dcmread(paths[0])
    assert got[0][1].SOPInstanceUID == stored.SOPInstanceUID
    np.testing.assert_array_equal(got[0][1].pixel_array, stored.pixel_array)
