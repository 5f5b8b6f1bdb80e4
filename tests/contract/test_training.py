"""A run: resumed bit for bit, checkpoints whole or not at all, configurations that say what is wrong."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from bonescan.errors import OptionError  # noqa: E402
from bonescan.models import Answer  # noqa: E402
from bonescan.train.augment.parameters import AugmentConfig  # noqa: E402
from bonescan.train.calibrate import calibrate, quick_figures  # noqa: E402
from bonescan.train.cases import FAINT, Case, CaseList, Growth, Loaded, Split, spread  # noqa: E402  # noqa: E402
from bonescan.train.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from bonescan.train.config import TrainConfig, read_config  # noqa: E402
from bonescan.train.export import make_card  # noqa: E402
from bonescan.train.inference import device_of  # noqa: E402
from bonescan.train.loop import CHECKPOINT, learning_rate, start, train, train_step  # noqa: E402
from bonescan.train.stream import training_batch  # noqa: E402

QUIET = AugmentConfig(focus=0, warp=0, thin=0, blur=0, background=0, cold=0, hot=0, view_dropout=0, cut=0, shift_px=0)


@pytest.fixture
def config(tmp_path) -> TrainConfig:
    return TrainConfig(
        name="tiny",
        runs=str(tmp_path / "runs"),
        network_config={"widths": (8, 8), "decoder_widths": (8,), "dropout": 0.2},
        steps=8,
        batch_rows=128,
        crop_rows=(32, 64),
        crop_weights=(1.0, 1.0),
        crop_cols=32,
        warmup_steps=2,
        checkpoint_every=3,
        validate_every=4,
        log_every=1,
        threads=1,
    )


@pytest.fixture(scope="module")
def split(make_case) -> Split:
    return Split([make_case(seed) for seed in range(4)], [make_case(seed) for seed in range(90, 92)])


class Interrupt(Exception):
    """Stands for a power cut."""


def totals_of(config, split, stop_after=None):
    """Train and collect each step's loss; raise `Interrupt` after so many reports of a step."""
    seen = {}

    def report(progress):
        if progress.stage == "train":
            seen[progress.done] = progress.figures["total"]
            if len(seen) == stop_after:
                raise Interrupt

    with suppress(Interrupt):
        train(config, split, report)
    return seen


def test_a_resumed_run_is_the_same_bit_for_bit(config, split, tmp_path):
    whole = totals_of(config, split)
    other = replace(config, runs=str(tmp_path / "others"))
    first = totals_of(other, split, stop_after=5)  # the checkpoint holds step 3
    second = totals_of(other, split)
    assert sorted(first) == [1, 2, 3, 4, 5]
    assert sorted(second) == [4, 5, 6, 7, 8]
    assert whole == first | second
    one, two = (load_file(run.folder / CHECKPOINT) for run in (config, other))
    assert one.keys() == two.keys()
    assert any(key.startswith("optimiser/") for key in one)
    assert all(torch.equal(one[key], two[key]) for key in one)


class Anatomies:
    """A source of one anatomy that notes when it is read."""

    def __init__(self, number, cases, read):
        self.number, self.cases, self.read = number, cases, read

    def __len__(self):
        return len(self.cases)

    @property
    def groups(self):
        return frozenset(case.facts.group for case in self.cases)

    def load(self):
        self.read.append(self.number)
        return self.cases


def growing(make_case, steps, read):
    sources = [Anatomies(number, [make_case(2 * number), make_case(2 * number + 1)], read) for number in range(6)]
    training = CaseList(sources)
    return Split(training, [make_case(90)], Growth(training, first=2, steps=steps))


def test_which_anatomies_are_in_use_follows_from_the_step_alone(make_case):
    read = []
    split = growing(make_case, 8, read)
    assert [len(split.training_at(step)) for step in (0, 1, 2, 4, 7, 8, 100)] == [4, 4, 6, 8, 10, 12, 12]
    assert read == []
    assert split.training_at(2)[5].facts.key == "case-5"
    assert split.training_at(8)[4].facts.key == "case-4"
    assert read == [2]


def test_a_growing_run_is_resumed_bit_for_bit_and_reads_no_anatomy_early(config, make_case, tmp_path):
    read = []
    whole = totals_of(config, growing(make_case, 6, read))
    other = replace(config, runs=str(tmp_path / "others"))
    early = []
    # The second step is under way and the third one's batch is being made: two anatomies more at the very most.
    first = totals_of(other, growing(make_case, 6, early), stop_after=2)
    assert set(early) <= {0, 1, 2, 3}
    second = totals_of(other, growing(make_case, 6, []))
    assert whole == first | second
    assert set(read) > {0, 1, 2, 3}
    one, two = (load_file(run.folder / CHECKPOINT) for run in (config, other))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_looks_while_training_are_at_many_anatomies(make_case):
    cases = CaseList([Loaded([make_case(10 * number + place) for place in range(3)]) for number in range(14)])
    keys = [case.facts.key for case in spread(cases, 14)]
    assert keys == [f"case-{10 * number}" for number in range(12)] + ["case-1", "case-11"]
    assert len(spread(cases, 100)) == 36
    assert spread(cases[:5], 2) == cases[:2]


def test_more_processes_are_no_other_run(config, split):
    totals_of(replace(config, steps=1), split)
    faster = replace(config, steps=1, phantoms=replace(config.phantoms, processes=7))
    assert totals_of(faster, split) == {}
    with pytest.raises(OptionError, match="was started with another phantoms"):
        train(replace(faster, phantoms=replace(config.phantoms, anatomies=3)), split)


def test_a_device_that_is_not_there_is_refused(config):
    assert device_of(replace(config, device="cpu")).type == "cpu"
    assert device_of(config).type in ("cpu", "cuda", "mps")
    if not torch.cuda.is_available():
        with pytest.raises(OptionError, match="no device 'cuda'"):
            start(replace(config, device="cuda"))


def test_benign_findings_and_levels_are_what_phantoms_know_and_lesions_come_first(config, make_case):
    case = make_case(1)
    lesions = np.array(case.lesions)
    benign = np.roll(lesions > 0, 1, axis=1).astype(np.uint8)
    rows, cols = np.nonzero(lesions[0])
    lesions[0, rows[:2], cols[:2]] = FAINT
    phantom = Case(case.image.astype(np.float16), lesions, case.regions, case.facts, benign, case.regions * 4)
    plain = replace(config, crop_rows=(64,), crop_weights=(1.0,), augment=QUIET)
    batch = training_batch([phantom], plain, 0)
    overlap = (batch.lesion > 0) & (batch.benign > 0)
    assert batch.benign.sum() > 0
    assert not overlap.any()
    assert torch.equal(batch.benign_weight == 0, batch.weight == 0)
    assert set(batch.level.unique().tolist()) == {-1, 12}
    assert torch.equal(batch.level > 0, batch.region > 0)
    tried = [training_batch([phantom, case], plain, step) for step in range(20)]
    both = next(one for one in tried if one.benign is not None and not one.benign_weight[:, :, :2].all())
    known = both.benign_weight.amax(dim=(1, 2, 3)) > 0
    assert 0 < known.sum() < len(known)
    assert torch.equal((both.level > 0).any(dim=3).any(dim=2).any(dim=1), known)
    assert training_batch([case], plain, 0).benign is None


def test_a_finished_run_has_nothing_left_to_do(config, split):
    assert len(totals_of(config, split)) == config.steps
    assert totals_of(config, split) == {}


def test_a_run_can_be_cut_by_time_and_go_on(config, split):
    cut = totals_of(replace(config, max_minutes=1e-9), split)
    assert sorted(cut) == [1]
    assert sorted(totals_of(config, split)) == [2, 3, 4, 5, 6, 7, 8]


def test_a_run_of_the_same_name_with_another_configuration_is_refused(config, split):
    totals_of(replace(config, steps=1), split)
    with pytest.raises(OptionError, match="was started with another learning_rate"):
        train(replace(config, steps=1, learning_rate=1.0), split)


def test_a_checkpoint_holds_everything(config, split, tmp_path):
    state = start(config)
    for step in range(2):
        train_step(config, state, split, step)
    save_checkpoint(tmp_path / "c.safetensors", state, 2)
    other = start(replace(config, seed=7))
    assert load_checkpoint(tmp_path / "c.safetensors", other) == 2
    for one, two in zip(state.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(one, two)
        for key, value in state.optimiser.state[one].items():
            assert torch.equal(value, other.optimiser.state[two][key])
    averaged, again = state.ema.network.state_dict(), other.ema.network.state_dict()
    assert all(torch.equal(averaged[key], again[key]) for key in averaged)
    assert list(tmp_path.iterdir()) == [tmp_path / "c.safetensors"]


@pytest.mark.parametrize("damage", [b"", b"nonsense" * 10])
def test_a_damaged_checkpoint_is_refused(config, tmp_path, damage):
    path = tmp_path / "c.safetensors"
    path.write_bytes(damage)
    with pytest.raises(OptionError, match="does not fit"):
        load_checkpoint(path, start(config))


def test_a_checkpoint_of_another_network_is_refused(config, tmp_path):
    save_checkpoint(tmp_path / "c.safetensors", start(config), 0)
    wider = replace(config, network_config={"widths": (16, 8), "decoder_widths": (8,)})
    with pytest.raises(OptionError, match="does not fit"):
        load_checkpoint(tmp_path / "c.safetensors", start(wider))


def test_batches_follow_from_seed_and_step_alone(config, split):
    one, again = (training_batch(split.training, config, 5) for _ in range(2))
    assert torch.equal(one.image, again.image)
    assert torch.equal(one.lesion, again.lesion)
    other = training_batch(split.training, replace(config, seed=2), 5)
    later = training_batch(split.training, config, 6)
    assert one.image.shape != other.image.shape or not torch.equal(one.image, other.image)
    assert one.image.shape != later.image.shape or not torch.equal(one.image, later.image)


def test_absent_views_and_unknown_regions_are_left_out(config, split):
    always = replace(config, augment=replace(config.augment, view_dropout=1.0))
    batch = training_batch(split.training, always, 0)
    counted = batch.weight.amax(dim=(2, 3)) > 0
    assert (counted.sum(dim=1) == 1).all()
    assert ((batch.region >= 0).amax(dim=(2, 3)) == counted).all()
    assert not batch.image[~counted].any()


def test_the_learning_rate_rises_and_falls():
    config = TrainConfig(steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert int(np.argmax(rates)) in (9, 10)
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.001


def test_frozen_norms_keep_their_statistics(config, split):
    def statistics(state):
        return [value.clone() for key, value in state.network.state_dict().items() if "running_" in key]

    config = replace(config, freeze_norms_after=0.5)
    state = start(config)
    before = statistics(state)
    train_step(config, state, split, 3)
    moved = statistics(state)
    train_step(config, state, split, 4)
    assert not all(torch.equal(one, two) for one, two in zip(before, moved, strict=True))
    assert all(torch.equal(one, two) for one, two in zip(moved, statistics(state), strict=True))


def test_the_layers_that_are_named_learn_alone(config, split):
    tiny = {"widths": (8, 8, 8, 8), "decoder_widths": (8, 8, 8), "benign": True, "levels": True, "lesion_bones": True}
    config = replace(config, only="lesion_bones", network_config=tiny, learning_rate=0.01, warmup_steps=0)
    state = start(config)
    before = {name: value.clone() for name, value in state.network.state_dict().items()}
    for step in range(3):
        train_step(config, state, split, step)
    for network in (state.network, state.ema.network):
        changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
        # The levels of these cases are unknown, so their head learns nothing.
        heads = {"lesion_bones.level.weight", "lesion_bones.level.bias"}
        assert changed >= {name for name in before if name.startswith("lesion_bones")} - heads
        assert all(name.startswith("lesion_bones") for name in changed)


class TellsBones(torch.nn.Module):
    """Finds each lesion, sees region 0 everywhere, and tells region 3 for the bones of lesions in the upper half."""

    def __init__(self, lesions):
        super().__init__()
        self.found = torch.from_numpy(np.where(lesions > 0, 9.0, -9.0)).float()[None]

    def forward(self, counts):
        rows, cols = counts.shape[2:]
        shown, told = torch.zeros(1, 2, 4, rows // 2, cols // 2), torch.zeros(1, 2, 4, rows // 4, cols // 4)
        shown[:, :, 0] = told[:, :, 0] = 1.0
        told[:, :, 3, : rows // 8] = 2.0
        return Answer(self.found, shown)._replace(lesion_region=told)


def test_a_validation_looks_at_the_bones_of_lesions(config, make_case):
    case = make_case(3)
    lesion, bone = np.asarray(case.lesions) > 0, np.asarray(case.regions) == 3
    upper = np.arange(64)[:, None] < 32
    figures = quick_figures(TellsBones(np.asarray(case.lesions)), [case], config)
    right, known = (lesion & bone & upper).sum(), (lesion & bone).sum()
    assert 0 < right < known
    assert figures["lesion_region_accuracy"] == right / known
    assert figures["region_accuracy"] == right / bone.sum()


def test_a_view_without_a_label_is_neither_right_nor_wrong(config, make_case):
    """Of a patient of whom one view was drawn on, the other is not taken for a view without lesions."""
    both = make_case(1)
    lesions, known = np.asarray(both.lesions), np.array([True, False])
    assert all(view.any() for view in lesions)
    half = Case(both.counts, lesions * known[:, None, None], both.regions, replace(both.facts, labelled=(True, False)))
    network = TellsBones(lesions)
    figures = quick_figures(network, [half], config)
    assert (figures["dice"], figures["sensitivity"], figures["false_per_scan"]) == (1.0, 1.0, 0.0)
    _, measured = calibrate(network, [half], config)
    assert (measured.dice, measured.false_per_scan) == (1.0, 0.0)


def test_a_card_says_which_layers_learned(config):
    config = replace(config, only="lesion_bones", begin_with="some/where/other")
    card = make_card(config, 7, 1000, {})
    assert "7 steps, the layers lesion_bones only; all others are as in the other that it began with." in card
    assert "only;" not in make_card(replace(config, only=""), 7, 1000, {})


def test_a_card_says_what_its_run_began_with(config):
    own = "- Learned in this run from 12 simulated patients of 3 anatomies; 7 steps.\n"
    phantoms = replace(config.phantoms, anatomies=3, patients_per_anatomy=4)
    config = replace(config, begin_with="some/where/bundle", start_share=0.35, phantoms=phantoms)
    first = {"name": "first", "steps": 100}
    second = {"name": "second", "sha256": "0123456789abcdef", "steps": 20, "anatomies": 5, "began_with": first}
    card = make_card(config, 7, 1000, {}, began=second)
    assert own in card
    assert (
        "- It began with the weights of second (sha256 0123456789ab), of which 35% are in it.\n"
        "- With the runs before it: 3 runs, 127 steps, 8 anatomies (each counted in every run that used it).\n"
    ) in card
    unknown = {"name": "second", "sha256": "0123456789abcdef", "steps": 20, "began_with": {"name": "first"}}
    assert "\n- With the runs before it: at least 2 runs, 27 steps," in make_card(config, 7, 1000, {}, began=unknown)
    card = make_card(replace(config, start_share=0.0), 7, 1000, {}, began={"name": "bundle"})
    assert "began with the weights of bundle (which model of this name is not recorded).\n" in card
    assert "With the runs before" not in card
    fresh = make_card(replace(config, begin_with="", start_share=0.0), 7, 1000, {})
    assert "- Learned from 12 simulated patients" in fresh
    assert "began with" not in fresh


def test_the_average_starts_fast_and_is_slow_later(config, split):
    state = start(config)
    before = {key: value.clone() for key, value in state.ema.network.state_dict().items()}
    train_step(config, state, split, 0)  # rate 1 - 1/10
    for key, value in state.network.state_dict().items():
        if value.is_floating_point():
            expected = before[key].lerp(value, 0.9)
            assert torch.allclose(state.ema.network.state_dict()[key], expected, atol=1e-6), key


def test_groups_in_both_parts_are_refused(make_case):
    with pytest.raises(ValueError, match="training and validation at once"):
        Split([make_case(1)], [make_case(1)])


def write(tmp_path, text):
    path = tmp_path / "c.toml"
    path.write_text(text)
    return path


def test_configurations_read_tables_and_overrides(tmp_path):
    path = write(tmp_path, 'name = "a"\nsteps = 5\n[augment]\nflip = 1\n[network_config]\nwidths = [8, 8]\n')
    read = read_config(path, ["steps=7", "augment.thin=0.25", "name=b", "crop_rows=[64]", "crop_weights=[1]"])
    assert (read.name, read.steps, read.augment.flip, read.augment.thin) == ("b", 7, 1.0, 0.25)
    assert read.crop_rows == (64,)
    assert read.network_config == {"widths": [8, 8]}


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("stepps = 5", [], "unknown key 'stepps': did you mean 'steps'"),
        ("[augment]\nflipp = 1", [], "'augment.flipp': did you mean 'augment.flip'"),
        ("steps = 'many'", [], "steps is 'many': give a whole number"),
        ("bf16 = 1", [], "bf16 is 1: give true or false"),
        ("crop_rows = [100]", [], "crop_rows has 1 values and crop_weights has 2"),
        ("crop_rows = [100, 64]", [], "crop_rows holds 100"),
        ("name = '../x'", [], "letters, digits"),
        ("steps = ", [], "cannot be read"),
        ("", ["steps"], "not of the form key=value"),
        ("steps = 5", ["steps.more=1"], "that is a single value"),
        ("steps = 0", [], "at least one step"),
    ],
)
def test_wrong_configurations_say_what_is_wrong(tmp_path, text, overrides, message):
    with pytest.raises(OptionError, match=message):
        read_config(write(tmp_path, text), overrides)


def test_a_missing_configuration_is_one_sentence(tmp_path):
    with pytest.raises(OptionError, match="there is no configuration"):
        read_config(tmp_path / "none.toml")


def test_the_shipped_configuration_reads_and_builds():
    from pathlib import Path

    config = read_config(Path(__file__).parents[2] / "configs" / "phantom-unet.toml")
    assert config.name == "phantom-unet"
    assert sum(parameter.numel() for parameter in start(config).network.parameters()) <= 2_000_000


def test_unknown_networks_are_named():
    with pytest.raises(OptionError, match="there is no network 'vnet': choose one of unet"):
        start(TrainConfig(network="vnet"))
