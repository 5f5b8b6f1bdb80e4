"""Probability and region maps from a bundle's graph, by ONNX Runtime, which nothing else here knows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bonescan.bundle import GRAPH, Bundle
from bonescan.errors import BundleError
from bonescan.prediction import Prediction
from bonescan.prepare import Prepared
from bonescan.prepare.aggregate import Dtype
from bonescan.study import LEVELS, REGIONS, FloatImage, View

MOST_THREADS = 8
"""More threads than this gain nothing on one scan."""

OUTPUTS = {
    "lesion": "tensor(float)",
    "region": "tensor(uint8)",
    "benign": "tensor(float)",
    "level": "tensor(uint8)",
}
"""What a graph may return, by name, and of which type."""
_ALWAYS = ("lesion", "region")
_LIMITS = {"region": len(REGIONS), "level": len(LEVELS)}

_ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True, eq=False)
class NetworkMaps:
    """What a graph returns of one pair of views, each (2, H, W): see `Prediction`."""

    lesion: FloatImage
    region: NDArray[np.uint8]
    benign: FloatImage | None = None
    level: NDArray[np.uint8] | None = None


class Predictor:
    """Runs one bundle's network. Load once, use for many studies."""

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        """Load the graph. threads: None = as many as this process may use.

        Raises BundleError when the graph cannot be loaded or is not of the stated inputs and outputs.
        """
        self._name = bundle.name
        self._session = _open_session(bundle, threads or _usable_cores())
        inputs = [(value.name, value.type) for value in self._session.get_inputs()]
        outputs = {value.name: value.type for value in self._session.get_outputs()}
        known = all(OUTPUTS.get(name) == kind for name, kind in outputs.items())
        if inputs != [("counts", "tensor(float)")] or not known or not outputs.keys() >= set(_ALWAYS):
            raise BundleError(f"the graph of {bundle.name} does not map counts to lesion and region: export it again")
        self._outputs = [name for name in OUTPUTS if name in outputs]

    def predict(self, prepared: Prepared) -> Prediction:
        """The maps of one study in its own frames; 0 in the air above and below the body, where no network runs."""
        maps = self.predict_maps(prepared.network_input[:, prepared.rows])

        def in_frames(image: NDArray[Dtype]) -> dict[View, NDArray[Dtype]]:
            whole = np.zeros(prepared.network_input.shape, dtype=image.dtype)
            whole[:, prepared.rows] = image
            return prepared.to_frames(whole)

        return Prediction(
            lesion=in_frames(maps.lesion),
            region=in_frames(maps.region),
            benign=None if maps.benign is None else in_frames(maps.benign),
            level=None if maps.level is None else in_frames(maps.level),
        )

    def predict_maps(self, counts: FloatImage) -> NetworkMaps:
        """All maps that the graph has, each (2, H, W), of normalised counts of that shape.

        H and W are multiples of 32. Raises BundleError when the network returns nonsense.
        """
        try:
            results = self._session.run(self._outputs, {"counts": counts[None]})
        except Exception as error:  # ONNX Runtime's own exceptions share no base but this
            reason = str(error).splitlines()[0]
            raise BundleError(f"the model {self._name} failed on counts of shape {counts.shape}: {reason}") from None
        maps = {name: result[0] for name, result in zip(self._outputs, results, strict=True)}
        if any(image.shape != counts.shape for image in maps.values()):
            raise BundleError(f"the model {self._name} returns maps of another shape than its input: use another model")
        for name, image in maps.items():
            # NaN fails this comparison, too.
            if not (image.min() >= 0 and image.max() <= _LIMITS.get(name, 2) - 1):
                raise BundleError(f"the model {self._name} returns values out of range: use another model")
        return NetworkMaps(**maps)


def _open_session(bundle: Bundle, threads: int) -> Any:
    import onnxruntime  # a tenth of a second, which no other command should pay

    onnxruntime.disable_telemetry_events()  # too late by itself: `bonescan/__init__.py` says it before the import
    onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(bundle.read(GRAPH), options, providers=["CPUExecutionProvider"])
    except BundleError:
        raise
    except Exception as error:  # as above
        reason = str(error).splitlines()[0]
        raise BundleError(f"the graph of {bundle.name} cannot be loaded ({reason}): export it again") from None


def _usable_cores() -> int:
    """Cores that this process may use; hyperthreads count, as nothing portable tells them apart."""
    return max(1, min(MOST_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1))
