"""The declared experiments and what they expand to; when a result is of earlier code."""

from dataclasses import replace
from pathlib import Path

import pytest

from bonescan.errors import InputError, OptionError
from bonescan.evaluate import LesionCounts, PixelCounts
from bonescan.lin2022.experiments import plan
from bonescan.lin2022.experiments.classical import CLASSICAL
from bonescan.lin2022.experiments.declared import EXPERIMENTS, Arm, Claim, Experiment, SetOptions
from bonescan.lin2022.experiments.nnunet import NnunetOptions
from bonescan.lin2022.experiments.plan import PROFILES
from bonescan.lin2022.experiments.results import COLUMNS, ImageResult, Store, read_result, write_json
from bonescan.lin2022.experiments.sets import options_of

PAPERS = {"table3", "figure7", "figure8", "table4", "table5", "figure9", "table6", "figure10"}
OURS = {"first-look", "unsupervised", "alpha", "lesion_weight", "leakage", "tolerance", "label_unit"}


@pytest.fixture
def run():
    return plan.runs_of([EXPERIMENTS["label_unit"]], "smoke")[0]


def every_run(profile):
    return plan.runs_of(EXPERIMENTS.values(), profile)


def test_all_of_the_papers_experiments_and_all_of_ours_are_declared():
    assert set(EXPERIMENTS) == PAPERS | OURS


@pytest.mark.parametrize("profile", PROFILES)
def test_every_arm_makes_a_valid_configuration_and_names_a_known_method(profile):
    for run in every_run(profile):
        config = run.config("folder", "runs", run.name)
        assert config.images.folder == "folder"
        if run.kind == "train":
            assert (config.seed, config.images.label_seed) == (run.seed, run.seed)
            assert config.images.labelled_pairs + config.images.unlabelled_pairs == 2, "as many pairs a step for all"
        elif run.kind == "classical":
            assert run.method in CLASSICAL
        else:
            assert run.method == "nnunet"
            NnunetOptions(**PROFILES[profile].nnunet)


@pytest.mark.parametrize("profile", PROFILES)
def test_all_trainings_take_as_many_steps(profile):
    assert len({run.config().steps for run in every_run(profile) if run.kind == "train"}) == 1


@pytest.mark.parametrize("profile", PROFILES)
def test_every_share_of_labels_is_none_or_a_patient_at_least(profile):
    shares = {run.config().images.label_share for run in every_run(profile) if run.kind != "classical"}
    assert min(shares) == 0.0
    assert all(round(share * PROFILES[profile].patients) >= 1 for share in shares if share)


def test_every_network_can_be_built():
    pytest.importorskip("torch")
    from bonescan.train.loop import build_network

    for run in every_run("cpu"):
        if run.kind == "train" and run.seed == 1:
            build_network(run.config())


@pytest.mark.parametrize("profile", PROFILES)
def test_the_sizes_of_every_data_set_fit_together(profile):
    for images in {run.images for run in every_run(profile)}:
        options = options_of(profile, images)
        assert options.images >= 2 * (options.patients.count or 0)
        assert (options.readers is None) == (images.tolerance is None)


def test_equal_arms_of_several_experiments_are_one_run():
    paper = plan.runs_of_arm(EXPERIMENTS["first-look"].arms[0], EXPERIMENTS["first-look"], "cpu")
    for name, label in [
        ("figure7", "37%"),
        ("figure8", "t = 3"),
        ("table3", "D2: geometric"),
        ("table5", "+ both"),
        ("figure9", "none"),
        ("alpha", "alpha = 0.4"),
        ("leakage", "divided by patient"),
        ("tolerance", "exact truth"),
        ("label_unit", "by patient"),
    ]:
        assert plan.runs_of_arm(EXPERIMENTS[name].arm(label), EXPERIMENTS[name], "cpu") == paper, name
    both = plan.runs_of([EXPERIMENTS["figure8"], EXPERIMENTS["table4"]], "cpu")
    assert len(both) == 3 * 6


def test_no_two_runs_share_a_file_and_a_seed_is_finished_before_the_next():
    runs = every_run("cpu")
    assert len({run.name for run in runs}) == len(runs)
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)


def test_what_is_not_random_runs_once():
    experiment = EXPERIMENTS["table6"]
    assert [len(plan.runs_of_arm(arm, experiment, "cpu")) for arm in experiment.arms] == [3, 3, 3, 1, 1, 1]


def test_pictures_need_one_seed():
    assert {run.seed for run in plan.runs_of([EXPERIMENTS["figure10"]], "full")} == {1}


def test_arms_of_one_label_and_claims_of_unknown_arms_are_refused():
    with pytest.raises(ValueError, match="one label"):
        Experiment("?", "", (Arm("a"), Arm("a")))
    with pytest.raises(ValueError, match="names an arm"):
        Experiment("?", "", (Arm("a"),), (Claim("a beats b", "a", "b"),))
    with pytest.raises(ValueError, match="place"):
        Experiment("?", "", (Arm("a"),), show="curve")


def test_unknown_names_say_what_there_is():
    with pytest.raises(OptionError, match="first-look"):
        plan.find(["table9"])
    with pytest.raises(OptionError, match="smoke"):
        plan.profile_of("huge")
    assert list(plan.find(())) == list(EXPERIMENTS)


def test_nested_tables_are_laid_over_one_another():
    below = {"a": {"b": 1, "c": 2}, "d": 3}
    assert plan.merged(below, {"a": {"c": 4}}, {"d": {"e": 5}}) == {"a": {"b": 1, "c": 4}, "d": {"e": 5}}
    assert below == {"a": {"b": 1, "c": 2}, "d": 3}


@pytest.mark.parametrize(
    "change",
    [
        {"images": SetOptions(protocol="leaky")},
        {"images": SetOptions(tolerance=0.05)},
        {"overrides": {"chan_vese": {"alpha": 0.5}}},
        {"overrides": {"network_config": {"recurrence": 2}}},
    ],
)
def test_another_configuration_or_data_set_is_another_run_with_another_key(change):
    before = plan._run(Arm("one"), "smoke", 1)
    after = plan._run(replace(Arm("one"), **change), "smoke", 1)
    assert after.identity != before.identity
    assert after.key != before.key


def test_another_seed_or_profile_is_another_run():
    arm = Arm("one")
    assert len({plan._run(arm, profile, seed).identity for profile in PROFILES for seed in (1, 2)}) == 6


def test_the_key_does_not_hang_on_folders_threads_and_talk(run):
    chatty = replace(run, values=plan.merged(run.values, {"threads": 2, "log_every": 7, "checkpoint_every": 9}))
    assert chatty.key == run.key
    assert replace(run, values=plan.merged(run.values, {"learning_rate": 1e-4})).key != run.key


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A copy of the sources that a run's code is hashed of."""
    copy = tmp_path / "source"
    for path in plan._SOURCE.rglob("*.py"):
        target = copy / path.relative_to(plan._SOURCE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text())
    monkeypatch.setattr(plan, "_SOURCE", copy)
    yield lambda: (plan.code_digest.cache_clear(), plan.set_identity.cache_clear(), copy)[-1]
    plan.code_digest.cache_clear()
    plan.set_identity.cache_clear()


def test_every_source_that_a_key_is_hashed_of_exists():
    lists = (plan._TRAINING, plan._NETWORKS.values(), *plan._METHODS.values(), plan._TESTING, plan._READERS)
    named = {name for names in lists for name in names}
    assert [name for name in sorted(named) if not (plan._SOURCE / name).is_file()] == []
    assert set(plan._METHODS) | {"train"} == {run.kind for run in every_run("smoke")}


def test_a_run_of_nnunet_is_of_earlier_code_when_its_pictures_are_written_otherwise(source):
    folder = source()
    nnunet = next(run for run in every_run("smoke") if run.kind == "external")
    before = nnunet.key
    path = folder / "lin2022" / "experiments" / "nnunet_raw.py"
    path.write_text(path.read_text() + "\nTWICE = 2\n")
    source()
    assert nnunet.key != before


def test_the_key_changes_with_code_and_not_with_comments(source, run):
    folder = source()
    before = run.key
    path = folder / "lin2022" / "network.py"
    path.write_text("# A comment.\n" + path.read_text())
    source()
    assert run.key == before
    path.write_text(path.read_text() + "\nTWICE = 2\n")
    source()
    assert run.key != before


def test_the_key_changes_with_the_code_of_its_data_set_only_for_what_uses_it(source, run):
    folder = source()
    readers = replace(run, images=SetOptions(tolerance=0.2))
    before = run.key, readers.key
    (folder / "annotate" / "consensus.py").write_text("ANOTHER = 1\n")
    source()
    assert run.key == before[0]
    assert readers.key != before[1]


def test_another_network_does_not_change_a_runs_key(source, run):
    folder = source()
    before = run.key
    (folder / "lin2022" / "plain_unet.py").write_text("ANOTHER = 1\n")
    source()
    assert run.key == before


IMAGES = [ImageResult("p-1/study", "anterior", PixelCounts(1, 2, 3), LesionCounts(4, 3, 5, 2), 1)]


def result_values(run, **more):
    return {
        "format": 1,
        "kind": run.kind,
        "seed": run.seed,
        "code": run.code,
        "config": run.told,
        "set": {"identity": run.set_identity, "digest": "abc"},
        "columns": list(COLUMNS),
        "images": [image.row() for image in IMAGES],
        **more,
    }


def test_a_result_comes_back_as_it_was_written(tmp_path, run):
    path = tmp_path / "one.json"
    write_json(path, result_values(run))
    result = read_result(path)
    assert list(result.images) == IMAGES
    assert result.images[0].patient == "p-1"
    assert result.values["config"] == run.told
    assert [entry.name for entry in tmp_path.iterdir()] == ["one.json"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2, "columns": []}', "\x00"])
def test_a_damaged_result_is_named(tmp_path, text):
    (tmp_path / "one.json").write_text(text)
    with pytest.raises(InputError, match=r"one\.json"):
        read_result(tmp_path / "one.json")


def test_a_result_is_of_earlier_code_when_code_configuration_or_data_set_changed(tmp_path, run):
    store = Store(tmp_path)

    def current(**more):
        write_json(store.path(run), result_values(run, **more))
        return store.is_current(store.read(run), run)

    assert current()
    assert not current(code="other")
    assert not current(config={**run.told, "learning_rate": 0.5})
    assert not current(set={"identity": "other", "digest": "abc"})


def test_a_data_set_of_the_same_content_is_the_same_whatever_code_built_it(tmp_path, run):
    store = Store(tmp_path)
    write_json(store.path(run), result_values(run, set={"identity": "other", "digest": "abc"}))
    newer = replace(run, identity="newer")
    write_json(store.path(newer), result_values(newer))
    assert store.is_current(store.read(run), run)


def test_nothing_is_there_before_anything_has_run(tmp_path, run):
    assert Store(Path(tmp_path / "none")).read(run) is None
    assert list(Store(tmp_path / "none").every("smoke")) == []


def test_the_comparison_on_ones_own_cohort_is_no_declared_experiment():
    with pytest.raises(OptionError, match="did you mean bonescan experiment own COHORT -o OUT"):
        plan.find(["own"])
