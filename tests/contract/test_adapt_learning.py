"""How an adaptation learns, with a tiny network: resumed bit for bit, and what its batches teach and leave out."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402
from tests.contract.conftest import CONFIG  # noqa: E402

from bonescan.adapt.loop import ON_SCANS, Material, Stopped, averaged, begin, learn, look_steps, mixed_batch, taught  # noqa: E402
from bonescan.adapt.plan import training_config  # noqa: E402
from bonescan.adapt.scans import LearnedScan, told_by  # noqa: E402
from bonescan.adapt.scene import make_scene  # noqa: E402
from bonescan.adapt.settings import AdaptRequest  # noqa: E402
from bonescan.adapt.suspects import find_suspects, foci_of, unknown_pixels  # noqa: E402
from bonescan.lesions.delineate import Thresholds  # noqa: E402
from bonescan.models import from_bundle  # noqa: E402
from bonescan.prepare import Normalisation  # noqa: E402
from bonescan.study import REGIONS, Region, Spacing, View  # noqa: E402
from bonescan.train.augment.apply import apply  # noqa: E402
from bonescan.train.augment.parameters import sample  # noqa: E402
from bonescan.train.cases import FAINT, find_facts  # noqa: E402
from bonescan.train.export import network_values  # noqa: E402
from bonescan.train.loop import CHECKPOINT  # noqa: E402

SHAPE = (64, 32)


def make_counts(seed):
    """A ladder of bone in a body, both views alike."""
    row, col = np.indices(SHAPE)
    bone = (abs(col - 16) < 3) | ((row % 16 < 3) & (abs(col - 16) < 11))
    mean = np.where(bone, 30.0, np.where(abs(col - 16) < 13, 6.0, 0.0))
    counts = np.random.default_rng(seed).poisson(np.broadcast_to(mean, (2, *SHAPE)))
    regions = np.where(bone, REGIONS.index(Region.LUMBAR_SPINE), 0)
    return counts.astype(np.uint16), np.broadcast_to(regions, (2, *SHAPE)).astype(np.uint8)


def make_scan(number, hot=None, view=View.ANTERIOR) -> LearnedScan:
    """A scan to learn from; hot: a (row, col) that the base model calls a lesion in a view, the posterior mirrored."""
    counts, regions = make_counts(number)
    probability = np.zeros((2, *SHAPE), dtype=np.float16)
    if hot is not None:
        window = (list(View).index(view), slice(hot[0] - 2, hot[0] + 3), slice(hot[1] - 2, hot[1] + 3))
        counts[window] = 200
        probability[window] = 0.95
    nothing = np.zeros_like(regions)
    facts = find_facts(f"scan-{number}", f"patient-{number}", counts, nothing, Normalisation())
    return LearnedScan(number, make_scene(counts, regions, Spacing(9.0, 9.0)), probability, facts)


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


@pytest.mark.parametrize(("view", "col"), [(View.ANTERIOR, 10), (View.POSTERIOR, SHAPE[1] - 1 - 10)])
def test_what_is_unknown_counts_in_no_loss_and_is_listed_where_it_was_acquired(configs, view, col):
    scan = make_scan(2, (30, 10), view)
    own = foci_of(scan, Thresholds(low=0.3, high=0.6), CONFIG)
    assert len(own) == 1

    class Sure(torch.nn.Module):
        """Calls a lesion whatever is hot."""

        def forward(self, image):
            return 20 * (image - 1.8), None

    suspects = find_suspects([scan], [own], Sure(), *configs)
    assert [(one.scan, one.view, one.row, one.col) for one in suspects] == [(2, view, 30, col)]
    unknown = unknown_pixels([scan], [own], suspects)
    case = scan.plain(unknown[2])
    channel = list(View).index(view)
    assert (case.lesions[channel, 28:33, 8:13] == FAINT).all()
    assert not case.lesions[1 - channel].any()

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
