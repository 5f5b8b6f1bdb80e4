"""A tiny model to adapt, which takes a while to write, and how quickly it learns."""

from __future__ import annotations

import pytest

from bonescan.adapt.settings import AdaptConfig
from bonescan.bundle import write_bundle
from bonescan.lesions.delineate import Thresholds
from bonescan.prepare import Normalisation

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


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A bundle of the first format: 17 regions, no benign uptake, no levels, all of it unstated."""
    import torch
    from safetensors.torch import save

    from bonescan.models import UNetConfig, build_unet
    from bonescan.train.export import to_onnx

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
