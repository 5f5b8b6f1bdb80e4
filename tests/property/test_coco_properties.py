"""COCO files give back what was drawn, as polygons and as run lengths."""

from __future__ import annotations

import json

import numpy as np
from tests.drawn import random_masks, result_of, scan_of

from bonescan.annotate.coco import write_coco
from bonescan.dicom.write_nm import Header
from bonescan.sandbox import drawn_masks
from bonescan.study import View

MASKS = 1000


def compressed(mask):
    """COCO's run lengths as text, from the format's description: column by column, five bits a letter."""
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    runs = np.diff([0, *changes, flat.size]).tolist()
    runs = runs if not flat[0] else [0, *runs]
    letters = []
    for place, run in enumerate(runs):
        value = run - runs[place - 2] if place > 2 else run
        while True:
            digit, value = value & 0x1F, value >> 5
            more = value != (-1 if digit & 0x10 else 0)
            letters.append(chr((digit | 0x20 if more else digit) + 48))
            if not more:
                break
    return "".join(letters), runs


def changed_pixels(path, drawn):
    """How many pixels the file gives back otherwise than they were drawn."""
    changed = 0
    for one, mask in zip(drawn_masks(path, drawn[0].shape), drawn, strict=True):
        framed = np.zeros_like(mask)
        (row, col), (rows, cols) = one.origin, one.mask.shape
        framed[row : row + rows, col : col + cols] = one.mask
        changed += int((framed != mask).sum())
    return changed


def test_a_thousand_masks_come_back_as_polygons_and_as_run_lengths(tmp_path):
    rng = np.random.default_rng(3)
    study, _ = scan_of(rng, tmp_path, Header(), None)
    generator = random_masks(rng, study.shape)
    changed = 0
    for _ in range(10):
        masks = {view: [next(generator) for _ in range(MASKS // 20)] for view in View}
        drawn = [mask for view in View for mask in masks[view]]
        write_coco(result_of(study, masks), tmp_path / "coco.json")
        document = json.loads((tmp_path / "coco.json").read_text())
        changed += changed_pixels(tmp_path / "coco.json", drawn)
        for number, (annotation, mask) in enumerate(zip(document["annotations"], drawn, strict=True)):
            text, runs = compressed(mask)
            annotation["segmentation"] = {"size": list(mask.shape), "counts": text if number % 2 else runs}
        (tmp_path / "coco.json").write_text(json.dumps(document))
        changed += changed_pixels(tmp_path / "coco.json", drawn)
    assert changed == 0
