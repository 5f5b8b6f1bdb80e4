"""The command line: what it says, its exit codes, and what it costs to start."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import fields

import pytest

from bonescan.cli import build_parser, main
from bonescan.commands import COMMANDS, base
from bonescan.commands.base import Console
from bonescan.errors import InputError


@pytest.mark.parametrize("words", ["", *COMMANDS, "model"])
def test_help_imports_nothing_heavy_and_says_research_use_only(words):
    code = (
        "import sys\nfrom bonescan.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as done: assert done.code == 0\n"
        "heavy = {'torch', 'numpy', 'scipy', 'pydicom', 'PIL', 'rich', 'onnxruntime'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words.split(), "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage: bonescan" in done.stdout
    assert "Research use only" in done.stdout


@pytest.mark.parametrize("words", COMMANDS)
def test_every_field_of_a_command_is_an_argument_of_it(words):
    command = COMMANDS[words]
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert {action.dest for action in parser._actions} - {"help"} == {field.name for field in fields(command)}
    assert command.__doc__


@pytest.mark.parametrize("arguments", [[], ["model"]])
def test_no_verb_shows_the_help_and_is_exit_2(arguments, capsys):
    assert main(arguments) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "COMMAND" in streams.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["segmant"], "'segmant'"),
        (["segment", "a.dcm"], "-o/--out"),
        (["segment", "-o", "out"], "INPUT"),
        (["segment", "a.dcm", "-o", "out", "--region", "knee"], "'knee'"),
        (["segment", "a.dcm", "-o", "out", "--window", "300:100"], "'300:100' is not a range of rows"),
        (["segment", "a.dcm", "-o", "out", "--window", "-5:100"], "--window"),
        (["segment", "a.dcm", "-o", "out", "--views", "front"], "no view 'front'"),
        (["segment", "a.dcm", "-o", "out", "--views", "anterior,anterior"], "named twice"),
        (["segment", "a.dcm", "-o", "out", "--frames", "1"], "not two frames"),
        (["segment", "a.dcm", "-o", "out", "--frames", "2,2"], "not two frames"),
        (["segment", "a.dcm", "-o", "out", "--frames", "0,1"], "not two frames"),
        (["segment", "a.dcm", "-o", "out", "--format", "jpeg"], "no format 'jpeg'"),
        (["segment", "a.dcm", "-o", "out", "--format", ","], "not a list of names"),
        (["segment", "a.dcm", "-o", "out", "--mod", "x"], "--mod"),
        *((["adapt", "a", "-o", "b", "--minutes", word], f"'{word}' is no time") for word in ("0", "nan", "x")),
        (["simulate", "-o", "out", "--count", "0", "--seed", "1"], "'0' is not a whole number from 1"),
        (["simulate", "-o", "out", "--count", "1", "--seed", "-1"], "--seed"),
        (["simulate", "-o", "out", "--count", "1", "--seed", "1", "--header", "acme"], "'acme'"),
        (["evaluate", "one"], "TRUTH"),
        (["evaluate", "one", ""], "an empty word is no path"),
        (["segment", "", "-o", "out"], "an empty word is no path"),
        (["segment", "a.dcm", "-o", ""], "an empty word is no path"),
        (["train", ""], "an empty word is no path"),
        (["simulate", "-o", "out", "--count", "9" * 5000, "--seed", "1"], "--count"),
    ],
)
def test_bad_arguments_are_one_sentence_and_exit_2(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("bonescan: ")
    assert streams.err.count("\n") == 1
    assert sentence in streams.err


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert "research use only" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (base.names, "a, b", ("a", "b")),
        (base.row_range, "120:376", (120, 376)),
        (base.frame_pair, "3,1", (3, 1)),
        (base.count, "12", 12),
        (base.seed, "0", 0),
    ],
)
def test_argument_types(parse, text, value):
    assert parse(text) == value


def test_lists_become_tuples():
    arguments = build_parser().parse_args(["segment", "a", "b", "-o", "out"])
    assert [path.name for path in arguments.inputs] == ["a", "b"]
    assert arguments.format == ("json", "labels", "png")


def test_the_names_that_arguments_offer_are_those_that_there_are():
    """The command line states them itself, so that `--help` need not import what knows them."""
    from bonescan.commands import segment, simulate
    from bonescan.dicom.write_nm import HeaderStyle
    from bonescan.lesions.delineate import OPERATING_POINTS
    from bonescan.results.folder import DEFAULT_FORMATS, FORMATS
    from bonescan.study import View

    assert tuple(FORMATS) == segment.FORMATS
    arguments = build_parser().parse_args(["segment", "a", "-o", "out"])
    assert (arguments.format, arguments.model) == (DEFAULT_FORMATS, None)  # None: the model in use
    assert tuple(View) == base.VIEWS
    assert segment.OPERATING_POINTS == OPERATING_POINTS
    assert {"mixed", *HeaderStyle} == set(simulate.HEADERS)


class Failing(base.Command):
    """Fails as it is told."""

    error: BaseException

    @staticmethod
    def add_arguments(parser):
        parser.add_argument("--nothing")

    def run(self, console):
        raise self.error


@pytest.fixture
def failing(monkeypatch):
    from dataclasses import make_dataclass

    def fail_with(error):
        command = make_dataclass("Fail", [("nothing", object)], bases=(Failing,), namespace={"error": error})
        command.__doc__ = "Fails."
        monkeypatch.setitem(COMMANDS, "fail", command)

    return fail_with


def test_a_typed_error_is_its_sentence_and_exit_2(failing, capsys):
    failing(InputError("the scan is upside down: turn it"))
    assert main(["fail"]) == 2
    assert capsys.readouterr().err == "bonescan: the scan is upside down: turn it\n"


def test_an_unexpected_error_tells_its_place_but_not_its_text(failing, capsys):
    failing(ValueError("DOE^JANE is not a number"))
    assert main(["fail"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("bonescan: an unexpected ValueError in test_cli.py:")
    assert "JANE" not in said


def test_traceback_shows_an_unexpected_error_whole(failing):
    failing(ValueError("here"))
    with pytest.raises(ValueError, match="here"):
        main(["--traceback", "fail"])


def test_the_keyboard_stops_with_130_and_a_sentence(failing, capsys):
    failing(KeyboardInterrupt())
    assert main(["fail"]) == 130
    assert capsys.readouterr().err.startswith("bonescan: stopped")


def test_control_characters_of_a_file_name_do_not_reach_the_terminal(capsys):
    Console().out("scan\x1b[2J\x9b.dcm\tok")
    assert capsys.readouterr().out == "scan\\x1b[2J\\x9b.dcm\tok\n"


def test_progress_elsewhere_than_on_a_terminal_is_plain_lines(capsys):
    with Console().progress("patients") as progress:
        for done in range(1, 51):
            progress(done, 50, f"p{done}")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "patients 1/50: p1"
    assert lines[-1] == "patients 50/50: p50"
    assert len(lines) < 10


def test_progress_on_a_terminal_is_a_bar_and_leaves_redirected_output_alone(tmp_path):
    code = (
        "from bonescan.commands.base import Console\n"
        "console = Console()\n"
        "with console.progress('patients') as progress:\n"
        "    progress(1, 2, '[red]p1')\n"
        "    console.out('the result')\n"
        "    progress(2, 2, 'p2')\n"
    )
    ours, terminal = os.openpty()
    with (tmp_path / "out").open("w") as out:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=out,
            stderr=terminal,
            env={**os.environ, "TERM": "xterm"},
            check=False,
        )
    os.close(terminal)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert (tmp_path / "out").read_text() == "the result\n"
    assert "patients" in shown
    assert "the result" not in shown


def test_a_reader_that_goes_away_stops_no_work(tmp_path):
    code = (
        "from pathlib import Path\nimport sys\nfrom bonescan.commands.base import Console\n"
        "console = Console()\nsys.stdin.readline()\n"
        "for _ in range(1000): console.out('x' * 1000)\n"
        "console.close()\nPath('done').touch()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdin and child.stdout and child.stderr
    child.stdout.close()
    child.stdin.write(b"go\n")
    child.stdin.close()
    with child.stderr as stderr:
        assert stderr.read() == b""
    assert child.wait() == 0
    assert (tmp_path / "done").exists()


def test_the_help_of_segment_names_the_default_operating_point(capsys):
    with pytest.raises(SystemExit):
        main(["segment", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "which are simulated for the models that ship (default: balanced)" in said


@pytest.mark.parametrize("words", ["segment scan.dcm -o out", "model show phantom-unet", "experiment list"])
def test_an_unknown_option_points_to_the_help_of_its_command(capsys, words):
    command = next(name for name in COMMANDS if words.startswith(name))
    with pytest.raises(SystemExit) as ended:
        main([*words.split(), "--nonsense"])
    assert ended.value.code == 2
    expected = f"bonescan: unrecognized arguments: --nonsense; see 'bonescan {command} --help'.\n"
    assert capsys.readouterr().err == expected
