"""How large experiments are run: smoke proves the code, cpu gives first answers, full is the paper's size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile changes. patients, images: size of the data set (images of both views, as the paper counts).

    seeds: each is the seed of a training and of its draw of labels. config: keys of `TrainConfig` for all arms.
    networks: fields of a network's own configuration, by the network's name; an arm's own fields come before.
    gan: fields of the GAN's configuration. nnunet: fields of `NnunetOptions`.
    least_share: what a share of labels above 0 is raised to, so that it is a patient at least. purpose: in words.
    """

    purpose: str
    patients: int
    images: int
    seeds: tuple[int, ...]
    config: Mapping[str, Any]
    networks: Mapping[str, Mapping[str, Any]]
    gan: Mapping[str, Any]
    nnunet: Mapping[str, Any]
    least_share: float = 0.0


PROFILES: dict[str, Profile] = {
    "smoke": Profile(
        purpose="all the code in a few minutes; its figures mean nothing",
        patients=6,
        images=24,
        seeds=(1,),
        config={"steps": 2, "warmup_steps": 1, "log_every": 1, "checkpoint_every": 1},
        networks={"lin2022": {"channels": 2, "pool_after": 1}, "plain-unet": {"widths": [2, 4, 8]}},
        gan={
            "steps": 1,
            "batch": 2,
            "discriminator_steps": 1,
            "network": {"generator_width": 2, "discriminator_width": 2},
        },
        nnunet={"epochs": 1, "iterations": 1, "memory_gb": 1.0},
        least_share=0.1,
    ),
    "cpu": Profile(
        purpose="the paper's data, fewer steps, and its network pooled after the first block: hours on two cores",
        patients=56,
        images=2280,
        seeds=(1, 2, 3),
        config={"steps": 500, "warmup_steps": 50, "log_every": 10, "checkpoint_every": 50},
        networks={"lin2022": {"pool_after": 1}},
        gan={"steps": 1000},
        nnunet={"epochs": 4, "iterations": 100, "memory_gb": 1.0},
    ),
    "full": Profile(
        purpose="the paper's data, network and ten repetitions: weeks on two cores",
        patients=56,
        images=2280,
        seeds=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
        config={"steps": 20_000, "warmup_steps": 400},
        networks={"lin2022": {"pool_after": 3}},
        # As configs/gan.toml has it.
        gan={
            "steps": 10_000,
            "batch": 32,
            "ema_decay": 0.999,
            "network": {"latent": 100, "generator_width": 16, "discriminator_width": 16, "most_channels": 256},
        },
        nnunet={"device": "cuda", "workers": 8},
    ),
}
"""Name -> profile."""

SHARED: dict[str, Any] = {
    "method": "chan-vese",
    "network": "lin2022",
    # As configs/paper.toml has it, for the same reasons.
    "learning_rate": 5e-3,
    "clip_norm": 1.0,
    "chan_vese": {"lesion_weight": 5.0},
    # At these few channels bfloat16 is not faster, and test times are of full precision.
    "bf16": False,
    "threads": 1,
    "images": {"set": "D2", "label_share": 0.37, "labelled_pairs": 1, "unlabelled_pairs": 1},
}
"""What all arms of all experiments share unless they say otherwise: the paper's model on D2 with 37 % of the labels."""
