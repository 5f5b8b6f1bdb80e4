"""Run one step of nnU-Net by its own package: a program for nnU-Net's environment, which bonescan never imports.

    .venv-nnunet/bin/python -I nnunet_program.py check
    .venv-nnunet/bin/python -I nnunet_program.py plan|train|predict order.json

`nnunet.py` writes the order and starts the steps. Each leaves one JSON file in the order's folder when it is done, and
says what a user wants to know in lines that begin with "bonescan: ". What is learned, and from what, is nnU-Net's own:
its planner, trainer and predictor are called as they are, with fewer epochs or iterations where the order says so.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

DATASET_ID = 1
DATASET = "Dataset001_bonescan"
CONFIGURATION, FOLD, PLANS = "2d", "all", "nnUNetPlans"
SAID = "bonescan: "

Order = dict[str, Any]


def supply_torchvision() -> None:
    """Let torchvision load without its compiled library, of which nnU-Net uses nothing.

    The wheel on PyPI is built for CUDA: beside a CPU build of torch its library does not load, and the import fails
    where it describes two operators of that library. Declaring them is all that the import asks for.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        importlib.import_module("torchvision")


# At import, as nnU-Net's worker processes begin by importing this file.
supply_torchvision()


def check() -> None:
    """Say which versions there are; fail where nnU-Net cannot be loaded."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # type: ignore[import-not-found]
    from nnunetv2.run.run_training import get_trainer_from_args  # type: ignore[import-not-found]

    assert nnUNetPredictor and get_trainer_from_args
    say(f"nnU-Net {version('nnunetv2')} with torch {torch.__version__}, CUDA: {torch.cuda.is_available()}")


def plan(order: Order) -> dict[str, Any]:
    """Fingerprint, plan and preprocess the training images; return what was planned."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api  # type: ignore[import-not-found]

    api.extract_fingerprints([DATASET_ID], num_processes=1, check_dataset_integrity=True)
    api.plan_experiments([DATASET_ID], gpu_memory_target_in_gb=order["memory_gb"])
    api.preprocess([DATASET_ID], configurations=(CONFIGURATION,), num_processes=(1,))
    plans = json.loads((Path(order["preprocessed"]) / DATASET / f"{PLANS}.json").read_text())
    planned = plans["configurations"][CONFIGURATION]
    return {"version": version("nnunetv2"), "batch": planned["batch_size"], "patch": planned["patch_size"]}


def train(order: Order) -> dict[str, Any]:
    """Train on all images, or go on with the last finished epoch; return parameters and seconds."""
    from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint

    seed(order["seed"])
    trainer = get_trainer_from_args(DATASET, CONFIGURATION, FOLD, device=torch.device(order["device"]))
    trainer.num_epochs = order["epochs"]
    trainer.num_iterations_per_epoch = order["iterations"]
    # nnU-Net's own proportion. Here this only draws curves and chooses a checkpoint that is not used.
    trainer.num_val_iterations_per_epoch = max(1, order["iterations"] // 5)
    trainer.save_every = max(1, order["epochs"] // 20)
    trainer.save_checkpoint = at_once(trainer.save_checkpoint)
    trainer.on_epoch_end = and_then(trainer.on_epoch_end, lambda: say_epoch(trainer))
    maybe_load_checkpoint(trainer, True, False)
    if trainer.current_epoch < trainer.num_epochs:
        trainer.run_training()
    starts, ends = (trainer.logger.get_value(f"epoch_{edge}_timestamps", None) for edge in ("start", "end"))
    return {
        "parameters": sum(weight.numel() for weight in trainer.network.parameters()),
        "seconds": sum(end - start for start, end in zip(starts, ends, strict=True)),
    }


def predict(order: Order) -> dict[str, Any]:
    """Segment the test images one by one; write their label pictures, return the median seconds of one."""
    from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO  # type: ignore[import-not-found]
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    device = torch.device(order["device"])
    predictor = nnUNetPredictor(device=device, perform_everything_on_device=device.type == "cuda", allow_tqdm=False)
    trained = Path(order["results"]) / DATASET / f"nnUNetTrainer__{PLANS}__{CONFIGURATION}"
    predictor.initialize_from_trained_model_folder(str(trained), (FOLD,), "checkpoint_final.pth")
    out = Path(order["predicted"])
    out.mkdir(exist_ok=True)
    reader, seconds = NaturalImage2DIO(), []
    first = sorted(Path(order["images"]).glob("*_0000.png"))
    for done, path in enumerate(first, 1):
        channels = sorted(str(channel) for channel in path.parent.glob(f"{path.stem[:-5]}_*.png"))
        image, properties = reader.read_images(channels)
        start = time.perf_counter()
        labels = predictor.predict_single_npy_array(image, properties)
        seconds.append(time.perf_counter() - start)
        np.save(out / f"{path.stem[:-5]}.npy", np.asarray(labels[0], dtype=np.uint8))
        say(f"predicted {done} of {len(first)} images")
    return {"seconds_per_image": statistics.median(seconds) if seconds else 0.0}


def seed(number: int) -> None:
    """Seed every generator that nnU-Net draws from; it seeds none itself."""
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - nnU-Net's augmentation draws from the global one
    torch.manual_seed(number)


def at_once(save: Callable[[str], None]) -> Callable[[str], None]:
    """Write a checkpoint whole or not at all, so that a cut training can go on."""

    def saved(path: str) -> None:
        save(f"{path}.partial")
        Path(f"{path}.partial").replace(path)

    return saved


def and_then(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    """Call one function after another."""

    def both() -> None:
        first()
        second()

    return both


def say_epoch(trainer: Any) -> None:
    """Say how far the training is."""
    loss = trainer.logger.get_value("train_losses", -1)
    say(f"trained {trainer.current_epoch} of {trainer.num_epochs} epochs, loss {loss:.3f}")


def say(line: str) -> None:
    """One line for the user."""
    print(SAID + line, flush=True)  # noqa: T201 - a program's output is how it reports


def end_with_the_parent() -> None:
    """End when the standard input is closed: whoever started this is gone, and may start it again."""

    def wait() -> None:
        # Unbuffered: a buffer's lock that this thread holds would end Python's shutdown with an error.
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main(arguments: list[str]) -> None:
    """Run the step that the command line names."""
    if arguments == ["check"]:
        check()
        return
    name, file = arguments
    step = {"plan": plan, "train": train, "predict": predict}[name]
    order = json.loads(Path(file).read_text(encoding="utf-8"))
    end_with_the_parent()
    torch.set_num_threads(order["threads"])
    made = step(order)
    left = Path(file).with_name(f"{name}.json")
    partial = left.with_name(f".{left.name}.partial")
    partial.write_text(json.dumps(made) + "\n", encoding="utf-8")
    partial.replace(left)


if __name__ == "__main__":
    main(sys.argv[1:])
