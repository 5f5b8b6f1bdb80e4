"""The model that ships: its size, its two forms of weights, and that it finds lesions and leaves the rest alone."""

from __future__ import annotations

import numpy as np
import pytest

from bonescan.bundle import SHIPPED, list_bundles
from bonescan.evaluate import ImageName, ViewTruth, compare_image, summarise
from bonescan.pipeline import load_model, segment
from bonescan.prepare import PrepareOptions, prepare
from bonescan.prepare.aggregate import window_in_view

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def phantoms(patient_of):
    """Ten patients of two bodies, which no training and no benchmark uses."""
    return [patient_of(body, seed) for body in range(2) for seed in range(5)]


def test_its_weights_in_torch_say_what_its_graph_says(model, phantoms):
    torch = pytest.importorskip("torch")
    from bonescan.models import answer_of, from_bundle, maps_of

    network = from_bundle(model.bundle)
    assert sum(parameter.numel() for parameter in network.parameters()) <= 2_000_000
    counts = prepare(phantoms[0].study, normalisation=model.bundle.normalisation).network_input
    with torch.no_grad():
        expected = maps_of(answer_of(network(torch.from_numpy(counts.copy())[None])))
    maps = model.predictor.predict_maps(counts)
    for name in ("lesion", "benign"):
        assert np.abs(getattr(expected, name)[0].numpy() - getattr(maps, name)).max() <= 1e-4
    for name in ("region", "level"):
        assert (getattr(expected, name)[0].numpy() == getattr(maps, name)).mean() > 0.9999


def test_it_finds_lesions_and_leaves_most_else_alone(model, phantoms):
    # Far below what benchmarks/quality.py measures: this fails when something is broken, not when it drifts.
    images = []
    for phantom in phantoms:
        result = segment(phantom.study, model)
        for view, lesions in phantom.lesions.items():
            truth = ViewTruth(lesions, phantom.regions[view], phantom.faint[view])
            name = ImageName(phantom.key, phantom.key, view)
            images.append(compare_image(name, result.labels(view), truth))
    report = summarise(images)
    assert report["lesion"]["sensitivity"]["value"] > 0.55
    assert report["lesion"]["false_positives_per_scan"]["value"] < 2
    assert report["pixel"]["dsc_pooled"]["value"] > 0.5


def test_its_map_names_the_bones_that_lesions_lie_in(model, phantoms):
    right = []
    for phantom in phantoms:
        prediction = model.predictor.predict(prepare(phantom.study, None, model.bundle.normalisation))
        for view, lesions in phantom.lesions.items():
            found = (lesions > 0) & (prediction.lesion[view] > 0.5)
            right.append((prediction.region[view] == phantom.regions[view])[found])
    # The layers for the bones of lesions name 0.93 of these pixels, the map of what mainly shows 0.62.
    assert np.concatenate(right).mean() > 0.8


def test_all_models_that_ship_are_small_together():
    sizes = [path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()]
    assert list_bundles() == ("paper", "phantom-unet")
    assert sum(sizes) <= 16 * MEGABYTE


@pytest.fixture(scope="module")
def paper():
    return load_model("paper")


def test_the_published_model_knows_the_thorax_and_learned_by_the_published_loss(paper):
    learned = paper.bundle.raw["training"]
    assert paper.bundle.region == "thorax"
    assert (learned["config"]["network"], learned["config"]["method"]) == ("lin2022", "chan-vese")
    assert learned["config"]["images"]["label_share"] == 0.37
    assert len(learned["sources"]["dataset"]) == 64


def test_the_published_models_weights_in_torch_say_what_its_graph_says(paper, phantoms):
    torch = pytest.importorskip("torch")
    from bonescan.models import answer_of, from_bundle

    image = prepare(phantoms[0].study, PrepareOptions("thorax"), paper.bundle.normalisation).network_input
    with torch.no_grad():
        logits = answer_of(from_bundle(paper.bundle)(torch.from_numpy(image.copy())[None])).lesion
    maps = paper.predictor.predict_maps(image)
    probability, regions = maps.lesion, maps.region
    np.testing.assert_allclose(probability, torch.sigmoid(logits)[0].numpy(), atol=1e-4)
    assert not regions.any()


def test_the_published_model_finds_lesions_of_the_thorax(paper, phantoms):
    images = []
    for phantom in phantoms:
        result = segment(phantom.study, paper)
        rows, cols = result.window
        for view in phantom.study.scans:
            inside = window_in_view((rows, cols), phantom.study.shape[1], view)
            truth = ViewTruth(phantom.lesions[view][inside], phantom.regions[view][inside], phantom.faint[view][inside])
            name = ImageName(phantom.key, phantom.key, view)
            images.append(compare_image(name, result.labels(view)[inside], truth))
    report = summarise(images)
    # Low on purpose, as above: it fails when something is broken.
    assert report["lesion"]["sensitivity"]["value"] > 0.2
