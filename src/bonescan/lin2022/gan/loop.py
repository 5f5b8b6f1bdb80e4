"""The GAN's training loop.

Eq. 9: min over G, max over D of E[log D(x)] + E[log(1 - D(G(z)))], k steps of D for each of G. The generator maximises
log D(G(z)) instead of minimising log(1 - D(G(z))): the fixed point is the same, and the gradient does not vanish in the
first steps (Goodfellow et al. 2014, section 3). Everything random follows from (seed, step, turn), and the checkpoint
holds the whole state. So an interrupted run ends with the same bits as an uninterrupted one.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from bonescan.errors import OptionError, OutputError
from bonescan.lin2022.gan.config import MAY_CHANGE, GanConfig
from bonescan.lin2022.gan.dcgan import Dcgan, build_dcgan
from bonescan.lin2022.gan.images import GanImages, noise_of
from bonescan.prepare import mirror
from bonescan.study import FloatImage
from bonescan.system.files import written_whole
from bonescan.system.interrupts import Stopped, deferred_stop, going_on
from bonescan.train.checkpoint import Ema, TrainState, load_checkpoint, save_checkpoint
from bonescan.train.progress import Progress, Report, silent

CHECKPOINT = "checkpoint.safetensors"
GENERATOR = "generator.safetensors"
CONFIG = "config.json"
SOURCE = "source.json"

_REAL, _FAKE, _GENERATOR = 1, 2, 3


@dataclass(frozen=True, slots=True)
class GanLosses:
    """One step's figures: both losses, and the discriminator's mean probability of "real" for real and for drawn."""

    discriminator: float
    generator: float
    real: float
    drawn: float


def train_gan(config: GanConfig, images: GanImages, folder: Path, report: Report = silent) -> Path:
    """Train, or continue the run in `folder`; return the folder.

    It then holds the averaged generator (generator.safetensors), what made it (config.json), what sampling needs of the
    training images (source.json), the checkpoint and log.jsonl. Raises OptionError when a run was started there with
    another configuration or other images, or the images are not of the configured size, and OutputError where nothing
    can be written.
    """
    torch.set_num_threads(config.threads)
    _check_size(config, images)
    try:
        _open_run(config, images, folder)
        return _train(config, images, folder, report)
    except OSError as error:
        raise OutputError(
            f"the run cannot be written to {folder} ({error.strerror}): free space there or choose another folder"
        ) from error


def _train(config: GanConfig, images: GanImages, folder: Path, report: Report) -> Path:
    """The steps that the run in `folder` lacks."""
    state = start_gan(config)
    checkpoint = folder / CHECKPOINT
    first = load_checkpoint(checkpoint, state) if checkpoint.exists() else 0
    began = time.monotonic()
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log, deferred_stop() as asked:
        for step in range(first, config.steps):
            losses = gan_step(config, state, images, step)
            done = step + 1
            seconds = time.monotonic() - began
            stopped = asked()
            last = done == config.steps or 0 < config.max_minutes * 60 <= seconds or stopped > 0
            if done % config.log_every == 0 or last:
                figures = asdict(losses)
                left = seconds / (done - first) * (config.steps - done)
                report(Progress("gan", done, config.steps, left, figures))
                log.write(json.dumps({"step": done, "seconds": round(seconds, 1), **figures}) + "\n")
                log.flush()
            if done % config.checkpoint_every == 0 or last:
                save_checkpoint(checkpoint, state, done)
                _save_generator(folder / GENERATOR, state)
            if stopped:
                raise Stopped(going_on(done, config.steps), stopped)
            if last:
                break
    return folder


def start_gan(config: GanConfig) -> TrainState:
    """Fresh networks, the generator's average, and one optimiser of both networks.

    AdamW without decay is Adam. It skips parameters without a gradient, so one optimiser can step either network alone,
    and a checkpoint has the format of any other training.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        gan = build_dcgan(config.network)
    optimiser = torch.optim.AdamW(
        gan.parameters(), lr=config.learning_rate, betas=(config.betas[0], config.betas[1]), weight_decay=0.0
    )
    return TrainState(gan, Ema(gan.generator, config.ema_decay), optimiser)


def gan_step(config: GanConfig, state: TrainState, images: GanImages, step: int) -> GanLosses:
    """k steps of the discriminator, one of the generator, one of its average."""
    gan = state.network
    assert isinstance(gan, Dcgan)
    gan.train()
    for turn in range(config.discriminator_steps):
        real, views = real_batch(config, images, np.random.default_rng([config.seed, _REAL, step, turn]))
        rng = np.random.default_rng([config.seed, _FAKE, step, turn])
        with torch.no_grad():
            fake, fake_views = _drawn_batch(config, gan, images, rng)
        # Each batch is all real or all drawn, so that batch norm sees one kind at a time.
        said_real, said_fake = gan.discriminator(real, views), gan.discriminator(fake, fake_views)
        loss = _entropy(said_real, config.real_target) + _entropy(said_fake, 0.0)
        _descend(state, loss)
    gan.discriminator.requires_grad_(False)
    fake, fake_views = _drawn_batch(config, gan, images, np.random.default_rng([config.seed, _GENERATOR, step]))
    generator_loss = _entropy(gan.discriminator(fake, fake_views), 1.0)
    _descend(state, generator_loss)
    gan.discriminator.requires_grad_(True)
    state.ema.update(gan.generator, step)
    probabilities = [float(torch.sigmoid(said.detach()).mean()) for said in (said_real, said_fake)]
    return GanLosses(float(loss.detach()), float(generator_loss.detach()), *probabilities)


def real_batch(config: GanConfig, images: GanImages, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Real images (N, 1, size, size), flipped and shifted as drawn, and their views (N,)."""
    chosen = rng.integers(len(images), size=config.batch)
    flips = rng.random(config.batch) < config.flip
    shifts = rng.integers(-config.shift_px, config.shift_px + 1, size=(config.batch, 2))
    moved = [
        _moved(mirror(images.images[index]) if flip else images.images[index], shift)
        for index, flip, shift in zip(chosen.tolist(), flips.tolist(), shifts.tolist(), strict=True)
    ]
    return torch.from_numpy(np.stack(moved)[:, None]), torch.from_numpy(images.views[chosen])


def _moved(image: FloatImage, shift: list[int]) -> FloatImage:
    """Shift by whole pixels, which keeps the noise; the pixels that come in are mirrored at the edge."""
    margin = max(map(abs, shift))
    rows, cols = image.shape
    padded = np.pad(image, margin, mode="symmetric")
    top, left = margin - shift[0], margin - shift[1]
    return padded[top : top + rows, left : left + cols]


def _drawn_batch(config: GanConfig, gan: Dcgan, images: GanImages, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Samples as a camera would have counted them (N, 1, size, size), and their views (N,)."""
    like = rng.integers(len(images), size=config.batch)
    latent = torch.from_numpy(rng.standard_normal((config.batch, config.network.latent), dtype=np.float32))
    views = torch.from_numpy(images.views[like])
    expected = gan.generator(latent, views)
    drawn: NDArray[np.float32] = expected.detach()[:, 0].numpy()
    noise = noise_of(drawn, images.references[like], config.normalisation, rng)
    return expected + torch.from_numpy(noise[:, None]), views


def _entropy(logits: Tensor, target: float) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def _descend(state: TrainState, loss: Tensor) -> None:
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimiser.step()


def _check_size(config: GanConfig, images: GanImages) -> None:
    size = config.network.size
    if images.images.shape[1:] != (size, size):
        rows, cols = images.images.shape[1:]
        raise OptionError(f"the images have {rows} x {cols} pixels and network.size is {size}: make them agree")


def _open_run(config: GanConfig, images: GanImages, folder: Path) -> None:
    """Make the folder, or check that the run that is there was started with this configuration and these images."""
    source = {
        "images_sha256": images.digest,
        "patients": len(set(images.patients)),
        "references": images.references.tolist(),
        "views": images.views.tolist(),
        "spacings_mm": [None if spacing is None else list(spacing) for spacing in images.spacings_mm],
    }
    folder.mkdir(parents=True, exist_ok=True)
    stated = {folder / CONFIG: config.to_dict(), folder / SOURCE: source}
    for path, values in stated.items():
        if path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))
            changed = sorted(key for key in values.keys() | before.keys() if values.get(key) != before.get(key))
            changed = [key for key in changed if key not in MAY_CHANGE]
            if changed:
                raise OptionError(
                    f"the run in {folder} was started with another {changed[0]}: choose another folder, or remove it"
                )
    for path, values in stated.items():
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _save_generator(path: Path, state: TrainState) -> None:
    """Write the averaged generator, which samples are drawn from, atomically."""
    weights = {
        name: value.detach().clone(memory_format=torch.contiguous_format)
        for name, value in state.ema.network.state_dict().items()
    }
    with written_whole(path) as temporary:
        save_file(weights, temporary, metadata={"format": "bonescan-generator-1"})
