"""What counts as another code, and what does not."""

import pytest

from bonescan.system.fingerprint import source_digest, values_digest

SOURCE = '"""What it is."""\n\n\ndef double(number):\n    """Twice."""\n    return 2 * number\n'


@pytest.fixture
def digest(tmp_path):
    def of(source, name="one.py"):
        path = tmp_path / name
        path.write_text(source)
        return source_digest([path], tmp_path)

    return of


@pytest.mark.parametrize(
    "same",
    [
        SOURCE.replace("Twice.", "Two times."),
        SOURCE.replace("return", "# quickly\n    return"),
        SOURCE.replace("2 * number", "(2*number)"),
        SOURCE.replace('"""What it is."""', ""),
    ],
)
def test_words_and_layout_do_not_count(digest, same):
    assert digest(same) == digest(SOURCE)


@pytest.mark.parametrize("other", [SOURCE.replace("2", "3"), SOURCE.replace("double", "twice"), SOURCE + "double(2)\n"])
def test_what_it_does_counts(digest, other):
    assert digest(other) != digest(SOURCE)


def test_a_file_of_another_name_is_another_code(digest):
    assert digest(SOURCE, "one.py") != digest(SOURCE, "two.py")


def test_the_order_of_files_and_of_keys_does_not_count(tmp_path):
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    for path in files:
        path.write_text(SOURCE)
    assert source_digest(files, tmp_path) == source_digest(reversed(files), tmp_path)
    assert values_digest({"a": 1, "b": [1, 2]}) == values_digest({"b": [1, 2], "a": 1})
    assert values_digest({"a": 1}) != values_digest({"a": 2})
