"""The report of a result as one self-contained HTML file: views at two windows, lesions by site, burden, quality.

It loads nothing and runs no script. It can be printed on one sheet, also in grey. The same result gives the same bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO
from pathlib import Path

from PIL import Image

from bonescan._version import __version__
from bonescan.assess.burden import extent_words
from bonescan.assess.site import site_words
from bonescan.report.overlay import panels
from bonescan.report.words import COLUMNS, RESEARCH_USE, Fields, check_words, headline, model_words, quality_words
from bonescan.study import Lesion, Result, View

_STYLE = """
body{font:14px/1.4 system-ui,sans-serif;color:#1e1e1e;margin:1.2rem auto;max-width:62rem;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1rem;border-bottom:1px solid #bbb;margin:1.2rem 0 .4rem}
.use{border:2px solid #a8200f;color:#a8200f;background:#fdf1ee;padding:.3rem .7rem;font-weight:700;display:inline-block}
.views{display:grid;grid-template-columns:repeat(2,1fr);gap:1.2rem}
figure{margin:0;border:1px solid #bbb}figure img{width:100%;display:block}
figcaption{display:flex;justify-content:space-between;align-items:baseline;padding:.2rem .8rem;background:#f2f2f2}
figcaption span{font-weight:600}.side{font-size:1.3rem}
table{border-collapse:collapse;width:100%}th,td{padding:.15rem .5rem;border-bottom:1px solid #ddd;text-align:left}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.warn{border-left:4px solid #1e1e1e;padding-left:.6rem}
.soft{color:#555}@media print{body{font-size:9.5px;margin:0;max-width:none}
.views{grid-template-columns:repeat(4,1fr);gap:2mm}.views img{max-height:95mm;object-fit:contain}
figcaption{padding:0 .3rem;gap:.4rem;text-align:center}figcaption span{font-weight:400}
tr,figure{break-inside:avoid}@page{size:A4;margin:12mm}}
"""
SIDES = "R and L are the patient's right and left. The posterior view is seen from behind."
"""What is said below the views."""


def write_html(result: Result, path: Path, patient: Fields = ()) -> None:
    """Write the report (UTF-8) to `path`; patient: as in `html_report`."""
    path.write_text(html_report(result, patient), encoding="utf-8")


def html_report(result: Result, patient: Fields = ()) -> str:
    """Return the report. patient: fields that name the patient; () leaves the identity out."""
    parts = (*_views(result), *_burden(result), *_lesions(result), *_quality(result), *_provenance(result))
    return html_page("Whole-body bone scan", headline(result), parts, patient)


def html_page(title: str, subtitle: str, parts: Iterable[str], patient: Fields = ()) -> str:
    """Return a whole page that loads nothing, with the intended use. parts: its body, as HTML."""
    named = " ".join(f"<b>{escape(label)}</b> {escape(value)}&emsp;" for label, value in patient)
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">",
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f'<p class="use">{escape(RESEARCH_USE)}</p><h1>{escape(title)}</h1>',
        f'<p class="soft">{escape(subtitle)}</p>',
        f"<p>{named or 'The identity of the patient is left out of this page.'}</p>",
        *parts,
        "</body></html>",
    ]
    return "\n".join(lines) + "\n"


def _views(result: Result) -> Iterable[str]:
    """Both views at the linear window, below them both at the logarithmic one."""
    yield '<div class="views">'
    for name, drawn in (("linear", panels(result)), ("logarithmic", panels(result, logarithmic=True))):
        for view in View:
            yield figure(view, embedded(drawn.pictures[view]), f"{view.value}, {name} window")
    yield f'</div><p class="soft">{SIDES}</p>'


def figure(view: View, source: str, caption: str) -> str:
    """Return a view under a line with its caption between the patient's sides; source: of `embedded`."""
    # On the left edge: the patient's right in the anterior view, the patient's left in the posterior view.
    left, right = ("R", "L") if view is View.ANTERIOR else ("L", "R")
    return (
        f'<figure><figcaption><b class="side">{left}</b><span>{escape(caption)}</span><b class="side">{right}</b>'
        f'</figcaption><img alt="{escape(caption)}" src="{source}"></figure>'
    )


def embedded(picture: Image.Image) -> str:
    """Return a picture as the address that holds it."""
    buffer = BytesIO()
    picture.save(buffer, format="PNG", compress_level=6)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _burden(result: Result) -> Iterable[str]:
    if result.extent is None:
        return
    yield "<h2>Burden over both views</h2><ul>"
    yield from (f"<li>{escape(words)}</li>" for words in extent_words(result.extent))
    if result.extent.draws:
        yield f"<li>in brackets: 95 % intervals by Poisson bootstrap, {result.extent.draws} draws</li>"
    yield "</ul>"


def _lesions(result: Result) -> Iterable[str]:
    """The outlines by lesion; the two outlines of a pair follow one another."""
    yield "<h2>Lesions</h2>"
    if not result.lesions:
        yield "<p><b>No lesion was outlined.</b> That does not exclude one.</p>"
        return
    unit = "px" if result.study.spacing is None else "mm²"
    headings = ("site", "view", "#", f"area, {unit}", "max", "mean", "contrast", "mirror", "p")
    rows = [
        ("", *_cells(lesion)[1:]) if place else _cells(lesion)
        for group in _by_lesion(result.lesions)
        for place, lesion in enumerate(group)
    ]
    yield from table(headings, rows, 2)
    yield f'<p class="soft">{escape(COLUMNS)}</p>'


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], first_number: int) -> Iterable[str]:
    """Return a table's lines. first_number: the first of the columns that are aligned to the right."""

    def cells(tag: str, texts: Sequence[str]) -> str:
        classes = ["" if number < first_number else ' class="n"' for number in range(len(texts))]
        return "".join(f"<{tag}{one}>{escape(text)}</{tag}>" for one, text in zip(classes, texts, strict=True))

    yield f"<table><thead><tr>{cells('th', headings)}</tr></thead><tbody>"
    yield from (f"<tr>{cells('td', row)}</tr>" for row in rows)
    yield "</tbody></table>"


def _by_lesion(lesions: Sequence[Lesion]) -> list[list[Lesion]]:
    groups: dict[tuple[bool, int], list[Lesion]] = {}
    for lesion in lesions:
        key = (False, lesion.id) if lesion.pair is None else (True, lesion.pair)
        groups.setdefault(key, []).append(lesion)
    return list(groups.values())


def _cells(lesion: Lesion) -> tuple[str, ...]:
    measures = lesion.measures
    return (
        site_words(lesion),
        lesion.view.value,
        str(lesion.id),
        f"{measures.area_px}" if measures.area_mm2 is None else f"{measures.area_mm2:.0f}",
        f"{measures.counts_max:.0f}",
        f"{measures.counts_mean:.1f}",
        "–" if measures.contrast is None else f"{measures.contrast:.1f}",
        "–" if measures.contrast_mirror is None else f"{measures.contrast_mirror:.1f}",
        "–" if lesion.probability is None else f"{lesion.probability:.2f}",
    )


def _quality(result: Result) -> Iterable[str]:
    poor = {check.said for check in result.quality if check.poor}
    others = [warning for warning in result.warnings if warning not in poor]
    said = quality_words(result)
    if said is not None:
        yield "<h2>Quality of the scan</h2>"
        good = [check_words(check) for check in result.quality if not check.poor]
        yield f"<p>{escape(said)}. Within limits: {escape(', '.join(good)) or 'none'}.</p>"
    yield from warnings_box((*sorted(poor), *others))


def warnings_box(warnings: Sequence[str]) -> Iterable[str]:
    """Return the warnings, marked as such; nothing where there are none."""
    if warnings:
        said = "".join(f"<li>{escape(one)}</li>" for one in warnings)
        yield f'<div class="warn"><b>Warnings</b><ul>{said}</ul></div>'


def _provenance(result: Result) -> Iterable[str]:
    study = result.study
    reader = {} if result.reader is None else {"curves": f"drawn or corrected by {result.reader}"}
    facts = {
        "study": study.key,
        **reader,
        "views told by": study.view_source,
        "looked at": "the whole body" if result.region == "whole-body" else f"the {result.region}",
        "model": model_words(result, len(result.model.sha256)),
        "software": f"bonescan {__version__}",
    }
    yield '<h2>How it was found</h2><p class="soft">'
    yield "<br>".join(f"{label}: {escape(value)}" for label, value in facts.items())
    yield (
        "<br>Sites of vertebrae and ribs are estimates with their uncertainty. The bone scan index is Imbriaco's "
        "(1998), the grade Soloway's (1988). Not a medical device; no basis for a diagnosis.</p>"
    )
