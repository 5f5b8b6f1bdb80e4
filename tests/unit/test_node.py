"""The node's parts: configuration, storage, names, and what it says of its jobs."""

from __future__ import annotations

import stat

import pytest

from bonescan.errors import OptionError
from bonescan.node.config import NodeConfig, read_node_config
from bonescan.node.destinations import DicomPeer
from bonescan.node.storage import Storage

UID = "1.2.840.1.2.3"


@pytest.fixture
def storage(tmp_path):
    one = Storage(tmp_path / "storage")
    one.open()
    yield one
    one.close()


def config_of(tmp_path, text):
    (tmp_path / "node.toml").write_text(text)
    return read_node_config(tmp_path / "node.toml")


def test_a_configuration_is_read_with_its_destinations(tmp_path):
    config = config_of(
        tmp_path,
        'storage = "s"\nae_title = "BONE"\n[retry]\nattempts = 3\n[[dicom]]\nname = "pacs"\nhost = "h"\nport = 104\n'
        '[[web]]\nname = "web"\nurl = "https://archive/dicom-web"\n',
    )
    assert (config.ae_title, config.retry.attempts, [one.name for one in config.destinations]) == (
        "BONE",
        3,
        ["pacs", "web"],
    )
    assert config.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "lacks 'storage'"),
        ('storage = ""', "storage is empty"),
        ('storage = "s"\nport = 70000', "port is 70000"),
        ('storage = "s"\nquite_seconds = 3.0', "did you mean 'quiet_seconds'"),
        ('storage = "s"\nae_title = "MUCH TOO LONG A TITLE"', "AE title"),
        ('storage = "s"\nformats = ["json", "srr"]', "no output format 'srr'"),
        ('storage = "s"\n[[dicom]]\nname = "a"\nhost = "h"\n[[dicom]]\nname = "a"\nhost = "i"', "two destinations"),
        ('storage = "s"\n[[dicom]]\nname = "a"', "lacks 'dicom.host'"),
        ('storage = "s"\n[retry]\nattempts = 0', "retry needs"),
        ("storage = ", "cannot be read"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(tmp_path, text, why):
    with pytest.raises(OptionError, match=why) as refusal:
        config_of(tmp_path, text)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("uid", ["", "../../evil", "1.2/3", "a.b", "1..2", "1." * 40 + "1", "1.2\n", "１.2"])
def test_what_is_no_uid_gets_no_name(storage, uid):
    assert storage.instance_name(uid) is None


def test_names_say_nothing_of_the_uid_and_differ_between_nodes(storage, tmp_path):
    other = Storage(tmp_path / "other")
    other.open()
    try:
        assert storage.instance_name(UID) == storage.instance_name(UID)
        assert storage.instance_name(UID) != other.instance_name(UID)
        assert UID not in storage.study_name(UID) + (storage.instance_name(UID) or "")
        assert storage.study_name("../../evil").replace("-", "").isalnum()
    finally:
        other.close()


def test_the_storage_is_for_its_user_alone(storage):
    for path in (storage.folder, storage.spool, storage.studies, storage.results):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((storage.folder / "key").stat().st_mode) == 0o600


def test_two_nodes_do_not_share_a_storage(storage):
    with pytest.raises(OptionError, match="another node runs"):
        Storage(storage.folder).open()


def test_an_object_is_whole_or_not_there_and_a_second_one_of_its_name_changes_nothing(storage):
    name = storage.instance_name(UID)
    storage.accept(b"first", name)
    (spooled,) = storage.spooled()
    assert storage.sort(spooled, "study-1")
    storage.accept(b"second", name)
    (spooled,) = storage.spooled()
    assert not storage.sort(spooled, "study-1")
    assert [path.read_bytes() for path in storage.objects("study-1")] == [b"first"]
    assert list(storage.spooled()) == []


def test_what_a_crash_left_half_written_is_gone_and_the_rest_stays(storage):
    storage.accept(b"whole", storage.instance_name(UID))
    (storage.spool / "x.dcm.1234.partial").write_bytes(b"ha")
    (storage.results / ".study.1234.partial").mkdir()
    storage.close()
    again = Storage(storage.folder)
    again.open()
    try:
        assert [path.read_bytes() for path in again.spooled()] == [b"whole"]
        assert len(list(again.spool.iterdir())) == 1
        assert list(again.results.iterdir()) == []
        assert again.instance_name(UID) == storage.instance_name(UID)
    finally:
        again.close()


def test_a_full_disk_leaves_nothing(storage, monkeypatch):
    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bonescan.node.storage.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        storage.accept(b"content", storage.instance_name(UID))
    monkeypatch.undo()
    assert list(storage.spool.iterdir()) == []


def test_a_configuration_needs_no_network_library():
    config = NodeConfig("s", dicom=(DicomPeer("a", "h"),))
    assert config.database_url.startswith("sqlite:////")
