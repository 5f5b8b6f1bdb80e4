"""Write the pages of docs/reference that the code itself knows: `make docs`.

A test compares the committed pages with what this makes.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any

import bonescan
from bonescan.commands import COMMANDS
from bonescan.lin2022.gan.config import GanConfig
from bonescan.models import MODELS
from bonescan.node.config import NodeConfig
from bonescan.node.destinations import DicomPeer, WebPeer
from bonescan.train.config import TrainConfig

REFERENCE = Path(__file__).parent / "reference"
MADE = "<!-- Made by docs/build_reference.py; change the code, not this page. -->"


def cell(text: str) -> str:
    """Text that fits a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def command_line() -> str:
    """Every command with its arguments."""
    pages = [
        "# Command line",
        MADE,
        "Every command takes `--help`. `bonescan --version` prints the version; `bonescan --traceback COMMAND ...` "
        "shows where in the code an unexpected error came from.",
        "| exit code | meaning |\n|---|---|\n| 0 | all done |\n"
        "| 1 | some inputs failed, or all; the others are done, and each failure is named |\n"
        "| 2 | nothing could be done: bad arguments, no model, a broken installation |\n"
        "| 130 | stopped by Ctrl-C |\n| 143 | ended by SIGTERM |",
        "Results go to standard output, everything else to standard error. An error is one sentence: what is wrong, "
        "with the value, and what to do.",
    ]
    for words, command in COMMANDS.items():
        parser = argparse.ArgumentParser(add_help=False)
        command.add_arguments(parser)
        rows = [f"| {_argument(action)} | {cell(_help(action))} |" for action in parser._actions]
        purpose = (command.__doc__ or "").strip()
        pages += [f"## bonescan {words}", purpose, "\n".join(["| argument | meaning |", "|---|---|", *rows])]
    return "\n\n".join(pages) + "\n"


def _help(action: argparse.Action) -> str:
    """The help as argparse prints it, where %% stands for one sign."""
    return (action.help or "").replace("%%", "%")


def _argument(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else "\\|".join(map(str, action.choices or ()))
    metavar = metavar.replace("|", "\\|") if action.choices is None else metavar
    if not action.option_strings:
        return f"`{metavar}`" + (" ..." if action.nargs == "+" else "")
    value = "" if action.nargs == 0 else f" {metavar}"
    required = " (required)" if action.required else ""
    return ", ".join(f"`{option}{value}`" for option in action.option_strings) + required


def configuration() -> str:
    """Every key of the TOML files of a training, of a GAN and of a node."""
    pages = [
        "# Configuration of a training",
        MADE,
        "A TOML file for `bonescan train`; every key has a default, but `cohort.folder`, `phantoms.anatomies` or "
        "`images.folder` must say what to learn from. A key "
        "that is not known is an error that names the nearest known one. On the command line, `--set key=value` or "
        "`--set table.key=value` takes the place of what the file says.",
    ]
    pages += _tables(TrainConfig, "")
    for name, (config, _) in MODELS.items():
        pages += _tables(config, "network_config", f'## `[network_config]` of `network = "{name}"`')
    gan = [
        "# Configuration of a GAN",
        "A TOML file for `bonescan gan train --config`, in the same manner.",
    ]
    node = [
        "# Configuration of a node",
        "A TOML file for `bonescan node run`, in the same manner; see [run the node](../how-to/run-the-node.md).",
    ]
    node += _tables(NodeConfig, "")
    node += _tables(DicomPeer, "dicom", "## `[[dicom]]`, once a destination")
    node += _tables(WebPeer, "web", "## `[[web]]`, once a destination")
    return "\n\n".join(pages + gan + _tables(GanConfig, "") + node) + "\n"


def _tables(config: type[Any], table: str, title: str = "") -> list[str]:
    said = field_docstrings(config)
    nested = {field: field.default_factory for field in fields(config) if is_dataclass(field.default_factory)}
    rows = [
        f"| `{field.name}` | `{cell(_default(field))}` | {cell(said.get(field.name, ''))} |"
        for field in fields(config)
        if field not in nested
    ]
    title = title or (f"## `[{table}]`" if table else "## At the top")
    pages = [
        title,
        inspect.cleandoc(config.__doc__ or "").partition("\n\n")[0],
        "\n".join(["| key | default | meaning |", "|---|---|---|", *rows]),
    ]
    for field, inner in nested.items():
        pages += _tables(inner, f"{table}.{field.name}".lstrip("."))
    return pages


def _default(field: Field[Any]) -> str:
    if field.default is MISSING and field.default_factory is MISSING:
        return "(required)"
    value = field.default if field.default is not MISSING else field.default_factory()  # type: ignore[misc]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return str(list(value) if isinstance(value, tuple) else value)


def field_docstrings(config: type[Any]) -> dict[str, str]:
    """The string under each field of a dataclass, or what its own docstring says as `name: meaning.`"""
    body = ast.parse(dedent(inspect.getsource(config))).body[0].body
    own = inspect.cleandoc(config.__doc__ or "").partition("\n\n")[2]
    said = {name: meaning.strip() for name, meaning in re.findall(r"^(\w+): (.+(?:\n +.+)*)$", own, re.MULTILINE)}
    for statement, following in pairwise(body):
        is_text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and is_text:
            said[statement.target.id] = str(following.value.value)
    return said


def python() -> str:
    """The public names."""
    rows = []
    for name in bonescan.__all__:
        value = getattr(bonescan, name)
        signature = "" if isinstance(value, type) else cell(_signature(value))
        first = inspect.cleandoc(value.__doc__ or "").partition("\n\n")[0]
        rows.append(f"| `bonescan.{name}{signature}` | {cell(first)} |")
    pages = [
        "# Python",
        MADE,
        "These names are the public interface; all others may change. Their docstrings say shapes, units and errors.",
        "\n".join(["| name | meaning |", "|---|---|", *rows]),
    ]
    return "\n\n".join(pages) + "\n"


def _signature(function: Callable[..., object]) -> str:
    """As in the source, where annotations are not in quotes."""
    stated = inspect.signature(function)
    defaults = {name: one.default for name, one in stated.parameters.items() if one.default is not one.empty}
    said = [
        f"{name}: {one.annotation}" + (f" = {defaults[name]!r}" if name in defaults else "")
        for name, one in stated.parameters.items()
    ]
    return f"({', '.join(said)}) -> {stated.return_annotation}"


def outputs() -> str:
    """What lies in the folder of a study; the fields of lesions.json from its schema."""
    schema = json.loads((REFERENCE / "lesions.schema.json").read_text())
    pages = [
        "# Outputs",
        MADE,
        "`bonescan segment INPUT... -o OUT` writes one folder a study, `OUT/<study>/`, at once or not at all. "
        "`<study>` is the input's own name ([inputs](inputs.md) says how), made safe and unique in the call, and "
        "nothing of the patient's identity. A second call into the same folder replaces results of the same name.",
        "## `overlay.png`",
        "Both views as acquired in inverted grey (hot is dark), windowed by percentile so that a full bladder does "
        "not hide the bones; the curves with the numbers of the outlines, each nearer to its own curve than to any "
        "other where there is a place for it; R and L, the patient's sides; the model and its operating point; the "
        "research-use line. All warnings stand in a box at the lower edge. With `--identify` a strip on top names the "
        "patient.",
        "## `labels_anterior.png`, `labels_posterior.png`",
        "16-bit, of the frame's own shape: 0 = background, otherwise the lesion's id. A view that is missing has none.",
        *_shown_outputs(),
        "## `lesions.csv`, `studies.csv`, `statistics.csv`",
        "With `--tables`, `segment` also writes three tables of all results in `OUT`: a row for each outline, a row "
        "for each study, and for the whole the mean, standard deviation, quartiles and range of each quantity, and "
        "how many outlines lie in each region. The row of a study says first what the patient has, in the columns "
        "that begin with `patient_`, where a lesion that both views show is counted once; then the outlines of each "
        "view, how it was made (`model`, `operating_point`, `reader`), and its warnings. `bonescan table RESULTS -o "
        "FOLDER` writes them of any results, also of readers'. Text that a spreadsheet would take for a formula has "
        "an apostrophe in front. A lesion that both views show has a row for each outline, with one number in `pair`. "
        "`bonescan table --parquet` writes Parquet in the place of CSV, numbers as numbers; its library (pyarrow) is "
        "larger than the rest of the base, and an extra of its own.",
        "## `comparison.json`, `comparison-1.pdf`, `.html`, `.png`",
        "`bonescan compare OLD NEW [NEWER ...] -o OUT` writes them into `OUT`: one JSON file of all scans, and for "
        "each scan after the first a page as PDF and as HTML and a picture, numbered in order. The page is one A4 "
        "sheet: both scans side by side at one window, each curve with the number of its lesion and the mark of its "
        "change; the lesions with site and change; the burden of each scan and the difference, with 95 % intervals "
        "where `--intervals` asked for them; the verdicts of PCWG3 where `--pcwg3` did; quality, model and version; "
        "the warnings. Its numbers are those of `comparison.json`, where `below_threshold` marks new lesions that are "
        "listed only because their uptake rose. Where not all lesions fit, persistent ones are left "
        "out first, and a line counts them. Warnings that do not fit are counted likewise; the HTML file and the "
        "picture hold all. The page never names the patient.",
        "## Where the warnings are",
        "What a result warns of is in every file that leaves the program: drawn on `overlay.png`, the capture and the "
        "page; in the text chunks (keyword Warning) of all PNGs; as text of the report and the presentation state; in "
        "Image Comments or Document Title of the other objects; as flags in LabelMe files, under `info` in COCO, and "
        "in `lesions.json`.",
        "## `lesions.json`",
        f"{schema['description']} The [JSON Schema](lesions.schema.json) is the exact description; it changes its "
        f"identifier (`{schema['$id']}`) when the format changes.",
        "\n".join(["| field | meaning |", "|---|---|", *_schema_rows(schema, schema, "")]),
    ]
    return "\n\n".join(pages) + "\n"


def _shown_outputs() -> list[str]:
    """What people look at, beside the picture."""
    return [
        "## `report.pdf`, `report-pdf.dcm` (`--format pdf`)",
        "One A4 page: both views with the curves, a table of the outlines by view, how they were found, with the "
        "operating point and the quality of the scan, the warnings; where the page has space, both views without "
        "curves at a logarithmic window. Real text in embedded fonts; the same result gives the same bytes. Some sixty "
        "outlines fit; of more, the largest are listed and the others counted. `report-pdf.dcm` is the same document "
        "as Encapsulated PDF, where the source is DICOM.",
        "![The page of a simulated scan](../images/report.png)",
        "## `report.html` (`--format html`)",
        "The report as one file that loads nothing: both views at a linear and a logarithmic window, the lesions by "
        "site with the outlines of both views together, the burden with its intervals where `--intervals` asked for "
        "them, the quality of the scan, the model and its operating point. Its numbers are those of `lesions.json`.",
        "## `overlay-capture.dcm` (`--format capture`)",
        "The picture of `overlay.png`, pixel by pixel, as Secondary Capture: what every archive can show. It is stored "
        "by a palette and compressed without loss (RLE), at about a seventh of the size.",
        "## `presentation.dcm` (`--format gsps`)",
        "A Grayscale Softcopy Presentation State: a viewer shows the source's own frames by it, in inverted grey on "
        "the window of the overlay, with a closed curve and a number for each lesion in a layer that can be hidden, "
        "and the research-use line. The curves hold the masks exactly. Not every viewer applies presentation states.",
        "## `lesions-sr.dcm`, `lesions-seg.dcm` (`--format sr,seg`)",
        "A Structured Report with a closed curve, the measures and the site of each lesion, and a Segmentation with a "
        "segment for each; of no lesion there is no segmentation. `bonescan import` reads both back.",
        "## `anterior.json`, `anterior.png`, `coco.json` and the like (`--format labelme,coco`)",
        "The curves for tools that draw: a LabelMe file for each view with the picture that it is of (`anterior.png`, "
        "`posterior.png`: 8-bit, windowed, no counts), or one COCO file. `bonescan import` reads them back.",
        "## Who is named where",
        "No file's name, JSON, picture or page names the patient, unless `--identify` asks for it: then `overlay.png`, "
        "the capture and the page show the name, ID, birth date, sex, accession number and study date as the "
        "source's header states them (a de-identified source shows what it has), and the objects say Burned In "
        "Annotation YES. `--identify` is refused for sources without a DICOM header. Objects in DICOM stay in the "
        "source's study and repeat its patient in their headers in any case, as an archive needs. The name of the "
        "study, which is on the page and in the JSON, is the input's own file or folder name. Letters that the "
        "pages' font lacks (it has Latin, Greek, Cyrillic, Armenian and Georgian ones) become question marks, and a "
        "line says so; of a name in several alphabets the first is shown.",
    ]


def _schema_rows(part: dict[str, Any], schema: dict[str, Any], path: str) -> list[str]:
    """A row for each field, inner objects and lists of objects followed; what comes again only once."""
    rows: list[str] = []
    followed: dict[str, str] = {}
    for name, field in part.get("properties", {}).items():
        items = field.get("items")
        is_list = isinstance(items, dict) and "$ref" in items
        outer = items if is_list else field
        here = f"{path}.{name}{'[]' if is_list else ''}".lstrip(".")
        if "$ref" in outer and outer["$ref"] in followed:
            rows.append(f"| `{here}` | the same as `{followed[outer['$ref']]}` |")
            continue
        followed[outer.get("$ref", here)] = here
        inner = _resolved(outer, schema)
        said = field.get("description") or inner.get("description") or _values(field)
        if said or "properties" not in inner:
            rows.append(f"| `{here}` | {cell(said) or name.replace('_', ' ')} |")
        rows += _schema_rows(inner, schema, here)
    return rows


def _resolved(field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """What a reference names; of null or an object, the object."""
    if "$ref" in field:
        field = schema["$defs"][field["$ref"].rpartition("/")[2]]
    return next((one for one in field.get("oneOf", []) if "properties" in one), field)


def _values(field: dict[str, Any]) -> str:
    if "const" in field:
        return f"always `{json.dumps(field['const'])}`"
    return ", ".join(f"`{value}`" for value in field.get("enum", []))


PAGES = {"command-line.md": command_line, "configuration.md": configuration, "python.md": python, "outputs.md": outputs}


def main() -> None:
    """Write all pages."""
    for name, make in PAGES.items():
        (REFERENCE / name).write_text(make())


if __name__ == "__main__":
    main()
