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
from typing import Any, get_args, get_type_hints

import bonescan
from bonescan.commands import COMMANDS
from bonescan.lin2022.gan.config import GanConfig
from bonescan.models import MODELS
from bonescan.node.config import NodeConfig
from bonescan.results.folder import FORMATS
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
        "| 1 | some inputs failed; the others are done, and each failure is named. `segment`, `pictures` and "
        "`consensus` also end with it where all failed |\n"
        "| 2 | nothing could be done: bad arguments, no model, a broken installation, or all inputs failed |\n"
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
    return "\n\n".join(pages + gan + _tables(GanConfig, "") + node) + "\n"


def _tables(config: type[Any], table: str, title: str = "") -> list[str]:
    said = field_docstrings(config)
    nested = {field: field.default_factory for field in fields(config) if is_dataclass(field.default_factory)}
    hints = get_type_hints(config)
    lists = {field.name: next(iter(get_args(hints[field.name])), None) for field in fields(config)}
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
    for name, inner in lists.items():
        if is_dataclass(inner):
            pages += _tables(inner, name, f"## `[[{name}]]`, which may be repeated")
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
    plain = [f"`{name}`" for name, one in FORMATS.items() if not one.needs_dicom]
    pages = [
        "# Python",
        MADE,
        "These names are the public interface; all others may change. Their docstrings say shapes, units and errors.",
        "\n".join(["| name | meaning |", "|---|---|", *rows]),
        f"Without an `origin`, which is not public, `write_result` writes {', '.join(plain)}. For the formats that are "
        "DICOM objects, use `bonescan segment --format`, or `bonescan export` on a result.",
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
        "`bonescan segment INPUT... -o OUT` writes one folder per study, `OUT/<study>/`, complete or not at all. "
        "`<study>` is [the input's own name](inputs.md#how-results-are-named). A second call into the same folder "
        "replaces results of the same name. OUT may not be a folder that is read, nor lie in one where `labelme` is "
        "asked for. Without `--format` it writes `json`, `labels` and `png`.",
        "| file | `--format` | content |\n|---|---|---|\n"
        + "\n".join(f"| {files} | `{name}` | {cell(content)} |" for files, name, content in OUTPUTS),
        "![The page of a simulated scan](../images/report.png)",
        *_outputs_explained(),
        "## `lesions.json`",
        f"{schema['description']} The [JSON Schema](lesions.schema.json) is the exact description; it changes its "
        f"identifier (`{schema['$id']}`) when the format changes.",
        "\n".join(["| field | meaning |", "|---|---|", *_said_once(_schema_rows(schema, schema, ""))]),
    ]
    return "\n\n".join(pages) + "\n"


OUTPUTS = (
    ("`lesions.json`", "json", "every lesion with its curve and measurements; [its fields](#lesionsjson)"),
    (
        "`labels_anterior.png`, `labels_posterior.png`",
        "labels",
        "16-bit, of the frame's own shape: 0 = background, otherwise the lesion's id; none for a missing view",
    ),
    (
        "`overlay.png`",
        "png",
        "both views as acquired in inverted grey (hot is dark), windowed by percentile so that a full bladder does not "
        "hide the bones; numbered curves; R and L, the patient's sides; model and operating point; all warnings in a "
        "box at the lower edge",
    ),
    (
        "`report.html`",
        "html",
        "one file that loads nothing: both views at a linear and a logarithmic window, the lesions by site, the "
        "burden (with `--intervals`, its intervals), the quality of the scan, model and operating point; the numbers "
        "of `lesions.json`",
    ),
    (
        "`report.pdf`; of a DICOM source also `report-pdf.dcm`, the same as Encapsulated PDF",
        "pdf",
        "one A4 page: both views with the curves, a table of the outlines by view, operating point, quality, warnings; "
        "where there is space, both views without curves at a logarithmic window. Some sixty outlines fit; of more, "
        "the largest are listed and the others counted. The same result gives the same bytes",
    ),
    ("`overlay-capture.dcm`", "capture", "`overlay.png`, pixel by pixel, as Secondary Capture (palette, lossless RLE)"),
    (
        "`presentation.dcm`",
        "gsps",
        "Grayscale Softcopy Presentation State: shows the source's frames in inverted grey, with exact curves and "
        "numbers in a layer that can be hidden; not every viewer applies it",
    ),
    ("`lesions-sr.dcm`", "sr", "Structured Report: curve, measurements and site of each lesion"),
    ("`lesions-seg.dcm`", "seg", "Segmentation with one segment per lesion; none without lesions"),
    (
        "`anterior.json`, `anterior.png`, and the same of the posterior view",
        "labelme",
        "LabelMe file of each view, with an 8-bit windowed picture, which holds no counts",
    ),
    ("`coco.json`", "coco", "the curves of all views in one COCO file"),
)
"""What lies in the folder of a study: files, format, content."""


def _outputs_explained() -> list[str]:
    """What holds of several files, and the files of several studies."""
    return [
        "`bonescan import` reads SR, SEG, LabelMe and COCO back. "
        "[DICOM conformance](dicom-conformance.md#objects-that-are-written) describes the DICOM objects.",
        "Pictures, pages and DICOM objects say that they are for research use only. All warnings are in every file: "
        "drawn on pictures and pages; in the text chunks (keyword Warning) of PNGs; as text of the SR and the "
        "presentation state; in Image Comments or Document Title of the other objects; as flags in LabelMe files; "
        "under `info` in COCO.",
        "## Who is named where",
        "- No file name, JSON, picture or page names the patient, unless `--identify` asks for it. The name of the "
        "study is the input's own file or folder name.\n"
        "- `--identify` shows name, ID, birth date, sex, accession number and study date, as the source's header "
        "states them, on `overlay.png`, the capture and the pages, and sets Burned In Annotation to YES. It is refused "
        "for sources without a DICOM header. Letters that the font lacks (it has Latin, Greek, Cyrillic, Armenian and "
        "Georgian ones) become question marks, and a line says so; of a name in several alphabets the first is "
        "shown.\n"
        "- DICOM objects stay in the source's study and always repeat its patient in their headers, as an archive "
        "needs.",
        "## `lesions.csv`, `studies.csv`, `statistics.csv`",
        "`segment --tables` writes three tables of all results into `OUT`; `bonescan table RESULTS -o FOLDER` writes "
        "them of any results, also of readers'.",
        "- `lesions.csv`: one row per outline. The two outlines of a lesion that both views show share a number in "
        "`pair`.\n"
        "- `studies.csv`: one row per study. The columns `patient_...` count a lesion that both views show once; then "
        "follow the outlines of each view, `model`, `operating_point`, `reader`, and the warnings.\n"
        "- `statistics.csv`: mean, standard deviation, quartiles and range of each quantity, and the number of "
        "outlines in each region.",
        "Text that a spreadsheet would take for a formula has an apostrophe in front. `bonescan table --parquet` "
        "writes Parquet instead; it needs the extra `parquet`.",
        "## `comparison.json`, `comparison-1.pdf`, `.html`, `.png`",
        "`bonescan compare OLD NEW [NEWER ...] -o OUT` writes one JSON file of all scans and, for each scan after the "
        "first, a page as PDF and HTML and a picture. [Compare scans over time](../how-to/compare-over-time.md) "
        "describes the page, whose numbers are those of `comparison.json`. Where not all lesions fit on the PDF, "
        "persistent ones are left out first. Lesions and warnings that do not fit are counted; the HTML file and the "
        "picture hold all.",
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


def _said_once(rows: list[str]) -> list[str]:
    """The rows, where a long meaning that comes again names the field that has it already."""
    first: dict[str, str] = {}
    shown = []
    for row in rows:
        field, meaning = row.removeprefix("| ").removesuffix(" |").split(" | ", 1)
        known = first.setdefault(meaning, field)
        again = known != field and len(meaning.split()) > len(known.split()) + 3
        shown.append(f"| {field} | as {known} |" if again else row)
    return shown


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
