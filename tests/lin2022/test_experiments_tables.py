"""Tables and figures from results alone: the same bytes, and missing, earlier and undecided said as such."""

import json

import numpy as np
import pytest

from bonescan.evaluate import LesionCounts, PixelCounts
from bonescan.lin2022.experiments import plan
from bonescan.lin2022.experiments.declared import EXPERIMENTS
from bonescan.lin2022.experiments.results import COLUMNS, ImageResult, Store, packed_mask, write_json
from bonescan.lin2022.experiments.tables import build, markdown, sentence

PATIENTS = 5


def result(run, level):
    """A result whose Recall and DSC are about `level`."""
    images = []
    for number in range(PATIENTS):
        hit = min(20, max(0, round(20 * level) + number % 2))
        for view in ("anterior", "posterior", "union"):
            pixels, lesions = PixelCounts(hit, 20 - hit, 20 - hit), LesionCounts(3, 2, 4, 2)
            images.append(ImageResult(f"p-{number}/study", view, pixels, lesions, 0).row())
    mask = np.zeros((16, 16), dtype=bool)
    mask[4:8, 5:9] = True
    return {
        "format": 1,
        "kind": run.kind,
        "seed": run.seed,
        "code": run.code,
        "config": run.told,
        "set": {"identity": run.set_identity, "digest": "abc"},
        "parameters": 1234567,
        "multiply_adds_per_pair": 89_000_000,
        "training_seconds": 60.0 + run.seed,
        "test_seconds_per_image": 0.0123,
        "masks": {"p-0/study": dict.fromkeys(("anterior", "posterior"), packed_mask(mask))},
        "columns": list(COLUMNS),
        "images": images,
    }


@pytest.fixture
def fill(tmp_path):
    """Write results of an experiment: levels by arm's label; an arm that is not named has none."""
    store = Store(tmp_path / "results")

    def write(name, levels, profile="cpu", **more):
        experiment = EXPERIMENTS[name]
        for label, level in levels.items():
            for run in plan.runs_of_arm(experiment.arm(label), experiment, profile):
                write_json(store.path(run), result(run, level) | more)
        return store

    return write


def everything(name):
    return {arm.label: 0.2 + 0.1 * n for n, arm in enumerate(EXPERIMENTS[name].arms) if arm.kind != "external"}


def test_an_experiment_without_results_says_so(tmp_path):
    table = build("first-look", "cpu", Store(tmp_path))
    assert {claim["word"] for claim in table["claims"]} == {"missing"}
    text = markdown(table)
    assert text.count("| 0 of 3 |") == 4
    assert "too few runs" in text


def test_means_spread_costs_and_verdicts_are_shown(fill):
    store = fill("first-look", {"paper's model, 37 %": 0.4, "paper's model, 0 %": 0.9, "U-Net, 70 %": 0.6})
    table = build("first-look", "cpu", store)
    row = table["arms"][0]
    assert (row["there"], row["runs"], row["note"]) == (3, 3, "")
    assert row["scores"]["recall"] == {"seeds": 3, "mean": 0.42, "sd": 0.0, "low": 0.4, "high": 0.44}
    assert (row["parameters"], row["training_seconds"]) == (1234567, 62.0)
    words = [claim["word"] for claim in table["claims"]]
    assert words == ["confirmed", "missing", "confirmed", "contradicted"]
    text = markdown(table)
    assert "| paper's model, 37 % | 3 of 3 | 0.420 ± 0.000 |" in text
    assert "| 1,234,567 | 89 M | 62 | 0.012 |" in text
    assert "better than the model with 37 %: **confirmed** (DSC +0.200, +0.200 to +0.200; 3 seeds)." in text


def test_a_method_that_finds_nothing_has_half_a_dsc_where_half_of_the_images_are_without_lesions(fill):
    """What the note of the table says of images without lesions is what the scores do."""
    images = [
        ImageResult(f"p-{n}/study", "anterior", PixelCounts(0, 0, 20 * (n % 2)), LesionCounts(n % 2, 0, 0, 0), 0).row()
        for n in range(4)
    ]
    table = build("first-look", "cpu", fill("first-look", {"U-Net, 70 %": 0.6}, images=images))
    (row,) = (arm for arm in table["arms"] if arm["arm"] == "U-Net, 70 %")
    means = {measure: score["mean"] for measure, score in row["scores"].items()}
    assert (means["dsc"], means["dsc_pooled"], means["recall"], means["cpa"]) == (0.5, 0.0, 0.0, None)
    said = "An image without lesions has a DSC of 1 where nothing is marked and of 0 where anything is"
    assert said in markdown(table)


def test_a_missing_seed_and_earlier_code_are_told(fill):
    store = fill("label_unit", {"by patient": 0.4}, code="earlier")
    fill("label_unit", {"by image": 0.6})
    experiment = EXPERIMENTS["label_unit"]
    gone = plan.runs_of_arm(experiment.arm("by image"), experiment, "cpu")[0]
    store.path(gone).unlink()
    table = build("label_unit", "cpu", store)
    assert [row["note"] for row in table["arms"]] == ["earlier code", ""]
    assert [row["there"] for row in table["arms"]] == [3, 2]
    # Only the two seeds that both have are compared.
    assert table["claims"][0]["seeds"] == 2


def test_an_outside_program_that_was_not_run_says_why(fill):
    table = build("table6", "cpu", fill("table6", everything("table6")))
    assert "make nnunet" in table["arms"][2]["note"]
    assert [claim["word"] for claim in table["claims"]] == [
        "confirmed",
        "missing",
        "contradicted",
        "contradicted",
        "contradicted",
    ]


def test_aggregation_is_compared_on_both_views_together(fill):
    store = fill("figure9", everything("figure9"))
    experiment = EXPERIMENTS["figure9"]
    for run in plan.runs_of_arm(experiment.arm("image"), experiment, "cpu"):
        values = json.loads(store.path(run).read_text())
        write_json(store.path(run), values | {"images": [row for row in values["images"] if row[1] == "union"]})
    assert all(claim["paired"] for claim in build("figure9", "cpu", store)["claims"])


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ({"word": "missing"}, "a beats b: **missing** (too few runs)."),
        ({"word": "undecided", "difference": None}, "a beats b: **undecided**, as CPA is undefined."),
        (
            {"word": "undecided", "difference": -0.1, "low": None, "high": None, "seeds": 1, "paired": False},
            "a beats b: **undecided** (CPA -0.100, no interval; 1 seed, on different test images).",
        ),
    ],
)
def test_the_sentence(claim, said):
    assert sentence({"claim": "a beats b", "measure": "cpa", **claim}) == said


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_tables_and_figures_are_rebuilt_to_the_byte(fill, name):
    draw = pytest.importorskip("bonescan.lin2022.experiments.draw").draw
    store = fill(name, everything(name), "smoke")
    run = plan.runs_of([EXPERIMENTS[name]], "smoke")[0]
    pictures = dict.fromkeys(("anterior", "posterior"), packed_mask(np.eye(16, dtype=bool)))
    write_json(store.scans("smoke", run.set_identity), {"p-0/study": {"scan": pictures, "truth": pictures}})
    table = build(name, "smoke", store)
    again = build(name, "smoke", store)
    assert json.dumps(again, allow_nan=False) == json.dumps(table)
    assert markdown(again) == markdown(table)
    picture = draw(table, store)
    assert (picture is None) == (EXPERIMENTS[name].show == "table")
    assert draw(table, store) == picture
    if picture is not None:
        assert "<svg" in picture
        assert "dc:date" not in picture
        assert "research use only" in picture


@pytest.mark.parametrize("name", [name for name, one in EXPERIMENTS.items() if one.show != "table"])
def test_a_figure_without_results_says_what_is_missing(tmp_path, name):
    draw = pytest.importorskip("bonescan.lin2022.experiments.draw").draw
    store = Store(tmp_path)
    picture = draw(build(name, "smoke", store), store)
    assert picture is not None
    assert "missing" in picture
