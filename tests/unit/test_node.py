"""The node's parts: configuration, storage, names, and what it says of its jobs."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bonescan.bundle import load_bundle
from bonescan.errors import OptionError
from bonescan.node import check
from bonescan.node import run as node_run
from bonescan.node.config import NodeConfig, read_node_config
from bonescan.node.destinations import DicomPeer
from bonescan.node.jobs import first_try_of, next_try_of
from bonescan.node.run import Node
from bonescan.node.status import Job, latest_tries
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
        ('storage = "s"\nkeep_days = -1', "keep_days is -1"),
        ('storage = "s"\nquite_seconds = 3.0', "did you mean 'quiet_seconds'"),
        ('storage = "s"\nae_title = "MUCH TOO LONG A TITLE"', "AE title"),
        ('storage = "s"\nformats = ["json", "srr"]', "no output format 'srr'"),
        ('storage = "s"\nformats = []', "formats is empty: give at least one of json, "),
        (
            'storage = "s"\nformats = ["json", "png"]\n[[dicom]]\nname = "a"\nhost = "h"',
            "no DICOM object to send to a",
        ),
        (
            'storage = "s"\nformats = ["html"]\n[[web]]\nname = "w"\nurl = "https://h"',
            "no DICOM object to send to w",
        ),
        ('storage = "s"\noperating_point = "high"', "point 'high': give one of sensitive, balanced, specific"),
        ('storage = "s"\n[[dicom]]\nname = "a"\nhost = "h"\n[[dicom]]\nname = "a"\nhost = "i"', "two destinations"),
        ('storage = "s"\n[[dicom]]\nname = "a"', "lacks 'dicom.host'"),
        ('storage = "s"\n[retry]\nattempts = 0', "retry needs"),
        ('storage = "s"\n[[stations]]\nname = "A"', "lacks 'stations.views'"),
        ('storage = "s"\n[[stations]]\nname = "A"\nviews = ["front"]', "no view 'front'"),
        ('storage = "s"\n[[stations]]\nname = "A"\nviews = ["anterior", "anterior"]', "two different ones"),
        (
            'storage = "s"\n[[stations]]\nname = "A"\nviews = ["anterior"]\n'
            '[[stations]]\nname = "A"\nviews = ["posterior"]',
            "two stations",
        ),
        ("storage = ", "cannot be read"),
        ('storage = "s"\n[dicom]\nname = "a"', r"dicom is a table: write \[\[dicom\]\], with two brackets, for each$"),
        ('storage = "s"\ndicom = "a"', r"dicom is 'a': write \[\[dicom\]\], with two brackets"),
        ('storage = "s"\n[[retry]]\nattempts = 1', r"retry is a list of tables: write a table \[retry\], with one"),
        ('storage = "s"\nretry = 3', r"retry is 3: write a table \[retry\], with one bracket$"),
        ('storage = "s"\nport = "104"', "port is '104': give a whole number$"),
        ('storage = "s"\nport = true', "port is true: give a whole number$"),
        ('storage = "s"\nquiet_seconds = "1"', "quiet_seconds is '1': give a number$"),
        ("storage = 1", "storage is 1: give text, in quotes$"),
        ('storage = "s"\nidentify = "yes"', "identify is 'yes': give true or false$"),
        ('storage = "s"\nformats = "json"', "formats is 'json': give a list, in brackets$"),
        ('storage = "s"\nformats = [1]', "formats is 1: give text, in quotes$"),
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
    assert storage.sort(spooled, "study-1") == "new"
    storage.accept(b"second", name)
    (spooled,) = storage.spooled()
    assert storage.sort(spooled, "study-1") == "other"
    storage.accept(b"first", name)
    (spooled,) = storage.spooled()
    assert storage.sort(spooled, "study-1") == "same"
    assert [path.read_bytes() for path in storage.objects("study-1")] == [b"first"]
    assert list(storage.spooled()) == []


def test_of_two_objects_with_one_name_in_the_spool_the_first_stays(storage):
    name = storage.instance_name(UID)
    storage.accept(b"first", name)
    storage.accept(b"second", name)
    assert [path.read_bytes() for path in storage.spool.iterdir()] == [b"first"]


@pytest.fixture
def node(tmp_path, monkeypatch):
    """A node whose jobs are only noted, with the clock in its hands."""
    one = Node(NodeConfig(str(tmp_path / "storage"), quiet_seconds=60.0))
    one.storage.open()
    one.submitted, one.clock, one.steady = [], 1_000_000.0, 0.0
    monkeypatch.setattr("bonescan.node.jobs.submit", lambda study, _digest: one.submitted.append(study))
    monkeypatch.setattr("bonescan.node.run.time.time", lambda: one.clock)
    monkeypatch.setattr("bonescan.node.run.time.monotonic", lambda: one.steady)
    yield one
    one.storage.close()


def received(node, number, at):
    name = node.storage.instance_name(f"{UID}.{number}")
    node.storage.accept(b"x", name)
    path = node.storage.spool / name
    os.utime(path, (at, at))
    return path


def sorted_at(node, path, study, at):
    node.storage.sort(path, study)
    os.utime(node.storage.studies / study, (at, at))


def test_a_study_is_submitted_once_when_it_is_quiet_and_again_when_something_comes_late(node):
    sorted_at(node, received(node, 1, node.clock), "study-1", node.clock)
    for wait, submitted in ((59, 0), (2, 1), (100, 1)):
        node.clock += wait
        node.submit_quiet_studies()
        assert len(node.submitted) == submitted
    sorted_at(node, received(node, 2, node.clock), "study-1", node.clock)
    node.clock += 61
    node.submit_quiet_studies()
    assert node.submitted == ["study-1"] * 2


def test_a_study_is_not_complete_while_what_came_with_it_waits_to_be_sorted(node):
    sorted_at(node, received(node, 1, node.clock), "study-1", node.clock)
    second = received(node, 2, node.clock + 5)
    node.clock += 1000
    node.submit_quiet_studies()
    assert node.submitted == []
    sorted_at(node, second, "study-1", node.clock)
    node.submit_quiet_studies()
    assert node.submitted == []
    node.clock += 61
    node.submit_quiet_studies()
    assert node.submitted == ["study-1"]


def test_a_clock_that_was_set_back_keeps_no_study_waiting(node):
    sorted_at(node, received(node, 1, node.clock), "study-1", node.clock)
    node.clock -= 10_000
    node.submit_quiet_studies()
    node.steady += 61
    node.submit_quiet_studies()
    assert node.submitted == ["study-1"]


def test_a_disk_that_fails_for_a_while_does_not_end_the_node(node, monkeypatch, caplog):
    def fails():
        calls.append(1)
        if len(calls) < 3:
            raise OSError(28, "No space left on device")
        node.stop()

    calls = []
    for name in ("start", "stop"):
        monkeypatch.setattr(f"bonescan.node.jobs.{name}", lambda *_: None)
        monkeypatch.setattr(f"bonescan.node.run.Receiver.{name}", lambda *_: None)
    monkeypatch.setattr("bonescan.node.run._AFTER_FAILURE_SECONDS", 0.0)
    monkeypatch.setattr("bonescan.node.run.delete_old", lambda *_: [])
    monkeypatch.setattr(node, "sort", fails)
    node.storage.close()
    node.run()
    assert len(calls) == 3
    assert "No space left on device" in caplog.text


def test_the_jobs_of_a_study_that_was_tried_again_are_told_apart():
    names = ["study-a-1", "study-a-1-again-1", "study-a-1-again-1-pacs", "study-a-1-again-1-pacs-again-2"]
    jobs = [Job(name, "study", "done", "", ()) for name in names]
    assert [job.name for job in latest_tries(jobs)] == [names[1], names[3]]
    assert first_try_of(names[3]) == (names[2], 2)
    assert first_try_of("study-a-1-x-again-y") == ("study-a-1-x-again-y", 0)
    assert next_try_of(names[0]) == names[1]
    assert next_try_of(names[3]) == "study-a-1-again-1-pacs-again-3"


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


STUDY_DONE = Job("study-1-aa", "study", "done", "", ())
NOT_A_SCAN = Job("study-1-aa", "study", "failed", "no scan", ())


@pytest.mark.parametrize(
    ("age", "jobs", "deleted"),
    [
        (31, [STUDY_DONE], True),
        (29, [STUDY_DONE], False),
        (31, [], False),
        (31, [NOT_A_SCAN], True),
        (31, [STUDY_DONE, Job("study-1-aa-pacs", "delivery", "waiting", "", ())], False),
        (31, [STUDY_DONE, Job("study-1-aa-pacs", "delivery", "failed", "full", ())], False),
        (31, [STUDY_DONE, Job("study-1-aa-pacs", "delivery", "waiting", "", ()),
              Job("study-1-aa-pacs-again-1", "delivery", "done", "", ())], True),
        (31, [Job("study-11-aa", "study", "done", "", ())], False),
    ],
)  # fmt: skip
def test_what_is_old_and_done_is_deleted_and_nothing_else(storage, monkeypatch, age, jobs, deleted):
    gone = []
    monkeypatch.setattr(node_run, "read_jobs", lambda _config: jobs)
    monkeypatch.setattr(node_run, "DBOSClient", lambda **_: SimpleNamespace(
        delete_workflows=gone.extend, destroy=lambda: None))  # fmt: skip
    for study in ("study-1", "study-11"):
        (storage.studies / study).mkdir()
        (storage.studies / study / "x.dcm").touch()
        (storage.results / f"{study}-aa").mkdir()
    os.utime(storage.studies / "study-1", (time.time() - age * 86_400,) * 2)
    for keep_days, expected in ((0, []), (30, ["study-1"] if deleted else [])):
        config = NodeConfig(str(storage.folder), keep_days=keep_days)
        assert node_run.delete_old(config, storage) == expected
    assert gone == ([job.name for job in jobs] if deleted else [])
    left = ["study-11"] if deleted else ["study-1", "study-11"]
    assert sorted(path.name for path in storage.studies.iterdir()) == left
    assert sorted(path.name for path in storage.results.iterdir()) == [f"{name}-aa" for name in left]


def test_what_a_crash_left_half_deleted_is_deleted(storage, monkeypatch):
    monkeypatch.setattr(node_run, "read_jobs", lambda _config: [])
    monkeypatch.setattr(node_run, "DBOSClient", lambda **_: SimpleNamespace(
        delete_workflows=lambda _names: None, destroy=lambda: None))  # fmt: skip
    (storage.studies / "study-1").mkdir()
    (storage.results / "study-1-aa").mkdir()
    storage.retire("study-1")
    assert (storage.study_names(), storage.retired()) == ([], ["study-1"])
    node_run.delete_old(NodeConfig(str(storage.folder)), storage)
    assert list(storage.studies.iterdir()) == list(storage.results.iterdir()) == []


@pytest.mark.parametrize("formats", [["json", "png"], ["html"], ["sr"], ["pdf"], ["json", "gsps"]])
def test_a_destination_needs_one_format_in_dicom(tmp_path, formats):
    text = f'storage = "s"\nformats = {formats}\n'
    assert config_of(tmp_path, text).formats == tuple(formats)
    text += '[[dicom]]\nname = "a"\nhost = "h"\n'
    if {"sr", "pdf", "gsps"} & set(formats):
        assert len(config_of(tmp_path, text).destinations) == 1
    else:
        with pytest.raises(OptionError, match="no DICOM object"):
            config_of(tmp_path, text)


def test_an_operating_point_that_the_model_lacks_stops_run_and_check(tmp_path, monkeypatch):
    shipped = load_bundle("phantom-unet")
    older = replace(shipped, operating_points={"balanced": shipped.thresholds})
    monkeypatch.setattr(node_run, "load_bundle", lambda _model: older)
    monkeypatch.setattr(check, "load_model", lambda _model: SimpleNamespace(bundle=older, name=older))
    monkeypatch.setattr(Node, "run", lambda self: started.append(self.config.operating_point))
    monkeypatch.setattr(node_run.signal, "signal", lambda *_: None)
    monkeypatch.setattr(node_run.os, "umask", lambda _mask: 0)
    started: list[str] = []
    for point in ("specific", "balanced"):
        config = NodeConfig(str(tmp_path / "s"), operating_point=point, free_megabytes=1)
        found = next(check.findings(config))
        if point == "balanced":
            node_run.run(config)
            assert found.works
        else:
            with pytest.raises(OptionError, match="has no operating point 'specific': choose among balanced"):
                node_run.run(config)
            assert found.stops
            assert "has no operating point 'specific': choose among balanced" in found.sentence
    assert started == ["balanced"]


def test_a_configuration_needs_no_network_library():
    config = NodeConfig("s", dicom=(DicomPeer("a", "h"),))
    assert config.database_url.startswith("sqlite:////")
