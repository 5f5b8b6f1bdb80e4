"""An adaptation from end to end with a tiny network: resumed bit for bit, judged, written, and silent about whom."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save  # noqa: E402

from bonescan.adapt.judgement import (  # noqa: E402
    RATES,
    Curve,
    Point,
    Verdict,
    free_response,
    why_worse,
)
from bonescan.adapt.loop import ON_SCANS, Material, Stopped, averaged, begin, learn, look_steps, mixed_batch, taught  # noqa: E402  # noqa: E402
from bonescan.adapt.plan import kept_aside, training_config  # noqa: E402
from bonescan.adapt.result import Lesson, make_card  # noqa: E402
from bonescan.adapt.run import adapt  # noqa: E402
from bonescan.adapt.scans import (  # noqa: E402
    LearnedScan,
    ReadScan,
    told_by,
)
from bonescan.adapt.scene import make_scene  # noqa: E402
from bonescan.adapt.settings import AdaptConfig, AdaptRequest  # noqa: E402
from bonescan.adapt.suspects import find_suspects, foci_of, unknown_pixels  # noqa: E402
from bonescan.bundle import load_bundle, write_bundle  # noqa: E402
from bonescan.errors import OptionError  # noqa: E402
from bonescan.lesions.delineate import Thresholds  # noqa: E402
from bonescan.models import UNetConfig, build_unet, from_bundle  # noqa: E402
from bonescan.prediction import Prediction  # noqa: E402
from bonescan.prepare import Normalisation  # noqa: E402
from bonescan.study import REGIONS, Region, Scan, Spacing, Study, View  # noqa: E402
from bonescan.train.augment.apply import apply  # noqa: E402
from bonescan.train.augment.parameters import sample  # noqa: E402
from bonescan.train.calibrate import Judged  # noqa: E402
from bonescan.train.cases import FAINT, find_facts  # noqa: E402
from bonescan.train.export import network_values, to_onnx  # noqa: E402
from bonescan.train.loop import CHECKPOINT  # noqa: E402

SHAPE = (64, 32)
CARD = b"# tiny\n\nIts card.\n\n## Measured on validation patients, whose anatomies it had not seen\n\n- dice: 0.675\n"
CONFIG = AdaptConfig(
    steps=6,
    batch_rows=128,
    crop_rows=32,
    crop_cols=32,
    warmup_steps=1,
    threads=1,
    bf16=False,
    checkpoint_every=2,
    looks=2,
    variants=1,
    anatomies=1,
    validation_anatomies=1,
)


def make_counts(seed):
    """A ladder of bone in a body, both views alike."""
    row, col = np.indices(SHAPE)
    bone = (abs(col - 16) < 3) | ((row % 16 < 3) & (abs(col - 16) < 11))
    mean = np.where(bone, 30.0, np.where(abs(col - 16) < 13, 6.0, 0.0))
    counts = np.random.default_rng(seed).poisson(np.broadcast_to(mean, (2, *SHAPE)))
    regions = np.where(bone, REGIONS.index(Region.LUMBAR_SPINE), 0)
    return counts.astype(np.uint16), np.broadcast_to(regions, (2, *SHAPE)).astype(np.uint8)


def make_scan(number, hot=None) -> LearnedScan:
    """A scan to learn from; hot: a (row, col) that the base model calls a lesion in the anterior view."""
    counts, regions = make_counts(number)
    probability = np.zeros((2, *SHAPE), dtype=np.float16)
    if hot is not None:
        window = (0, slice(hot[0] - 2, hot[0] + 3), slice(hot[1] - 2, hot[1] + 3))
        counts[window] = 200
        probability[window] = 0.95
    nothing = np.zeros_like(regions)
    facts = find_facts(f"scan-{number}", f"patient-{number}", counts, nothing, Normalisation())
    return LearnedScan(number, make_scene(counts, regions, Spacing(9.0, 9.0)), probability, facts)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A bundle of the first format: 17 regions, no benign uptake, no levels, all of it unstated."""
    torch.manual_seed(0)
    network = build_unet(
        UNetConfig(widths=(8, 8), decoder_widths=(8,), regions=17, benign=False, levels=False, dropout=0.2)
    ).eval()
    description = {
        "name": "tiny",
        "network": {"name": "unet", "config": {"widths": [8, 8], "decoder_widths": [8], "dropout": 0.2}},
        "normalisation": Normalisation().to_dict(),
        "thresholds": Thresholds(low=0.3, high=0.6).to_dict(),
        "region": "whole-body",
    }
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    files = {
        "model.onnx": to_onnx(network),
        "model.safetensors": save(weights),
        "card.md": CARD,
    }
    return write_bundle(tmp_path_factory.mktemp("base") / "tiny", description, files)


@pytest.fixture
def configs(base, tmp_path):
    values = network_values(from_bundle(base))
    request = AdaptRequest((), tmp_path / "out", base.folder)
    return CONFIG, replace(training_config(base, values, request, CONFIG, "out"), steps=CONFIG.steps)


@pytest.fixture(scope="module")
def material(make_case) -> Material:
    phantoms = [make_case(seed) for seed in range(3)]
    return Material([make_scan(1), make_scan(2, hot=(30, 10))], phantoms, [make_scan(3)])


def foci(material):
    return [foci_of(scan, Thresholds(low=0.3, high=0.6), CONFIG) for scan in material.normals]


def stops_after(steps):
    """Says stop when it is asked for the last of so many steps."""
    left = iter(range(steps - 1, -1, -1))
    return lambda: next(left) == 0


def test_what_is_written_is_the_mean_of_the_weights_before_and_after(base, configs, material):
    network = from_bundle(base)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = learn(begin(network, configs[1]), material, foci(material), configs)
    after = state.ema.network.state_dict()
    mean = averaged(state, network, CONFIG.base_share).state_dict()
    assert CONFIG.base_share == 0.5
    assert any(not torch.equal(after[name], before[name]) for name in mean)
    for name, value in mean.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (before[name] + after[name]) / 2)
            torch.testing.assert_close(network.state_dict()[name], before[name])


def test_a_stopped_run_ends_with_the_same_bits(base, configs, material, tmp_path):
    network = from_bundle(base)
    whole = learn(begin(network, configs[1]), material, foci(material), configs)
    other = (configs[0], replace(configs[1], runs=str(tmp_path / "other")))
    for _ in range(2):  # every look falls on a stop: it is made when the run goes on
        with pytest.raises(Stopped):
            learn(begin(network, other[1]), material, foci(material), other, stop=stops_after(2))
    again = learn(begin(network, other[1]), material, foci(material), other)
    for one, two in zip(whole.network.state_dict().values(), again.network.state_dict().values(), strict=True):
        assert torch.equal(one, two)
    files = [load_file(pair[1].folder / CHECKPOINT) for pair in (configs, other)]
    assert all(torch.equal(files[0][name], files[1][name]) for name in files[0])
    assert look_steps(CONFIG) == (2, 4)
    assert (other[1].folder / "suspects-4.json").read_bytes() == (configs[1].folder / "suspects-4.json").read_bytes()


def test_learning_changes_weights_and_keeps_the_norms_statistics(base, configs, material):
    network = from_bundle(base)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    after = learn(begin(network, configs[1]), material, foci(material), configs).ema.network.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before if name.endswith("weight"))
    assert all(torch.equal(before[name], after[name]) for name in before if "running" in name)


def test_augmentation_keeps_counts_counts():
    """Whole counts, and never more than there were but where counts were added: nothing is interpolated or smoothed."""
    scan = make_scan(1)
    for seed in range(30):
        parameters = sample(replace(ON_SCANS, background=0, hot=0, tone=0), np.random.default_rng(seed))
        assert (parameters.warp, parameters.blur_px, parameters.smoothed_px, parameters.cold) == (False, 0, 0, None)
        assert parameters.gains == (1.0, 1.0)
        plain = Normalisation(reference_floor=1.0)
        image = apply(scan.plain(), (32, 32), replace(parameters, reference_gain=1.0), plain).image
        reference = scan.facts.references[0 if parameters.missing is None else 2 - parameters.missing]
        from bonescan.prepare import denormalise

        counts = denormalise(image, max(reference * parameters.dose, 1.0), plain)
        assert np.abs(counts - np.rint(counts)).max() < 0.01


def test_what_is_unknown_counts_in_no_loss(configs):
    scan = make_scan(2, hot=(30, 10))
    own = foci_of(scan, Thresholds(low=0.3, high=0.6), CONFIG)
    assert len(own) == 1

    class Sure(torch.nn.Module):
        """Calls a lesion whatever is hot."""

        def forward(self, image):
            return 20 * (image - 1.8), None

    suspects = find_suspects([scan], [own], Sure(), *configs)
    assert [(one.scan, one.view, one.row, one.col) for one in suspects] == [(2, View.ANTERIOR, 30, 10)]
    unknown = unknown_pixels([scan], [own], suspects)
    case = scan.plain(unknown[2])
    assert (case.lesions[0, 28:33, 8:13] == FAINT).all()
    assert not case.lesions[1].any()

    class Never(torch.nn.Module):
        """Calls nothing a lesion."""

        def forward(self, image):
            return image - 50, None

    assert find_suspects([scan], [own], Never(), *configs) == []


def test_a_focus_that_is_hot_on_one_side_alone_of_the_network_is_no_suspect(configs):
    """The mirrored scan must agree: a network that knows places but not looks does not."""
    scan = make_scan(2, hot=(30, 10))
    own = foci_of(scan, Thresholds(low=0.3, high=0.6), CONFIG)

    class LeftOnly(torch.nn.Module):
        def forward(self, image):
            logits = 20 * (image - 1.8)
            logits[..., 16:] = -20
            return logits, None

    assert find_suspects([scan], [own], LeftOnly(), *configs) == []


def test_the_teacher_labels_what_it_is_sure_of(base, configs, material):
    mixed = mixed_batch(material, *configs, 0)
    assert mixed.weak is not None
    first = mixed.batch.image.shape[0] - mixed.weak.shape[0]

    class Teacher(torch.nn.Module):
        """Lesion in the first row, background in the second, unsure elsewhere."""

        def forward(self, image):
            logits = torch.zeros_like(image)
            logits[..., 0, :], logits[..., 1, :] = 9.0, -9.0
            return logits, None

    batch = taught(mixed, Teacher(), *configs)
    assert (batch.lesion[first:, :, 0] == 1).all()
    assert (batch.lesion[first:, :, 1:] == 0).all()
    assert (batch.weight[first:, :, :2] == CONFIG.unlabelled_weight).all()
    assert (batch.weight[first:, :, 2:] == 0).all()
    assert torch.equal(batch.lesion[:first], mixed.batch.lesion[:first])


def test_half_of_a_batch_shows_scans_and_regions_are_those_that_the_network_tells(configs, material):
    batch = mixed_batch(replace(material, unlabelled=()), *configs, 0)
    assert batch.weak is None
    assert batch.batch.image.shape[0] == 4
    assert int(batch.batch.region.max()) < 17
    assert told_by(np.array([REGIONS.index(Region.ILIUM)], dtype=np.uint8), {"regions": 17}) == [
        REGIONS.index(Region.PELVIS)
    ]


def judged(*blobs) -> Judged:
    """Blobs of (row, probability, is it a lesion) in the anterior view."""
    probability = {view: np.full((60, 40), 0.02, dtype=np.float32) for view in View}
    truth = {view: np.zeros((60, 40), dtype=np.uint8) for view in View}
    for number, (row, height, real) in enumerate(blobs, start=1):
        probability[View.ANTERIOR][row : row + 5, 10:15] = height
        truth[View.ANTERIOR][row : row + 5, 10:15] = number if real else 0
    maps = {view: np.zeros((60, 40), dtype=np.uint8) for view in View}
    return Judged(Prediction(probability, maps), truth)


def test_a_free_response_curve_by_hand():
    curve = free_response(
        [judged((5, 0.9, True), (20, 0.8, False), (35, 0.5, True)), judged((5, 0.7, False))], Thresholds(low=0.3)
    )
    assert curve.lesions == 2
    assert (curve.at(0.0), curve.at(0.5), curve.at(1.0)) == (0.5, 0.5, 1.0)


def verdict_of(found, phantoms, marks) -> Verdict:
    curves = (Curve((Point(0.0, found),), 10), Curve((Point(0.0, phantoms),), 10))
    return Verdict(Thresholds(), {}, marks, ((),) * len(marks), *curves)


def test_what_is_worse_is_said():
    before = verdict_of(0.6, 0.7, (2, 3))
    assert why_worse(before, verdict_of(0.6, 0.69, (0, 1))) is None
    assert "60%" in why_worse(before, verdict_of(0.5, 0.7, (0, 0)))
    assert "simulated" in why_worse(before, verdict_of(0.7, 0.6, (0, 0)))
    assert "2.50" in why_worse(before, verdict_of(0.7, 0.7, (4, 4)))


def test_a_fifth_of_the_patients_stays_aside_whole():
    def scan(number, patient):
        return ReadScan(
            number,
            f"s{number}",
            Study("s", {View.ANTERIOR: Scan(View.ANTERIOR, np.ones((4, 4)))}),
            patient,
            str(number),
        )

    five = kept_aside([scan(number, f"p{number}") for number in range(5)])
    assert len(five) == 2
    twenty = [scan(number, f"p{number // 2}") for number in range(40)]
    assert len(kept_aside(twenty)) == 4
    assert kept_aside(twenty) == kept_aside(twenty[::-1])


def write_department(folder: Path, patients=6, shape=(96, 64)) -> Path:
    """Scans of a department, under the names of patients."""
    row, col = np.indices(shape)
    bone = (abs(col - 32) < 4) | ((row % 16 < 4) & (abs(col - 32) < 22))
    mean = np.where(bone, 30.0, np.where(abs(col - 32) < 26, 6.0, 0.0))
    for number in range(patients):
        own = folder / f"Muster-Anna-{number}" / "bone-scan"
        own.mkdir(parents=True)
        rng = np.random.default_rng(number)
        np.savez(own / "scan.npz", anterior=rng.poisson(mean), posterior=rng.poisson(mean), spacing_mm=[4.8, 4.8])
    return folder


@pytest.fixture(scope="module")
def finished(base, make_case, tmp_path_factory):
    """A whole run, whose simulated patients are quick ones."""
    from bonescan.adapt import run
    from bonescan.train.cases import Split

    folder = tmp_path_factory.mktemp("department")
    department = write_department(folder / "normals")
    patch = pytest.MonkeyPatch()
    split = Split([make_case(seed) for seed in range(3)], [make_case(seed) for seed in range(50, 52)])
    patch.setattr(run, "phantom_split", lambda *arguments: split)
    said = []
    request = AdaptRequest((department,), folder / "ours", base.folder, accept_worse=True)
    try:
        outcome = adapt(request, replace(CONFIG, minutes=0.01), lambda report: said.append(str(report)), said.append)
    finally:
        patch.undo()
    return request, outcome, said


def test_a_department_gets_a_bundle_that_works_like_any_other(finished, base):
    request, outcome, said = finished
    bundle = load_bundle(request.out)
    assert (bundle.name, bundle.raw["training"]["base"]["sha256"]) == ("ours", base.sha256)
    assert bundle.raw["training"]["lesson"]["patients"] == 4
    assert bundle.raw["training"]["lesson"]["aside"] == 2
    assert any(sentence.startswith("estimate: about") for sentence in said)
    from bonescan.pipeline import load_model, segment
    from bonescan.reading import read_study

    result = segment(read_study(next(request.normals[0].glob("*/*"))), load_model(request.out))
    assert result.model.name == "ours"
    assert outcome.page.exists()
    assert (request.work / "page.png").stat().st_size > 1000


def test_a_run_says_which_model_it_judges_and_that_the_minutes_are_not_enough(finished):
    _, _, said = finished
    judged = [sentence.split(",")[0] for sentence in said if sentence.startswith("judge")]
    assert judged == [f"judge {when} {done}/6" for when in ("before", "after") for done in range(1, 7)]
    assert any(sentence.startswith("judge before 2/6, ") and sentence.endswith(" left") for sentence in said)
    places = [place for place, sentence in enumerate(said) if "0.01 minutes are not enough" in sentence]
    assert len(places) == 1
    assert places[0] < min(place for place, sentence in enumerate(said) if sentence.startswith("learn"))


def test_the_card_says_whose_figures_are_whose(finished, base):
    request, outcome, _ = finished
    card = load_bundle(request.out).card
    assert "## Measured before it was taught (tiny)\n\n- dice: 0.675" in card
    assert "## Measured on validation patients" not in card
    before, after = outcome.before, outcome.after
    for rate in RATES:
        row = f"| sensitivity for simulated patients' lesions at {rate:g} false positives per scan | "
        assert f"{row}{before.phantoms.at(rate):.2f} | {after.phantoms.at(rate):.2f} |" in card
    lesson = load_bundle(request.out).raw["training"]["lesson"]
    assert lesson["suspects"] + lesson["suspects_aside"] == len(outcome.suspects)
    assert lesson["suspects_aside"] == outcome.suspects_aside
    said = f"Foci that may be lesions: {lesson['suspects']} on these scans, where such foci were"
    assert said in card
    # A model that is adapted again keeps the name of the one that was measured.
    lesson = Lesson(1, 1, 0, 1, 2, 3, 4)
    again = make_card(load_bundle(request.out), "later", lesson, before, after)
    assert "## Measured before it was taught (tiny)" in again
    assert again.count("## Taught on") == 1
    assert "2 on these scans, where such foci were\nignored, and 3 on the held-out ones." in again


def test_a_path_that_does_not_exist_is_said_once(base, tmp_path):
    said = []
    request = AdaptRequest((tmp_path / "nirgends",), tmp_path / "out", base.folder)
    with pytest.raises(OptionError, match="scans of 0 patients to learn from, and 1 input left out: give at least 5"):
        adapt(request, CONFIG, note=said.append)
    assert len([sentence for sentence in said if "does not exist" in sentence]) == 1


def test_nothing_that_is_given_away_names_a_patient_or_a_folder(finished):
    request, outcome, _ = finished
    given = [*request.out.iterdir(), outcome.page, request.work / "page.png"]
    for path in given:
        content = path.read_bytes()
        assert b"Muster" not in content, path.name
        assert str(request.out.parent).encode() not in content, path.name
    assert "Muster" in (request.work / "scans.csv").read_text()  # the department's own list


def test_the_same_call_with_other_scans_is_refused(finished, base, tmp_path):
    request, _, _ = finished
    write_department(tmp_path / "more", patients=7)
    with pytest.raises(OptionError, match="begun with other scans"):
        adapt(replace(request, normals=(tmp_path / "more",)), CONFIG)


def test_four_patients_are_too_few(base, tmp_path):
    request = AdaptRequest((write_department(tmp_path / "few", patients=4),), tmp_path / "out", base.folder)
    with pytest.raises(OptionError, match="scans of 4 patients to learn from: give at least 5"):
        adapt(request, CONFIG)


def test_a_worse_model_is_not_written(base, make_case, tmp_path, monkeypatch):
    from bonescan.adapt import run
    from bonescan.train.cases import Split

    split = Split([make_case(seed) for seed in range(3)], [make_case(50)])
    monkeypatch.setattr(run, "phantom_split", lambda *arguments: split)
    monkeypatch.setattr(run, "why_worse", lambda before, after: "it is worse")
    request = AdaptRequest((write_department(tmp_path / "normals", patients=5),), tmp_path / "out", base.folder)
    outcome = adapt(request, replace(CONFIG, steps=1, looks=0))
    assert outcome.bundle is None
    assert not request.out.exists()
    assert "Refused: it is worse" in outcome.page.read_text()


def test_a_model_without_bones_is_refused(base, tmp_path):
    raw = json.loads((base.folder / "bundle.json").read_text())
    files = {name: base.read(name) for name in raw.pop("files")}
    thorax = write_bundle(tmp_path / "thorax", {**raw, "region": "thorax"}, files)
    request = AdaptRequest((write_department(tmp_path / "normals"),), tmp_path / "out", thorax.folder)
    with pytest.raises(OptionError, match="knows the thorax alone"):
        adapt(request, CONFIG)
