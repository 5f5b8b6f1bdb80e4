"""What a running node says of refused studies, late deliveries and senders: in its status and in its log."""

from __future__ import annotations

import datetime
import re

import pydicom
import pytest
from tests.integration.test_node import Place, scan, store, until

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path):
    one = Place(tmp_path)
    yield one
    one.end()


def test_a_delivery_that_is_tried_again_says_since_when(place, tmp_path):
    begun = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    place.start()
    assert store(pydicom.dcmread(scan(tmp_path)), place.port) == 0
    said = {}

    def is_tried_three_times():
        said.update({one["job"]: one["since"] for one in place.status()["tried_again"]})
        return any(job.endswith("-again-3") for job in said)

    until(is_tried_three_times)
    since = {when for job, when in said.items() if "-again-" in job}
    assert len(since) == 1
    assert begun <= datetime.datetime.fromisoformat(since.pop()) <= datetime.datetime.now(datetime.UTC)


def test_what_is_no_bone_scan_is_refused_listed_and_raises_no_alarm(place, in_process, tmp_path):
    place.start()
    iodine = pydicom.Dataset()
    iodine.Radiopharmaceutical = "Sodium iodide I-131"
    others = (
        {"ImageType": ["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"]},
        {"Modality": "DX"},
        {"RadiopharmaceuticalInformationSequence": [iodine]},
    )
    for number, elements in enumerate(others):
        source = pydicom.dcmread(scan(tmp_path, SOPInstanceUID=f"1.2.840.98.{number}", **elements))
        source.StudyInstanceUID = f"1.2.840.98.7.{number}"
        assert store(source, place.port) == 0
    until(lambda: place.status()["segmentations"]["refused"] == 3)
    status = place.status()
    assert (status["failures"], status["segmentations"]["failed"]) == ([], 0)
    run = in_process("node", "status", place.config)
    assert run.returncode == 0
    assert len(re.findall("^refused: study-", run.stdout, re.MULTILINE)) == 3
    assert "not WHOLE BODY" in run.stdout
    assert "not nuclear medicine (Modality is DX)" in run.stdout
    assert "not known as a bone tracer, so a node does not segment the study" in run.stdout
    assert status["results"] == 0
    assert in_process("node", "retry", place.config).stdout.startswith("0 jobs")


def test_the_log_says_from_whom_an_object_came_and_whose_results_went_where(place, tmp_path):
    place.configure(formats=["json", "sr"])
    place.start_storescp()
    place.start()
    assert store(pydicom.dcmread(scan(tmp_path)), place.port, own="GAMMA1") == 0
    until(lambda: place.status()["deliveries"]["done"] == 1)
    log = (tmp_path / "log").read_text()
    (study,) = (tmp_path / "storage" / "studies").iterdir()
    assert f"{study.name}: received an object from GAMMA1\n" in log
    assert f"delivered 1 object of {study.name} to archive\n" in log
