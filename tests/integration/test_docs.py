"""The documentation's commands, Python and TOML work; its links lead somewhere; its generated pages are current."""

from __future__ import annotations

import io
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import chdir, redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest
from tests.scripts import script

from bonescan.configuration import config_from_dict
from bonescan.train.config import TrainConfig

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<why>.+?) -->\n)?^```(?P<kind>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)


Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class Block:
    kind: str
    body: str
    why_not_run: str | None


def blocks(page: Path) -> list[Block]:
    return [Block(found["kind"], found["body"], found["why"]) for found in BLOCK.finditer(page.read_text())]


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.kind in ("console", "python") and block.why_not_run is None]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_one_after_another(page, tmp_path, request):
    here = None
    if page.name not in BY_A_SHELL:
        request.getfixturevalue("shared_anatomies")
        here = request.getfixturevalue("in_process")
    try:
        done = [run_step(step, page, tmp_path) for block in runnable(page) for step in steps(block, here)]
        said = "".join(one.stderr for one in done)
        assert re.search(SAID.get(page.name, ""), said), said
        if page.name == "README.md":  # Python counts lesions as the command line does
            counted = re.search(r"\d+ lesions? in \d+ outlines?", done[-1].stdout)
            assert counted is not None
            assert counted[0] in "".join(one.stdout for one in done[:-1])
    finally:
        for started in tmp_path.glob("*.pid"):  # what a page runs in the background, where it fails before it stops it
            with suppress(ProcessLookupError):
                os.kill(int(started.read_text()), signal.SIGKILL)


SAID = {"tutorial-train.md": r"learns from 4 patients \([1-9]\d* outlines\), keeps 2 patients \([1-9]\d* outlines\)"}
"""What the blocks of a page must say on standard error."""

BY_A_SHELL = ("README.md",)
"""Pages that run as a reader runs them, by a shell and a new Python; of the others, only what needs a shell does."""

Step = Callable[[Path, Path], "subprocess.CompletedProcess[str]"]


def steps(block: Block, here: Cli | None) -> list[Step]:
    """What a block does, in order; with `here`, Python and plain `bonescan` commands without a process of their own."""
    if block.kind == "python":
        child = partial(child_process, [sys.executable, "-W", "error", "-c", block.body])
        return [child if here is None else partial(python_here, block.body)]
    lines = [line.removeprefix("$ ") for line in block.body.splitlines() if line.startswith("$ ")]
    made: list[Step] = []
    for plain, some in groupby(lines, lambda line: here is not None and PLAIN.fullmatch(line) is not None):
        if plain:
            made += [partial(command_here, here, line) for line in some]
        else:
            made.append(partial(child_process, ["bash", "-euo", "pipefail", "-c", "\n".join(some)]))
    return made


PLAIN = re.compile(r"bonescan [^$&*;<>?|`\\]+")
"""A command in which nothing is left to the shell."""


def run_step(step: Step, page: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a step of a page in the folder, which must succeed."""
    done = step(page, folder)
    assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}"
    return done


def child_process(command, page, folder):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )


def command_here(here, line, page, folder):
    return here(*shlex.split(line, comments=True)[1:], cwd=folder)


def python_here(body, page, folder):
    said = io.StringIO()
    with chdir(folder), redirect_stdout(said):
        exec(compile(body, page.name, "exec"), {"__name__": "__main__"})
    return subprocess.CompletedProcess(body, 0, said.getvalue(), "")


def test_the_tutorial_and_the_readme_have_blocks_that_run():
    for page in (ROOT / "README.md", ROOT / "docs" / "tutorial.md"):
        assert {block.kind for block in runnable(page)} == {"console", "python"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_has_a_kind_and_toml_is_a_configuration(page):
    assert page.read_text().count("```") == 2 * len(blocks(page))
    for block in blocks(page):
        assert block.kind in ("console", "python", "toml", "json", "text")
        if block.kind == "toml":
            config_from_dict(TrainConfig, tomllib.loads(block.body))
        if block.kind == "python":
            compile(block.body, page.name, "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_architecture_page_shows_the_layers_that_are_checked():
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = (one for one in project["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    (picture,) = (found["body"] for found in BLOCK.finditer(page) if found["body"].startswith("cli "))
    assert [re.split(r" {2,}", line)[0] for line in picture.strip().splitlines()] == contract["layers"]
    packages = {path.stem for path in (ROOT / "src" / "bonescan").iterdir() if path.suffix == ".py" or path.is_dir()}
    named = {name.strip() for layer in contract["layers"] for name in layer.split("|")}
    assert packages - named - {"__pycache__"} == {"__init__", "__main__", "bundles"}
    files = re.findall(
        r"`([a-z_]+(?:/[a-z_0-9]+)*(?:\.py|/))`", page.split("## Where to look")[1].split("## Import")[0]
    )
    assert [name for name in files if not (ROOT / "src" / "bonescan" / name).exists()] == []


def test_the_generated_pages_are_what_the_code_says():
    for name, make in script("docs/build_reference.py").PAGES.items():
        page = ROOT / "docs" / "reference" / name
        assert page.read_text() == make(), f"{name} is not current: run make docs"
        assert "%%" not in page.read_text()


def test_the_page_on_inputs_states_the_limits_that_hold():
    from bonescan.dicom import accept, views
    from bonescan.reading import inputs
    from bonescan.sandbox import rasters

    page = (ROOT / "docs" / "reference" / "inputs.md").read_text()
    assert f"at least {accept._LEAST_ROWS} rows and {accept._LEAST_COLS} columns" in page
    assert f"at most {accept._MOST_PIXELS_A_SIDE} rows and {accept._MOST_PIXELS:,} pixels" in page
    assert f"{accept._LEAST_ELONGATION} times as high as wide" in page
    assert rasters._LEVELS_ABOVE == 4
    assert "up to four above" in page
    assert len(views._LADDER) == len(re.findall(r"^\d\. ", page, re.MULTILINE))
    (kept,) = re.findall(r"digits and `(\S+)` are kept", page)
    assert all(inputs.safe_name(f"a{sign}b") == f"a{sign}b" for sign in kept)


def test_the_messages_that_the_page_on_refused_scans_quotes_are_those_of_the_source():
    page = (ROOT / "docs" / "how-to" / "when-a-scan-is-refused.md").read_text()
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py")).lower()
    quoted = re.findall(r'"([^"]+)"', page)
    assert len(quoted) >= 8
    assert [one for one in quoted if one.lower() not in source] == []


def test_the_container_file_copies_what_there_is_and_runs_as_a_user_of_its_own():
    lines = (ROOT / "Containerfile").read_text().splitlines()
    copied = [name for line in lines if re.match(r"COPY (?!--)", line) for name in line.split()[1:-1]]
    assert copied
    assert all((ROOT / name).exists() for name in copied)
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001"]
    assert any(line.startswith("ENV ORT_DISABLE_TELEMETRY=1 ") for line in lines)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert all(name in extras for name in re.findall(r"\.whl\)\[(\w+)\]", "\n".join(lines)))


def test_the_measured_figures_are_what_the_benchmarks_left():
    for place, make in script("docs/build_figures.py").PLACES:
        assert place.page.read_text() == place.filled(make()), f"{place.page.name} is not current: run make docs"
