"""A data set's images as cases: who is labelled, who validates, what a batch of two streams holds."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from bonescan.errors import OptionError  # noqa: E402
from bonescan.lesions.delineate import Thresholds  # noqa: E402
from bonescan.lin2022 import images as subject  # noqa: E402
from bonescan.lin2022.datasets import DataSet, Origin, PairRecord  # noqa: E402
from bonescan.lin2022.datasets.index import Subset  # noqa: E402
from bonescan.lin2022.datasets.moves import Move  # noqa: E402
from bonescan.study import View  # noqa: E402
from bonescan.train.calibrate import judge, quick_figures  # noqa: E402
from bonescan.train.cases import FAINT, Case, Split, union_truth  # noqa: E402
from bonescan.train.config import ChanVeseConfig, CohortConfig, ImagesConfig, TrainConfig, read_config  # noqa: E402
from bonescan.train.loop import CHECKPOINT, train  # noqa: E402
from bonescan.train.methods import METHODS  # noqa: E402
from bonescan.train.run import export_run, fit_thresholds  # noqa: E402
from bonescan.train.stream import image_batch  # noqa: E402

PATIENTS, COPIES, TRAINING = 20, 3, 14


def record(patient, copy, origin=None, views=(True, True)):
    origin = origin or (Origin.GEOMETRIC if copy else Origin.ORIGINAL)
    gan = origin is Origin.GAN
    study = f"{'gan' if gan else f'patient-{patient:02d}'}/study-{copy}"
    split = Subset.TRAIN if patient < TRAINING else Subset.UNUSED if copy else Subset.TEST
    return PairRecord(
        study=study,
        patient="" if gan else f"patient-{patient:02d}",
        origin=origin,
        split=split,
        move=Move(flip=False, rotation_deg=0.0, shift_rows_px=0, shift_cols_px=0),
        present=views,
        labelled=(False, False) if gan else views,
        references=(10.0, 10.0, 10.0),
        path=Path(study),
    )


@pytest.fixture
def dataset(monkeypatch, make_case):
    pairs = [record(patient, copy) for patient in range(PATIENTS) for copy in range(COPIES)]
    pairs += [record(0, copy, Origin.GAN, (True, False)) for copy in range(4)]
    made = DataSet(Path("nowhere"), "D4", tuple(pairs), "digest", leaky=False)
    arrays = make_case(1, shape=(64, 32))

    class Loaded:
        counts, lesions, present = np.asarray(arrays.counts), np.asarray(arrays.lesions), (True, True)

    monkeypatch.setattr(DataSet, "load", lambda self, pair: Loaded)
    monkeypatch.setattr(subject, "read_dataset", lambda folder, name: made)
    return made


def labelled(dataset, **options):
    draw = subject.draw_labels(dataset, ImagesConfig(**options))
    return {study for study, views in draw.items() if any(views)}


def patients(studies):
    return {study.partition("/")[0] for study in studies}


@pytest.mark.parametrize(("share", "number"), [(0.0, 0), (0.1, 2), (0.37, 7), (0.7, 14), (1.0, 14)])
def test_the_share_counts_all_patients_and_labels_all_their_copies(dataset, share, number):
    chosen = labelled(dataset, label_share=share)
    assert len(patients(chosen)) == number
    assert len(chosen) == number * COPIES


@pytest.mark.parametrize("unit", ["patient", "image"])
def test_a_smaller_share_is_a_part_of_a_larger_one(dataset, unit):
    draws = [labelled(dataset, label_share=share, label_unit=unit) for share in (0.05, 0.2, 0.4, 0.6)]
    assert all(small < large for small, large in pairwise(draws))


def test_validation_patients_take_no_label_from_the_others(dataset):
    options = ImagesConfig("nowhere", "D4", label_share=0.3, validation_share=0.25)
    split = subject.image_split(options)
    taught = {case.facts.group for case in split.training if any(case.facts.labelled)}
    assert split.validation
    assert len(taught) == 0.3 * PATIENTS


def test_samples_of_a_gan_are_always_learned_from(dataset):
    split = subject.image_split(ImagesConfig("nowhere", "D4", label_share=0.1, validation_share=0.95))
    assert sum(case.facts.key.startswith("gan") for case in split.training) == 4


def test_another_seed_draws_others(dataset):
    draws = {frozenset(patients(labelled(dataset, label_share=0.3, label_seed=seed))) for seed in range(5)}
    assert len(draws) > 1


def test_by_image_the_same_number_of_labels_spreads_over_more_patients(dataset):
    by_image = subject.draw_labels(dataset, ImagesConfig(label_share=0.3, label_unit="image"))
    assert sum(sum(views) for views in by_image.values()) == round(0.3 * PATIENTS * COPIES * 2)
    assert len(patients(labelled(dataset, label_share=0.3, label_unit="image"))) > 0.3 * PATIENTS


def test_only_training_pairs_are_drawn_and_no_sample_of_a_gan(dataset):
    draw = subject.draw_labels(dataset, ImagesConfig(label_share=1.0))
    assert draw.keys() == {pair.study for pair in dataset.of(Subset.TRAIN)}
    assert not any(any(views) for study, views in draw.items() if study.startswith("gan"))


def test_a_split_has_no_test_patient_and_validates_on_originals_of_others(dataset):
    split = subject.image_split(ImagesConfig("nowhere", "D4", label_share=0.5, validation_share=0.3))
    groups = [{case.facts.group for case in part} for part in (split.training, split.validation)]
    assert groups[0].isdisjoint(groups[1])
    test = {f"patient-{pair.patient}" for pair in dataset.of(Subset.TEST)}
    assert test.isdisjoint(groups[0] | groups[1])
    assert split.validation
    assert all(case.facts.key.endswith("study-0") for case in split.validation)
    assert {case.facts.group for case in subject.held_out(ImagesConfig("nowhere", "D4"))} == test


def test_images_as_they_are_need_a_method_and_a_share_that_fit():
    with pytest.raises(OptionError, match=r"images\.folder"):
        TrainConfig(method="chan-vese")
    with pytest.raises(OptionError, match=r"label_share is 1\.5"):
        TrainConfig(images=ImagesConfig(label_share=1.5))
    with pytest.raises(OptionError, match="batch empty"):
        TrainConfig(images=ImagesConfig(labelled_pairs=0, unlabelled_pairs=0))


@pytest.mark.parametrize(("changes", "message"), [
    ({"images": ImagesConfig("nowhere", label_share=0.0)}, "learns nothing without labels"),
    ({"images": ImagesConfig("nowhere", labelled_pairs=0)}, "learns nothing without labels"),
    ({"method": "chan-vese", "chan_vese": ChanVeseConfig(unsupervised=False),
      "images": ImagesConfig("nowhere", label_share=0.0)}, "learns nothing without labels"),
    ({"images": ImagesConfig("nowhere", label_seed=0)}, "label_seed is 0"),
    ({"images": ImagesConfig("nowhere"), "cohort": CohortConfig("cohort")}, "takes the place of cohort"),
    ({"network": "lin2022", "network_config": {"aggregation": "image"}}, r"set images\.folder"),
])  # fmt: skip
def test_what_could_not_be_learned_is_refused(changes, message):
    with pytest.raises(OptionError, match=message):
        TrainConfig(**changes)


def test_a_wrong_choice_is_told_the_right_ones(tmp_path):
    (tmp_path / "c.toml").write_text('[images]\nset = "D9"\n')
    with pytest.raises(OptionError, match="set is 'D9': give one of D1, D2, D3, D4"):
        read_config(tmp_path / "c.toml")


@pytest.mark.usefixtures("dataset")
def test_a_split_with_nothing_to_learn_from_is_refused():
    with pytest.raises(OptionError, match=r"label_share = 0\.01 leaves no label"):
        subject.image_split(ImagesConfig("nowhere", label_share=0.01))
    assert subject.image_split(ImagesConfig("nowhere", label_share=0.0)).training


def test_a_validation_of_all_patients_is_refused(dataset, monkeypatch):
    originals = tuple(pair for pair in dataset.pairs if pair.origin is not Origin.GAN)
    monkeypatch.setattr(subject, "read_dataset", lambda folder, name: replace(dataset, pairs=originals))
    with pytest.raises(OptionError, match="validation_share = 1 leaves no image"):
        subject.image_split(ImagesConfig("nowhere", validation_share=1.0))


def configured(**images):
    return TrainConfig(
        method="chan-vese", network="lin2022", network_config={"channels": 4}, images=ImagesConfig("nowhere", **images)
    )


def with_labels(case, views):
    return Case(case.counts, case.lesions, case.regions, replace(case.facts, labelled=views))


def test_a_batch_has_labels_in_its_first_stream_alone(make_case):
    cases = [with_labels(make_case(seed), (seed == 0, seed == 0)) for seed in range(5)]
    batch = image_batch(cases, configured(labelled_pairs=2, unlabelled_pairs=3), 7)
    assert batch.image.shape == (5, 2, 64, 32)
    assert [bool(pair.any()) for pair in batch.weight] == [True, True, False, False, False]
    assert torch.equal(batch.lesion[0], batch.lesion[1])


def test_without_a_label_the_other_stream_fills_the_batch(make_case):
    cases = [with_labels(make_case(seed), (False, False)) for seed in range(3)]
    batch = image_batch(cases, configured(labelled_pairs=2, unlabelled_pairs=1), 0)
    assert batch.image.shape[0] == 3
    assert not batch.weight.any()
    network = torch.nn.Conv2d(2, 2, 1)
    parts = METHODS["chan-vese"]((network(batch.image), None), batch, configured())
    assert parts["supervised"].item() == 0
    assert parts["total"].item() == parts["unsupervised"].item() > 0


def test_the_same_step_gives_the_same_batch(make_case):
    cases = [make_case(seed) for seed in range(6)]
    one, again, other = (image_batch(cases, configured(), step) for step in (3, 3, 4))
    assert torch.equal(one.image, again.image)
    assert not torch.equal(one.image, other.image)


def test_an_absent_view_costs_nothing(make_case):
    case = make_case(1)
    counts = np.array(case.counts)
    counts[1] = 0
    alone = with_labels(Case(counts, case.lesions, case.regions, case.facts), (False, False))
    batch = image_batch([alone], configured(labelled_pairs=0, unlabelled_pairs=2), 0)
    assert batch.present.tolist() == [[True, False]] * 2
    logits = torch.zeros(2, 2, 64, 32)
    louder = logits.clone()
    louder[:, 1] = 5
    one, two = (METHODS["chan-vese"]((answer, None), batch, configured())["total"] for answer in (logits, louder))
    assert one.item() == two.item()


def test_faint_lesions_weigh_nothing(make_case):
    case = make_case(1)
    lesions = np.where(np.asarray(case.lesions) > 0, FAINT, 0).astype(np.uint8)
    faint = Case(case.counts, lesions, case.regions, case.facts)
    batch = image_batch([faint], configured(labelled_pairs=1, unlabelled_pairs=0), 0)
    assert not batch.lesion.any()
    assert torch.equal(batch.weight == 0, torch.from_numpy(lesions == FAINT)[None])


def test_the_truth_of_added_views_is_their_union():
    lesions = np.zeros((2, 1, 4), dtype=np.uint8)
    lesions[0, 0], lesions[1, 0] = [3, 0, FAINT, 0], [FAINT, 2, 0, 0]
    assert union_truth(lesions)[0].tolist() == union_truth(lesions)[1].tolist() == [[1, 1, FAINT, 0]]


@pytest.mark.parametrize("aggregation", ["image", "feature"])
def test_added_views_learn_from_the_union(make_case, aggregation):
    config = replace(
        configured(labelled_pairs=1, unlabelled_pairs=0), network_config={"channels": 4, "aggregation": aggregation}
    )
    case = make_case(2)
    batch = image_batch([case], config, 0)
    assert torch.equal(batch.lesion[:, 0], batch.lesion[:, 1])
    assert batch.lesion[0, 0].sum() > torch.from_numpy(np.asarray(case.lesions) > 0)[0].sum()
    half = image_batch([with_labels(case, (True, False))], config, 0)
    assert not half.weight.any()  # half a label of a union is none


ADDED = replace(
    configured(labelled_pairs=1, unlabelled_pairs=0), network_config={"channels": 4, "aggregation": "image"}
)


def test_half_labelled_pairs_are_no_labelled_stream_of_added_views(make_case):
    cases = [with_labels(make_case(seed), (seed == 0, True)) for seed in range(8)]
    assert all(image_batch(cases, ADDED, step).weight.any() for step in range(4))


def test_the_label_of_the_only_view_is_the_label_of_the_sum(make_case):
    case = with_labels(make_case(2), (True, False))
    counts, lesions = np.array(case.counts), np.array(case.lesions)
    counts[1] = lesions[1] = 0
    batch = image_batch([Case(counts, lesions, case.regions, case.facts)], ADDED, 0)
    assert (batch.weight > 0).all()


def test_lesions_of_added_views_are_what_hangs_together():
    lesions = np.zeros((2, 1, 9), dtype=np.uint8)
    lesions[0, 0, :2], lesions[1, 0, 1:3], lesions[1, 0, 5], lesions[0, 0, 7] = 4, 9, 9, FAINT
    assert union_truth(lesions)[0].tolist() == [[1, 1, 1, 0, 0, 2, 0, FAINT, 0]]


class Answering(torch.nn.Module):
    """Says what it was given to say."""

    def __init__(self, mask):
        super().__init__()
        self.mask = mask

    def forward(self, counts):
        return torch.from_numpy(np.where(self.mask, 9.0, -9.0))[None].float(), None


def test_added_views_are_validated_against_the_union(make_case):
    case = make_case(2)
    mask = np.broadcast_to((np.asarray(case.lesions) > 0).any(axis=0), (2, 64, 32))
    assert (np.asarray(case.lesions)[0] > 0).sum() < mask[0].sum()
    figures = quick_figures(Answering(mask), [case], ADDED)
    assert (figures["dice"], figures["sensitivity"], figures["false_per_scan"]) == (1.0, 1.0, 0.0)
    assert ("region_accuracy" in figures) == bool(case.regions.any()), "nothing is measured without a true region map"
    truth = judge(Answering(mask), case, ADDED).lesions
    assert ((truth[View.ANTERIOR] > 0) == mask[0]).all()


def test_a_batch_without_a_view_costs_nothing(make_case):
    case = make_case(1)
    empty = with_labels(Case(np.zeros_like(case.counts), case.lesions, case.regions, case.facts), (False, False))
    batch = image_batch([empty], configured(), 0)
    assert METHODS["chan-vese"]((torch.zeros(2, 2, 64, 32), None), batch, configured())["total"].item() == 0


SHORT = {"steps": 4, "warmup_steps": 1, "checkpoint_every": 2, "log_every": 1, "threads": 1}


def test_a_resumed_run_from_images_is_the_same_bit_for_bit(make_case, tmp_path):
    split = Split([with_labels(make_case(seed), (seed < 2, seed < 2)) for seed in range(4)], [])
    whole, cut = (replace(configured(), runs=str(tmp_path / name), **SHORT) for name in ("whole", "cut"))
    train(whole, split)

    def stop(progress):
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(cut, split, stop)
    train(cut, split)
    one, two = (load_file(config.folder / CHECKPOINT) for config in (whole, cut))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_network_with_a_region_head_says_no_region_that_images_did_not_teach(make_case, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    config = TrainConfig(
        runs=str(tmp_path),
        network_config={"widths": (8, 8), "decoder_widths": (8,)},
        images=ImagesConfig("nowhere"),
        **SHORT,
    )
    split = Split([make_case(seed) for seed in range(2)], [])
    folder = train(config, split)
    assert fit_thresholds(config, split)["balanced"] == Thresholds()
    bundle = export_run(folder, tmp_path / "bundle")
    assert bundle.region == "thorax"
    assert "Nothing was measured." in bundle.card  # there was no patient to measure on
    session = onnxruntime.InferenceSession(bundle.read("model.onnx"), providers=["CPUExecutionProvider"])
    lesion, region = session.run(["lesion", "region"], {"counts": np.ones((1, 2, 64, 32), dtype=np.float32)})
    assert region.shape == lesion.shape
    assert not region.any()
