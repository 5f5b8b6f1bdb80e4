"""A data set's images as cases: who is labelled, who validates, what a batch of two streams holds."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bonescan.datasets import DataSet, Origin, PairRecord  # noqa: E402
from bonescan.datasets.index import Split as Side  # noqa: E402
from bonescan.datasets.moves import Move  # noqa: E402
from bonescan.errors import OptionError  # noqa: E402
from bonescan.train import images as subject  # noqa: E402
from bonescan.train.cases import FAINT, Case, union_truth  # noqa: E402
from bonescan.train.config import ImagesConfig, TrainConfig  # noqa: E402
from bonescan.train.methods import METHODS  # noqa: E402
from bonescan.train.stream import image_batch  # noqa: E402

PATIENTS, COPIES, TRAINING = 20, 3, 14


def record(patient, copy, origin=None, views=(True, True)):
    origin = origin or (Origin.GEOMETRIC if copy else Origin.ORIGINAL)
    gan = origin is Origin.GAN
    study = f"{'gan' if gan else f'patient-{patient:02d}'}/study-{copy}"
    split = Side.TRAIN if patient < TRAINING else Side.UNUSED if copy else Side.TEST
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
    assert subject.labelled_patients(dataset, ImagesConfig(label_share=share)) == number


@pytest.mark.parametrize("unit", ["patient", "image"])
def test_a_smaller_share_is_a_part_of_a_larger_one(dataset, unit):
    draws = [labelled(dataset, label_share=share, label_unit=unit) for share in (0.05, 0.2, 0.4, 0.6)]
    assert all(small < large for small, large in pairwise(draws))


def test_another_seed_draws_others(dataset):
    draws = {frozenset(patients(labelled(dataset, label_share=0.3, label_seed=seed))) for seed in range(5)}
    assert len(draws) > 1


def test_by_image_the_same_number_of_labels_spreads_over_more_patients(dataset):
    by_image = subject.draw_labels(dataset, ImagesConfig(label_share=0.3, label_unit="image"))
    assert sum(sum(views) for views in by_image.values()) == round(0.3 * PATIENTS * COPIES * 2)
    assert len(patients(labelled(dataset, label_share=0.3, label_unit="image"))) > 0.3 * PATIENTS


def test_only_training_pairs_are_drawn_and_no_sample_of_a_gan(dataset):
    draw = subject.draw_labels(dataset, ImagesConfig(label_share=1.0))
    assert draw.keys() == {pair.study for pair in dataset.of(Side.TRAIN)}
    assert not any(any(views) for study, views in draw.items() if study.startswith("gan"))


def test_a_split_has_no_test_patient_and_validates_on_originals_of_others(dataset):
    split = subject.image_split(ImagesConfig("nowhere", "D4", label_share=0.5, validation_share=0.3))
    groups = [{case.facts.group for case in part} for part in (split.training, split.validation)]
    assert groups[0].isdisjoint(groups[1])
    test = {f"patient-{pair.patient}" for pair in dataset.of(Side.TEST)}
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
