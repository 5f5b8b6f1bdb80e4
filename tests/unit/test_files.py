"""Files are written completely, or not at all."""

import pytest

from bonescan.system.files import written_whole


def test_a_file_takes_the_place_of_the_one_before_when_all_is_written(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("before")
    with written_whole(path) as temporary:
        temporary.write_text("after")
        assert path.read_text() == "before"
        assert temporary.parent == tmp_path, "renaming is atomic only within a file system"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]
    assert path.read_text() == "after"


@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "report.json"
    path.write_text("before")
    with pytest.raises(error), written_whole(path) as temporary:
        temporary.write_text("af")
        raise error
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]
    assert path.read_text() == "before"
