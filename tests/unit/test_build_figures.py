"""The pages of measured figures say what the results hold, and nothing that they lack."""

from __future__ import annotations

import copy
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.scripts import script

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture
def figures(tmp_path, monkeypatch):
    """What the modules of the page hold, with a copy of the results that a test may change."""
    script("docs/build_figures.py")
    (tmp_path / "results").mkdir()
    for path in RESULTS.glob("*.json"):
        if path.stem != "quality-seen":
            shutil.copy(path, tmp_path / "results")
    monkeypatch.setattr(sys.modules["figures_base"], "ROOT", tmp_path)
    names = "docs_build_figures", "figures_aims", "figures_model", "figures_phantom"
    return SimpleNamespace(**{key: value for name in names for key, value in vars(sys.modules[name]).items()})


def change(name, edit):
    """Edit a result, or begin a new one with that of `quality`."""
    path = sys.modules["figures_base"].ROOT / "results" / f"{name}.json"
    report = json.loads((path if path.exists() else path.with_name("quality.json")).read_text())
    edit(report)
    path.write_text(json.dumps(report))


def rows(table):
    """The cells of each row of tables, by the first."""
    cells = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in cells}


def test_every_aim_that_a_result_states_is_in_the_table(figures):
    names = {
        "quality": figures.OF_QUALITY,
        "quality-held-out": figures.OF_QUALITY,
        "people": figures.OF_PEOPLE,
        "reading": figures.OF_READING,
        "speed": figures.OF_SPEED,
    }
    stated = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    for name, report in stated.items():
        if isinstance(report, dict) and name in names:
            assert report.get("aims", {}).keys() <= names[name].keys()
    others = {name for name, report in stated.items() if isinstance(report, dict) and "aims" in report} - names.keys()
    assert others <= {"serial", "quality-seen"}


def test_an_aim_is_met_at_its_own_value_and_missed_without_one(figures):
    assert figures.Aim("it", 0.5, 0.5).row == "| it | at least 0.500 | 0.500 | met |"
    assert figures.Aim("it", 0.5, 0.5, at_most=True).row == "| it | at most 0.500 | 0.500 | met |"
    assert figures.Aim("it", 0.5, 0.499).row.endswith("**missed** |")
    assert figures.Aim("it", 0.5, 0.501, at_most=True).row.endswith("**missed** |")
    assert figures.Aim("it", 0.5, None).row == "| it | at least 0.500 | – | **missed** |"


def test_the_aims_of_all_results_are_judged(figures):
    def verdict(aim, reached):
        return {"aim": aim, "reached": reached, "kept": False}

    dice = {"dsc_pooled": verdict(0.75, 0.8)}
    rest = {"sensitivity_at_0.5": verdict(0.8, 0.7), "false_positives_per_scan": verdict(0.5, 0.4)}
    change("quality", lambda report: report.update(aims=dice | rest))
    change("quality-held-out", lambda report: report.update(aims=rest | {"dsc_pooled": verdict(0.75, 0.74)}))
    change("people", lambda report: report.update(aims={"marks_per_scan": verdict(0.5, 0.6)}))
    change("speed", lambda report: report.update(aims={"cold_s": verdict(1.0, 2.5)}))
    table = rows(figures.aims_table())
    assert table["pooled Dice, standard family"] == ["at least 0.750", "0.800", "met"]
    told = "pooled Dice, held-out family: within 0.05 of the standard one"
    assert table[told] == ["at least 0.750", "0.740", "**missed**"]
    told = "false positives per scan, as shipped, held-out family: within 0.05 of the standard one"
    assert table[told] == ["at most 0.450", "0.400", "met"]
    (people,) = (row for name, row in table.items() if name.startswith("outlines per scan without known disease"))
    assert people == ["at most 0.500", "0.600", "**missed**"]
    assert table["one study, whole process, s"] == ["at most 1.000", "2.500", "**missed**"]
    assert {"new lesions of phantoms, sensitivity", "patches, phantom against person: AUC"} <= table.keys()


def test_quality_has_columns_for_the_training_and_the_previous_model_where_these_were_measured(figures):
    change("quality", lambda report: report.pop("others", None))
    change("quality-held-out", lambda report: report.pop("others", None))
    assert len(rows(figures.quality_table())["figure"]) == 2

    def with_other(report):
        other = copy.deepcopy(report)
        other["pixel"]["dsc_pooled"] = {"value": 0.5, "low": None, "high": None}
        other["froc"]["sensitivity_at"]["0.5"] = 0.25
        report["others"] = [other]

    change("quality", with_other)
    change("quality-seen", lambda report: report.update(patients=199, others=[]))
    table = rows(figures.quality_table())
    assert table["figure"] == [
        "standard family", "standard family, previous model", "held-out family", "anatomies of the training"
    ]  # fmt: skip
    assert table["patients, anatomies"][3].startswith("199, ")
    change("quality-seen", lambda report: report["sources"].update(phantom="another"))
    assert "`quality-seen`" in figures.earlier_figures()
    assert "learned from" in table["simulated patients"][3]
    assert table["pooled Dice"][1] == "0.50"
    assert table["sensitivity at 0.5 false positives per scan"][1] == "0.250"
    assert {table[name][1] for name in ("lesion precision", "sensitivity, ribs", "sensitivity, 10-24 pixels")} == {""}


def test_quality_shows_operating_points_the_missed_and_where_the_curve_ends(figures):
    def older(report):
        for key in ("operating_points", "missed_by_contrast", "others"):
            report.pop(key, None)
        report["froc"].pop("curve_ends_at", None)

    for name in ("quality", "quality-held-out"):
        change(name, older)
    assert not any("specific" in name or "missed" in name for name in rows(figures.quality_table()))

    def newer(report):
        point = {"sensitivity": {"value": 0.6}, "false_positives_per_scan": {"value": 0.12}}
        report["operating_points"] = {"balanced": point, "specific": point}
        report["missed_by_contrast"] = {"0 to 0.5": 0.25, "0.5 to 1": 0.75}
        report["froc"] |= {
            "curve_ends_at": 1.5,
            "sensitivity_at": dict.fromkeys(("0.1", "0.25", "0.5", "1.0", "2.0"), 0.8),
        }
        report["by_region"]["ribs"] = {"true": 12, "sensitivity": {"value": 0.5, "low": 0.25, "high": 0.75}}
        report["by_size_px"]["1-9"] = {"true": 0, "sensitivity": {"value": None}}

    change("quality", newer)
    table = rows(figures.quality_table())
    assert table["lesion sensitivity, specific"] == ["0.60", "–"]
    assert table["false positives per scan, specific"] == ["0.12", "–"]
    assert table["share of the missed lesions, contrast 0.5 to 1"] == ["0.75", "–"]
    assert table["sensitivity at 2.0 false positives per scan"][0] == "0.800 (the curve ends at 1.50)"
    assert table["sensitivity at 1.0 false positives per scan"][0] == "0.800"
    assert table["sensitivity, ribs"][0] == "0.50 (0.25 to 0.75) of 12"
    assert table["sensitivity, 1-9 pixels"][0] == "–"


def test_people_have_the_curve_and_a_row_for_each_part_that_is_missed(figures):
    def parts(report):
        found = {"0": [9, 0, 0.0], "1": [9, 3, 0.1], "2": [9, 9, 0.6], "4": [9, 9, 0.8]}
        report["models"][0]["parts"] = {"sternum": found, "sacrum": found | {"2": [9, 8, 0.5]}}

    change("people_bones", parts)
    change("people", lambda report: report["models"][0]["inserted"].update(curve_ends_at=1.2))
    table = rows(figures.people_table())
    assert table["sacrum, 2, 3, 5 times as hot: found"] == ["3, 8, 9 of 9"]
    assert not any(name.startswith("sternum") for name in table)
    assert table["outlines of inserted lesions found at 2.0 false positives per scan"][0].endswith("ends at 1.20)")
    assert "pooled Dice of inserted lesions" in table
    assert figures.hard_list().splitlines()[-1].endswith(": sacrum.")


def test_the_page_on_limits_names_the_hard_sites_and_contrasts(figures):
    def edit(report):
        report["lesion"]["sensitivity"]["value"] = 0.8
        site = {"true": 30, "sensitivity": {"value": 0.75}}
        hard = {"femur": 0.6, "pubis": 0.5}
        report["by_region"] = {"ribs": site} | {
            name: {"true": 30, "sensitivity": {"value": value}} for name, value in hard.items()
        }
        report["by_region"]["face"] = {"true": 2, "sensitivity": {"value": 0.0}}
        report["by_contrast"] = {
            "0 to 0.5": {"true": 9, "sensitivity": 0.2},
            "5 and more": {"true": 9, "sensitivity": 1.0},
        }

    change("quality", edit)
    faint, sites, *_ = figures.hard_list().splitlines()
    assert faint.endswith("contrast of 0 to 0.5.")
    assert sites.endswith(": pubis, femur.")


def test_the_page_on_the_phantom_tells_where_it_differs_from_people(figures):
    def row(name, within, spreads):
        return {
            "name": name, "people": [0.5, 0.6], "people_median": 0.55, "phantom": 0.7, "within": within,
            "phantom_spread": spreads[0], "people_spread": spreads[1],
        }  # fmt: skip

    def edit(report):
        side = "left over right"
        report["regions"] = {
            "within": 3,
            "rows": [
                row("anterior: skull", False, (0.1, 0.9)),
                row(f"anterior: hand, {side}", True, (0.3, 0.1)),
                row(f"anterior: ribs, {side}", True, (0.1, 0.21)),
                row(f"anterior: femur, {side}", True, (0.1, 0.2)),
            ],
        }
        report["patches"] = {"auc": 0.7, "by_region": {"ribs": 0.6, "foot": 0.9}}
        kinds = {"phantoms": {"by_contrast": {"0 to 0.5": 2.0}}, "people": {"by_contrast": {"0 to 0.5": 3.0}}}
        report["foci_per_scan"] = kinds

    change("realism", edit)
    text = figures.realism_people_text()
    table = rows(text)
    assert "in 3 of 4 figures" in text
    assert table["anterior: skull"] == ["0.70", "0.50 to 0.60", "0.55"]
    assert table["anterior: hand"] == ["0.30", "0.10"]
    assert table["anterior: ribs"] == ["0.10", "0.21"]
    assert "anterior: femur" not in table
    assert "AUC 0.70" in text
    assert "foot 0.90, ribs 0.60." in text
    assert table["per scan by the model, contrast 0 to 0.5"] == ["2.0", "3.0"]
    assert not any(name.startswith("by counts alone") for name in table)
    spots = {"median_per_scan": 4.5, "width_px": 6.25, "sharpness": 0.123}

    def counted(report):
        foci = report["foci_per_scan"]
        foci["phantoms"]["by_counts_alone"] = {"from_contrast_1": spots}
        foci["people"]["by_counts_alone"] = {"from_contrast_1": spots | {"median_per_scan": 3.0, "sharpness": None}}

    change("realism", counted)
    table = rows(figures.realism_people_text())
    assert table["by counts alone, contrast from 1 on: median per scan"] == ["4.5", "3.0"]
    assert table["by counts alone, contrast from 1 on: sharpness, median"] == ["0.12", "–"]
    change("realism", lambda report: report.pop("regions"))
    assert figures.realism_people_text() == "Not measured.\n"
