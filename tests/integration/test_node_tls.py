"""TLS between two nodes."""

from __future__ import annotations

import socket
import subprocess

import pytest
from tests.drawn import needs
from tests.integration.test_node import free_port, until
from tests.warm import Forked

pytestmark = pytest.mark.slow


def make_certificate(folder, name):
    openssl = needs("openssl")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    files = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
    extension = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, *files, *extension], check=True, capture_output=True)


def test_associations_over_tls_need_the_right_certificates(forked, tmp_path):
    """A node that listens over TLS, asked by `node check` of others with and without a certificate."""
    for name in ("ours", "stranger"):
        make_certificate(tmp_path, name)
    port = free_port()
    (tmp_path / "node.toml").write_text(
        f'storage = "{tmp_path / "storage"}"\nport = {port}\n[tls]\nlisten = true\n'
        f'certificate = "{tmp_path}/ours.pem"\n'
        f'key = "{tmp_path}/ours.key"\nca_file = "{tmp_path}/ours.pem"\n'
    )
    node = Forked(["node", "run", tmp_path / "node.toml"], tmp_path / "log")
    try:
        until(lambda: b"listening" in (tmp_path / "log").read_bytes())
        codes = {}
        for name, certificate in (("ours", "ours"), ("stranger", "stranger"), ("plain", None)):
            text = f'storage = "{tmp_path / name}"\n[[dicom]]\nname = "a"\nhost = "127.0.0.1"\nport = {port}\n'
            text += 'ae_title = "BONESCAN"\ntimeout_seconds = 5.0\n'
            if certificate:
                text += f'tls = true\n[tls]\ncertificate = "{tmp_path}/{certificate}.pem"\n'
                text += f'key = "{tmp_path}/{certificate}.key"\nca_file = "{tmp_path}/ours.pem"\n'
            (tmp_path / f"{name}.toml").write_text(text)
            codes[name] = forked("node", "check", tmp_path / f"{name}.toml").returncode
        assert codes == {"ours": 0, "stranger": 1, "plain": 1}
    finally:
        node.terminate()
        node.wait(timeout=30)


def test_a_caller_that_never_begins_tls_keeps_no_other_waiting(forked, tmp_path):
    make_certificate(tmp_path, "ours")
    port = free_port()
    table = (
        f'[tls]\ncertificate = "{tmp_path}/ours.pem"\nkey = "{tmp_path}/ours.key"\nca_file = "{tmp_path}/ours.pem"\n'
    )
    (tmp_path / "node.toml").write_text(f'storage = "{tmp_path / "storage"}"\nport = {port}\n{table}listen = true\n')
    (tmp_path / "caller.toml").write_text(
        f'storage = "{tmp_path / "s"}"\n{table}[[dicom]]\nname = "a"\nhost = "127.0.0.1"\nport = {port}\n'
        'ae_title = "BONESCAN"\ntls = true\ntimeout_seconds = 10.0\n'
    )
    node = Forked(["node", "run", tmp_path / "node.toml"], tmp_path / "log")
    try:
        until(lambda: b"listening" in (tmp_path / "log").read_bytes())
        with socket.create_connection(("127.0.0.1", port)):
            assert forked("node", "check", tmp_path / "caller.toml").returncode == 0
    finally:
        node.terminate()
        node.wait(timeout=30)
