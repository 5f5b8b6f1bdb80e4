"""What a node says of itself: refusals, deliveries that are tried again, access, and what `node check` looks at."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydicom.dataset import Dataset
from tests.integration.test_node import free_port

from bonescan.commands.base import DONE, SOME_FAILED, Console
from bonescan.commands.node import NodeDismiss, NodeRetry, NodeStatus, _status_lines
from bonescan.dicom import accept, values
from bonescan.dicom.pixels import Layout
from bonescan.dicom.views import Frame, tell_views
from bonescan.errors import InputError, OptionError, ViewError
from bonescan.node import check, cstore, jobs, status
from bonescan.node.config import NodeConfig, StationConfig
from bonescan.node.cstore import echo, send
from bonescan.node.destinations import DeliveryError, DicomPeer, WebPeer
from bonescan.node.jobs import in_node_words, is_no_bone_scan, refuse_other_tracers
from bonescan.node.status import Job, health_of, node_status
from bonescan.node.storage import Storage


@pytest.fixture
def config(tmp_path):
    """The configuration of a node that has run, in an empty storage."""
    one = Storage(tmp_path / "storage")
    one.open()
    one.close()
    return NodeConfig(str(tmp_path / "storage"), free_megabytes=1)


def header(**elements):
    dataset = Dataset()
    stated = {"Modality": "NM", "SOPClassUID": accept.NM_IMAGE_STORAGE, "ImageType": ["ORIGINAL", "PRIMARY"]}
    stated |= {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "NumberOfFrames": 2}
    for keyword, value in (stated | elements).items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("elements", "refused"),
    [
        ({"Modality": "DX"}, True),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, True),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "STATIC"]}, True),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, True),
        ({"Modality": None}, False),
        ({"NumberOfFrames": None}, False),
    ],
)
def test_what_is_no_bone_scan_is_told_from_what_is_a_broken_one(elements, refused):
    with pytest.raises(InputError) as error:
        accept.refuse_unsuitable(header(**elements))
    assert is_no_bone_scan(error.value) is refused


@pytest.mark.parametrize(("shape", "stored", "refused"), [((256, 256), 16, True), ((512, 128), 8, False)])
def test_a_spot_view_is_no_bone_scan_and_a_copy_of_one_is(shape, stored, refused):
    layout = Layout(2, *shape, bits=16, stored=stored, signed=False)
    with pytest.raises(InputError) as error:
        accept.refuse_unsuitable_layout(header(ImageType=["DERIVED", "PRIMARY"]), layout)
    assert is_no_bone_scan(error.value) is refused


@pytest.mark.parametrize("warnings", [(values.NO_TRACER,), (values.DERIVED,), ()])
def test_a_scan_whose_tracer_is_not_stated_is_segmented(result, warnings):
    refuse_other_tracers(replace(result.study, warnings=warnings))


def test_a_scan_of_another_tracer_is_refused_as_no_bone_scan(result):
    with pytest.raises(InputError, match="use `bonescan segment`") as error:
        refuse_other_tracers(replace(result.study, warnings=(values.OTHER_TRACER,)))
    assert is_no_bone_scan(error.value)


def view_error(frames):
    with pytest.raises(ViewError) as error:
        tell_views([Frame(header(), index, frames) for index in range(frames)])
    return error.value


def test_a_view_error_names_the_station_and_what_the_node_can_do():
    assert in_node_words(view_error(2), "NM-OLD", 0) == (
        "the header does not say which side frame 1 and frame 2 show; set the views of its station 'NM-OLD' under "
        "[[stations]] in the configuration, restart the node, then run `bonescan node retry`"
    )
    assert 'which side the image shows; set the views of files without a Station Name (name = "")' in in_node_words(
        view_error(1), "", 0
    )
    hostile = in_node_words(view_error(2), "A\nB'" + "C" * 99, 0)
    assert "'A?B?CCCCCCCCCCCC'" in hostile
    both = ViewError(
        "both frames are anterior by the text of Image ID; give them in the order of the frames, with --views "
        "anterior,posterior or --views posterior,anterior, or choose other frames with --frames"
    )
    assert in_node_words(both, "NM-OLD", 0).startswith("both frames are anterior by the text of Image ID; set the")


def test_one_frame_where_the_station_states_two_views_is_told_so():
    error = ViewError("2 views given for 1 frame; give it with --views anterior or --views posterior")
    said = in_node_words(error, "NM-OLD", 2)
    assert "--views anterior" not in said
    assert "the views of its station 'NM-OLD' under [[stations]] do not fit this file" in said


def test_three_frames_are_not_chosen_from_by_an_option_that_the_node_lacks():
    error = InputError("the file has 3 frames; choose the two views of the whole body with --frames, as --frames 1,2")
    assert in_node_words(error, "", 0).startswith("the file has 3 frames; a node does not choose among frames")
    assert in_node_words(InputError("the file is cut off"), "", 0) == "the file is cut off"


def test_a_station_without_a_name_can_be_stated():
    config = NodeConfig("s", stations=(StationConfig("", ("anterior", "posterior")),))
    assert config.options_of("") is not None
    assert config.options_of("NM") is None


def delivery(state, created, error="down", number=1):
    return Job(f"study-1-aa-pacs-again-{number}", "delivery", state, error, (["f"], "pacs", number, error), created)


@pytest.mark.parametrize(("minutes", "code", "word"), [(50, 200, "ok"), (70, 503, "not delivering")])
def test_a_delivery_that_has_been_failing_for_an_hour_is_reported(monkeypatch, config, minutes, code, word):
    now = time.time()
    # The first try waited for long: what counts is when it failed, which is when the second one was queued.
    first = Job("study-1-aa-pacs", "delivery", "waiting", "down", (["f"], "pacs"), now - 9000)
    tries = [first, delivery("waiting", now - 60 * minutes), delivery("waiting", now - 60, number=2)]
    monkeypatch.setattr(status, "read_jobs", lambda _config: tries)
    found = node_status(config)
    assert health_of(found)[0] == code
    assert (health_of(found)[1]["status"], health_of(found)[1]["tried_again"]) == (word, 1)
    assert found["not_delivering"] == (code == 503)
    lines = list(_status_lines(found))
    assert "tried again: 1" in lines
    assert ("not delivering: 1 for more than an hour" in lines) is (code == 503)


def test_a_failure_counts_more_than_a_delivery_that_is_late(monkeypatch, config):
    failed = Job("study-2-aa", "study", "failed", "broken", (), time.time())
    monkeypatch.setattr(status, "read_jobs", lambda _config: [failed, delivery("waiting", 0.0)])
    assert health_of(node_status(config))[1]["status"] == "failing"


def test_a_node_that_refuses_all_objects_says_so_as_long_as_it_lasts(monkeypatch, config, tmp_path, capsys):
    def disk_with(free):
        monkeypatch.setattr(Storage, "free_megabytes", lambda _storage: free)

    monkeypatch.setattr(Storage, "is_open", lambda _storage: True)
    failed = Job("study-2-aa", "study", "failed", "broken", (), time.time())
    for found_jobs, well in (([failed], ["failing", 503]), ([], ["ok", 200])):
        monkeypatch.setattr(status, "read_jobs", lambda _config, jobs=found_jobs: jobs)
        disk_with(0.9)
        found = node_status(config)
        code, answer = health_of(found)
        assert (code, answer["status"], answer["free_megabytes"]) == (503, "refusing", 0)
        assert (
            "all objects are refused until there is more space: the disk of the storage is nearly full (0 MB free, "
            "free_megabytes = 1)"
        ) in list(_status_lines(found))
        disk_with(1.0)
        found = node_status(config)
        assert [health_of(found)[1]["status"], health_of(found)[0]] == well
        assert not any("are refused" in line for line in _status_lines(found))
    (tmp_path / "node.toml").write_text(f'storage = "{config.storage}"\nfree_megabytes = 2')
    for free, code in ((1.5, SOME_FAILED), (2.5, DONE)):
        disk_with(free)
        assert NodeStatus(tmp_path / "node.toml", json=False).run(Console()) == code
        assert ("all objects are refused" in capsys.readouterr().out) is (code == SOME_FAILED)


def test_what_is_refused_is_listed_and_is_no_failure(monkeypatch, config):
    job = Job("study-1-aa", "study", "refused", "the image is not WHOLE BODY", (), 0.0)
    monkeypatch.setattr(status, "read_jobs", lambda _config: [job])
    found = node_status(config)
    assert (found["failures"], found["refused"]) == ([], [{"job": job.name, "error": job.error}])
    assert health_of(found)[0] == 200
    assert health_of(found)[1]["segmentations"]["refused"] == 1
    assert "refused: study-1-aa: the image is not WHOLE BODY" in list(_status_lines(found))


def test_what_a_killed_node_had_begun_is_interrupted(monkeypatch, config):
    job = Job("study-1-aa", "study", "running", "", (), 0.0)
    monkeypatch.setattr(status, "read_jobs", lambda _config: [job])
    found = node_status(config)
    assert "segmentations: 0 waiting, 1 interrupted, 0 done, 0 failed, 0 refused" in list(_status_lines(found))
    assert "segmentations: 0 waiting, 1 running, 0 done, 0 failed, 0 refused" in list(
        _status_lines({**found, "running": True})
    )


def test_a_study_that_no_job_has_yet_is_listed(monkeypatch, config):
    storage = Storage(Path(config.storage))
    for study, objects in (("study-1", "ab"), ("study-2", "c"), ("study-3", "")):
        (storage.studies / study).mkdir()
        for name in objects:
            (storage.studies / study / f"{name}.dcm").touch()
    begun = Job(jobs.job_of("study-1", storage.content_digest("study-1")) + "-again-1", "study", "failed", "", (), 0.0)
    monkeypatch.setattr(status, "read_jobs", lambda _config: [begun])
    found = node_status(config)
    assert found["studies_to_segment"] == ["study-2"]
    lines = list(_status_lines(found))
    assert "studies still to be segmented, by bonescan node run: 1" in lines
    assert "to be segmented: study-2" in lines
    lines = list(_status_lines({**found, "running": True}))
    assert "studies still to be segmented, when nothing is added for 60 s: 1" in lines
    # An object that came after the job began is not in it.
    (storage.studies / "study-1" / "d.dcm").touch()
    assert node_status(config)["studies_to_segment"] == ["study-1", "study-2"]
    monkeypatch.setattr(status, "read_jobs", lambda _config: [
        Job(jobs.job_of(study, storage.content_digest(study)), "study", "done", "", (), 0.0)
        for study in ("study-1", "study-2")
    ])  # fmt: skip
    found = node_status(config)
    assert found["studies_to_segment"] == []
    assert not any("to be segmented" in line for line in _status_lines(found))


def test_the_storage_of_another_user_is_one_sentence(monkeypatch, config):
    def closed(_folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("bonescan.node.status.os.scandir", closed)
    for ask in (node_status, status.retry_now, lambda config: status.dismiss(config, ())):
        with pytest.raises(OptionError, match=r"belongs to the node's user \w+: run this as that user \(sudo -u \w+ "):
            ask(config)


def test_where_no_node_ever_ran_every_question_says_so(tmp_path):
    nowhere = NodeConfig(str(tmp_path / "nowhere"))
    for ask in (node_status, status.retry_now, lambda config: status.dismiss(config, ())):
        with pytest.raises(OptionError, match=r"no node has run in .*nowhere: start it with bonescan node run"):
            ask(nowhere)
    assert not (tmp_path / "nowhere").exists()


def test_a_secret_that_is_not_set_is_the_reason_of_a_failed_delivery(config, monkeypatch):
    peer = WebPeer("archive", "https://archive/", "bearer", "NO_SUCH_SECRET")
    monkeypatch.delenv("NO_SUCH_SECRET", raising=False)
    running = NodeConfig(config.storage, web=(peer,))
    monkeypatch.setattr(jobs, "_running", jobs._Running(running, Storage(Path(config.storage))))
    folder = Path(config.storage) / "results" / "study-0123-aa-1"
    folder.mkdir(parents=True)
    (folder / "sr.dcm").touch()
    tried = jobs.deliver_step.__wrapped__([folder.name], "archive")
    assert tried["state"] == "again"
    assert "NO_SUCH_SECRET" in tried["error"]


@pytest.fixture
def queue(monkeypatch, config):
    """The jobs of a node: a failed study, a failed delivery and one that waits; what is queued or started at once."""
    jobs = [
        Job("study-1-aa", "study", "failed", "broken", ("study-1", "aa"), 0.0),
        Job("study-2-bb-pacs", "delivery", "failed", "down", (["f"], "pacs", 3, "down"), 0.0),
        Job("study-3-cc-pacs-again-1", "delivery", "waiting", "down", (["f"], "pacs", 1, "down"), 0.0),
    ]
    done = []
    client = SimpleNamespace(
        enqueue=lambda options, *arguments: done.append((options["queue_name"], options["workflow_id"], arguments)),
        set_workflow_delay=lambda name, delay_seconds: done.append(("now", name, delay_seconds)),
        destroy=lambda: None,
    )
    monkeypatch.setattr(status, "read_jobs", lambda _config: jobs)
    monkeypatch.setattr(status, "DBOSClient", lambda **_: client)
    return done


def test_a_dismissed_delivery_is_left_out_until_it_is_named(queue, config):
    again = ("to-pacs", "study-2-bb-pacs-again-1", (["f"], "pacs"))
    waiting = ("now", "study-3-cc-pacs-again-1", 0)
    assert [job.name for job in status.dismiss(config, ["study-2-bb-pacs"])] == ["study-2-bb-pacs"]
    assert [job.name for job in status.dismiss(config, ())] == ["study-1-aa"]
    assert status.retry_now(config) == 1
    assert queue == [waiting]
    assert status.retry_now(config, ["study-2-bb-pacs"]) == 1
    assert queue == [waiting, again]
    assert status.retry_now(config, ["study-3-cc-pacs-again-1"]) == 1
    assert queue == [waiting, again, waiting]
    with pytest.raises(OptionError, match="there is no failed or waiting job study-9"):
        status.retry_now(config, ["study-1-aa", "study-9"])
    assert len(queue) == 3


def test_dismiss_prints_the_names_and_what_is_not_sent_any_more(queue, config, tmp_path, capsys):
    path = tmp_path / "node.toml"
    path.write_text(f'storage = "{config.storage}"')
    assert NodeDismiss(path, ("study-1-aa",), all=False).run(Console()) == DONE
    said = capsys.readouterr()
    assert (said.out, said.err) == ("1 failure dismissed\nstudy-1-aa\n", "")
    assert NodeDismiss(path, (), all=True).run(Console()) == DONE
    said = capsys.readouterr()
    assert said.out == "1 failure dismissed\nstudy-2-bb-pacs\n"
    assert said.err.startswith("the results of 1 dismissed delivery are not sent any more; to send one after all, run ")
    assert NodeRetry(path, ("study-2-bb-pacs",)).run(Console()) == DONE
    assert [entry[1] for entry in queue] == ["study-2-bb-pacs-again-1"]


@pytest.fixture
def unknown_host(monkeypatch):
    def nowhere(*_args, **_more):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", nowhere)
    return DicomPeer("archive", "pacs.invalid", 104)


def test_a_host_whose_name_does_not_resolve_is_one_sentence(unknown_host, tmp_path, monkeypatch):
    said = r"^the destination archive at pacs\.invalid:104 cannot be reached \(Name or service not known\)$"
    with pytest.raises(DeliveryError, match=said) as error:
        echo(unknown_host, NodeConfig(str(tmp_path)))
    assert error.value.retryable
    for name in ("sop_class_of", "transfer_syntax_of"):
        monkeypatch.setattr(cstore, name, lambda _path: "1.2.840.10008.1.2.1")
    with pytest.raises(DeliveryError, match=said):
        send(unknown_host, [tmp_path / "x.dcm"], NodeConfig(str(tmp_path)))


@pytest.mark.parametrize("error", [ZeroDivisionError(), DeliveryError("no answer", retryable=True)])
def test_a_delivery_that_fails_is_in_the_log_with_its_study(error, config, monkeypatch, caplog, tmp_path):
    def fails(*_):
        raise error

    monkeypatch.setattr(jobs, "_transfer", fails)
    running = NodeConfig(config.storage, dicom=(DicomPeer("archive", "h"),))
    monkeypatch.setattr(jobs, "_running", jobs._Running(running, Storage(Path(config.storage))))
    folder = tmp_path / "storage" / "results" / "study-0123-aa-1"
    folder.mkdir()
    (folder / "sr.dcm").touch()
    assert jobs.deliver_step.__wrapped__([folder.name], "archive")["state"] == "again"
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("delivery of study-0123 to archive: ")


def test_check_goes_on_after_a_problem_and_reports_all(unknown_host, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        peers = (unknown_host, DicomPeer("other", "pacs.invalid", 105))
        config = NodeConfig(str(tmp_path / "new"), port=port, model="nowhere", free_megabytes=10**9, dicom=peers)
        found = list(check.findings(config))
    wrong = [one.sentence for one in found if not one.works]
    assert [one.stops for one in found if not one.works] == [True, True, True, False, False]
    assert "nearly full" in wrong[1]
    assert "MB free, free_megabytes = 1000000000" in wrong[1]
    assert wrong[2].startswith(f"127.0.0.1:{port} cannot be listened on (Address already in use")
    assert [sentence.split(" at ")[0] for sentence in wrong[3:]] == ["the destination archive", "the destination other"]
    assert not (tmp_path / "new").exists()


def test_check_looks_at_the_storage_and_the_ports(config, tmp_path):
    port, other = free_port(), free_port()
    config = NodeConfig(config.storage, port=port, health_port=other, free_megabytes=1)
    said = [one.sentence for one in check.findings(config) if one.works]
    assert any(sentence.startswith("storage: can be written, ") for sentence in said)
    assert f"port {port} and health_port {other}: free" in said
    assert said[-1] == "destinations: none, results stay in the storage"
    storage = Storage(Path(config.storage))
    storage.open()
    try:
        with socket.create_server(("127.0.0.1", port)):
            assert all(one.works for one in check.findings(config))
    finally:
        storage.close()
    same = NodeConfig(config.storage, port=port, health_port=port, free_megabytes=1)
    assert "port and health_port are both" in next(one.sentence for one in check.findings(same) if not one.works)
    (tmp_path / "file").touch()
    blocked = NodeConfig(str(tmp_path / "file"), port=port, free_megabytes=1)
    assert "cannot be used (" in next(one.sentence for one in check.findings(blocked) if not one.works)


def test_check_reports_a_storage_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / "closed")  # root may write everywhere
    config = NodeConfig(str(tmp_path / "closed" / "storage"), port=free_port(), free_megabytes=1)
    assert "is not writable" in next(one.sentence for one in check.findings(config) if not one.works)
