"""A data set as nnU-Net reads it: folders of 16-bit PNG pictures, counts as they are. Imports no torch.

    imagesTr/pair-0000-anterior_0000.png    one channel, or two for a pair
    labelsTr/pair-0000-anterior.png         0, then the classes, then what nnU-Net is to ignore
    dataset.json

nnU-Net gives a pixel one class. A pair's two masks therefore become classes that exclude one another: lesion in the
anterior view alone, in the posterior alone, in both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bonescan.lin2022.datasets import LoadedPair
from bonescan.study import Mask, View
from bonescan.system.files import folder_written_whole
from bonescan.train.cases import FAINT, drawn


class NnunetInput(StrEnum):
    """What one picture is. VIEWS: one view. PAIRS: both views of a patient, as two channels."""

    VIEWS = "views"
    PAIRS = "pairs"


_CLASSES: dict[NnunetInput, dict[str, int]] = {
    NnunetInput.VIEWS: {"background": 0, "lesion": 1},
    NnunetInput.PAIRS: {"background": 0, "anterior": 1, "posterior": 2, "both": 3},
}
_CHANNELS: dict[NnunetInput, tuple[str, ...]] = {
    NnunetInput.VIEWS: ("counts",),
    NnunetInput.PAIRS: ("anterior counts", "posterior counts"),
}


@dataclass(frozen=True, slots=True, eq=False)
class RawPicture:
    """One picture of nnU-Net's. name: without channel and suffix. counts: (channels, rows, cols) uint16.

    labels: (rows, cols) uint8; faint lesions carry the number after the last class.
    """

    name: str
    counts: NDArray[np.uint16]
    labels: NDArray[np.uint8]


def pictures_of(number: int, pair: LoadedPair, inputs: NnunetInput) -> Iterator[RawPicture]:
    """The pictures of one pair: of each view, or of both together; none where nothing was counted.

    nnU-Net cuts a picture to where it is not zero, and so cannot take one that is zero everywhere.
    """
    ignored = len(_CLASSES[inputs])
    lesions, faint = drawn(pair.lesions), pair.lesions == FAINT
    if inputs is NnunetInput.PAIRS:
        labels = (lesions[0] + 2 * lesions[1]).astype(np.uint8)
        labels[faint.any(axis=0)] = ignored
        if pair.counts.any():
            yield RawPicture(_name(number), pair.counts, labels)
        return
    for channel, view in enumerate(View):
        if pair.present[channel] and pair.counts[channel].any():
            labels = lesions[channel].astype(np.uint8)
            labels[faint[channel]] = ignored
            yield RawPicture(_name(number, view), pair.counts[channel : channel + 1], labels)


def write_training(folder: Path, pictures: Iterable[RawPicture], inputs: NnunetInput) -> int:
    """Write what nnU-Net trains on, at once or not at all; return how many pictures.

    The class to ignore is stated only where a pixel has it: nnU-Net samples otherwise from then on.
    """
    with folder_written_whole(folder) as partial:
        (partial / "imagesTr").mkdir()
        (partial / "labelsTr").mkdir()
        classes, written, any_ignored = dict(_CLASSES[inputs]), 0, False
        for picture in pictures:
            _write_channels(partial / "imagesTr", picture)
            Image.fromarray(picture.labels).save(partial / "labelsTr" / f"{picture.name}.png")
            any_ignored = any_ignored or bool((picture.labels == len(_CLASSES[inputs])).any())
            written += 1
        if any_ignored:
            classes["ignore"] = len(classes)
        stated = {
            "channel_names": {str(number): name for number, name in enumerate(_CHANNELS[inputs])},
            "labels": classes,
            "numTraining": written,
            "file_ending": ".png",
        }
        (partial / "dataset.json").write_text(json.dumps(stated, indent=2) + "\n", encoding="utf-8")
    return written


def write_test(folder: Path, pictures: Iterable[RawPicture]) -> None:
    """Write the pictures to segment, without labels, at once or not at all."""
    with folder_written_whole(folder) as partial:
        for picture in pictures:
            _write_channels(partial, picture)


def masks_of(number: int, labels: Mapping[str, NDArray[np.uint8]], inputs: NnunetInput, shape: tuple[int, int]) -> Mask:
    """The masks (2, rows, cols) of one pair from the label pictures by name; False where there is no picture."""
    masks = np.zeros((2, *shape), dtype=np.bool_)
    for channel, view in enumerate(View):
        if inputs is NnunetInput.VIEWS and _name(number, view) in labels:
            masks[channel] = labels[_name(number, view)] == 1
        elif inputs is NnunetInput.PAIRS and _name(number) in labels:
            classes = labels[_name(number)]
            masks[channel] = (classes == channel + 1) | (classes == _CLASSES[inputs]["both"])
    return masks


def _name(number: int, view: View | None = None) -> str:
    return f"pair-{number:04d}" if view is None else f"pair-{number:04d}-{view}"


def _write_channels(folder: Path, picture: RawPicture) -> None:
    for channel, counts in enumerate(picture.counts):
        Image.fromarray(np.ascontiguousarray(counts)).save(folder / f"{picture.name}_{channel:04d}.png")
