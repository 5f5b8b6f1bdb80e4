"""One run of the network and of the loss on a small image, before anything is simulated: both may be plug-ins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bonescan.errors import OptionError
from bonescan.models import MODELS, Answer, answer_of
from bonescan.study import LEVELS, REGIONS, Region
from bonescan.system.plugins import described
from bonescan.train.augment.apply import Sample
from bonescan.train.config import TrainConfig
from bonescan.train.export import Deployed
from bonescan.train.loop import beginning_network
from bonescan.train.methods import METHODS
from bonescan.train.stream import Batch, collate

_SMALL = 64
"""Rows and columns of the image; every network takes multiples of 32."""


def try_out(config: TrainConfig) -> None:
    """Build the network, and run it and the method once.

    Raises OptionError for a network that cannot be built or run, and where network or method return what cannot be
    trained or exported; it names the plug-in and what that returned.
    """
    if config.method not in METHODS:
        raise OptionError(f"there is no method {config.method!r} here: choose one of {', '.join(METHODS)}")
    network = beginning_network(config).eval()
    origin = f"the network {MODELS.origin(config.network)}"
    _refuse_untrainable(network, origin)
    batch = _small_batch(config)
    try:
        outputs = network(batch.image)
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise OptionError(f"the network {config.network} cannot run with this network_config: {reason}") from None
    _refuse_outputs(outputs, origin)
    _refuse_undeployable(network, batch, origin)
    method = METHODS[config.method]
    _refuse_parts(method(outputs, batch, config), f"the method {METHODS.origin(config.method)}")
    # A batch may hold labelled scans alone; a loss that reaches no layer that learns would end the training.
    if config.only and (config.cohort.folder or config.images.folder):
        without_levels = method(outputs, replace(batch, level=None), config)
        if not without_levels["total"].requires_grad:
            raise OptionError(
                f"only is {config.only!r}, layers that learn from levels, which labelled scans do not have: leave "
                "cohort.folder and images.folder empty, and set phantoms.anatomies"
            )


def _small_batch(config: TrainConfig) -> Batch:
    """Both views of a patient on whom all is known: a lesion in a vertebra and a benign finding on a warm body."""
    image = np.full((2, _SMALL, _SMALL), 0.5, dtype=np.float32)
    lesions, regions, benign, levels = np.zeros((4, 2, _SMALL, _SMALL), dtype=np.uint8)
    image[:, 20:26, 20:26], lesions[:, 20:26, 20:26] = 3.0, 1
    image[:, 40:46, 40:46], benign[:, 40:46, 40:46] = 3.0, 1
    regions[:, 16:32, 16:32], levels[:, 16:32, 16:32] = REGIONS.index(Region.THORACIC_SPINE), LEVELS.index("T8")
    both = (True, True)
    sample = Sample(image, lesions, regions, both, both, benign, levels, both, both)
    return collate([sample], config.loss)


def _refuse_untrainable(network: nn.Module, origin: str) -> None:
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise OptionError(f"{origin} has no weights to train: correct it")
    stated = getattr(network, "config", None)
    if not is_dataclass(stated) or isinstance(stated, type):
        raise OptionError(
            f"the attribute config of {origin} is {described(stated)}, not the dataclass that it was built from, which "
            "the bundle states: correct it"
        )


def _refuse_outputs(outputs: Any, origin: str) -> None:
    """Refuse what is no answer (`models.views.Answer`) to an image of 1 x 2 x _SMALL x _SMALL."""
    image = (1, 2, _SMALL, _SMALL)
    right = isinstance(outputs, tuple) and 2 <= len(outputs) <= len(Answer._fields)
    if right:
        answer = Answer(*outputs)
        regions, levels = range(1, len(REGIONS) + 1), (len(LEVELS),)
        right = (
            _is_map(answer.lesion, image)
            and (answer.benign is None or _is_map(answer.benign, image))
            and _are_classes(answer.region, regions, 2)
            and _are_classes(answer.level, levels, 2)
            and _are_classes(answer.lesion_region, regions, 4)
            and _are_classes(answer.lesion_level, levels, 4)
        )
    if not right:
        raise OptionError(
            f"{origin} returned {described(outputs)} for an image of {_said(image)}; (lesion, region), and after them "
            f"benign, level, lesion_region and lesion_level where it has them, are expected, with lesion and benign of "
            f"{_said(image)}, region of 1 x 2 x up to {len(REGIONS)} x {_said(image[2:], 2)}, level of 1 x 2 x "
            f"{len(LEVELS)} x {_said(image[2:], 2)}, lesion_region and lesion_level likewise x {_said(image[2:], 4)}, "
            "and None for what it does not know but the lesion: correct it"
        )


def _are_classes(logits: Any, numbers: Iterable[int], pixels: int) -> bool:
    """Whether these are logits of one of these numbers of classes, each of `pixels` x `pixels` pixels; or None."""
    size = (_SMALL // pixels, _SMALL // pixels)
    return logits is None or any(_is_map(logits, (1, 2, classes, *size)) for classes in numbers)


def _is_map(value: Any, shape: tuple[int, ...]) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and tuple(value.shape) == shape


def _said(shape: tuple[int, ...], pixels: int = 1) -> str:
    return " x ".join(str(size // pixels) for size in shape)


def _refuse_undeployable(network: nn.Module, batch: Batch, origin: str) -> None:
    """Refuse a network whose configuration promises other outputs than it has: its graph could not be named."""
    deployed = Deployed(network).eval()
    with torch.no_grad():
        returned, named = len(deployed(batch.image)), deployed.outputs
    if returned != len(named):
        known = answer_of(network(batch.image))
        has = ", ".join(name for name, part in known._asdict().items() if part is not None)
        raise OptionError(
            f"{origin} returned {has}, and its config says {', '.join(named)} (fields benign and levels): correct it"
        )


def _refuse_parts(parts: Any, origin: str) -> None:
    """Refuse what is no loss: single numbers by name, of which "total" is minimised."""
    if not isinstance(parts, Mapping) or "total" not in parts:
        got = f"the keys {', '.join(map(str, parts))}" if isinstance(parts, Mapping) and parts else described(parts)
        raise OptionError(f'{origin} returned {got}, not the parts of a loss by name with a "total": correct it')
    for name, part in parts.items():
        if not isinstance(part, Tensor) or part.numel() != 1:
            raise OptionError(f"{origin} returned {described(part)} as {name!r}, not one number of torch: correct it")
    if not parts["total"].requires_grad:
        raise OptionError(f'{origin} returned a "total" that does not depend on the weights: correct it')
