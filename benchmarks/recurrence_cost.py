"""What each further step of the recurrence costs, as in Table 4: `.venv/bin/python benchmarks/recurrence_cost.py`.

Parameters, multiply-adds and test time against t; written to results/recurrence_cost.json. Times are of one image of
256 x 256 through the network alone, on one thread, weights untrained: they do not depend on what was learned. The
networks take turns, so that whatever else the machine does falls on all of them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from bonescan.lin2022.network import Lin2022Config, build_lin2022
from bonescan.models.cost import network_cost
from common import command_line, write_report

ROOT = Path(__file__).parents[1]
STEPS = range(5)
IMAGE = (256, 256)


def variants() -> dict[str, tuple[Lin2022Config, nn.Module]]:
    """The network of the paper at each t, with shared weights and with weights of their own for each step."""
    built = {}
    for weights in ("shared", "unshared"):
        for steps in STEPS:
            config = Lin2022Config(recurrence=steps, weights=weights)
            torch.manual_seed(0)
            built[f"{weights}, t = {steps}"] = (config, build_lin2022(config).eval())
    return built


@torch.no_grad()
def seconds(network: nn.Module) -> float:
    """Time of one patient, both views as images of their own, divided by two."""
    pair = torch.rand(1, 2, *IMAGE, generator=torch.Generator().manual_seed(0))
    began = time.perf_counter()
    network(pair)
    return (time.perf_counter() - began) / 2


def measure(rounds: int) -> dict[str, Any]:
    """Each network's cost and its median time; all take turns in every round."""
    torch.set_num_threads(1)
    networks = variants()
    times: dict[str, list[float]] = {name: [] for name in networks}
    for number in range(rounds + 1):
        for name, (_, network) in networks.items():
            taken = seconds(network)
            if number:  # the first round warms up
                times[name].append(taken)
    first = median(times["shared, t = 0"])
    rows = []
    for name, (config, network) in networks.items():
        cost = network_cost(network, IMAGE)
        taken = median(times[name])
        rows.append(
            {
                "weights": config.weights,
                "t": config.recurrence,
                "parameters": cost.parameters,
                "multiply_adds_per_image": cost.multiply_adds // 2,
                "seconds_per_image": round(taken, 4),
                "against_t_0": round(taken / first, 2),
            }
        )
    return {
        "research_use_only": True,
        "image": list(IMAGE),
        "threads": 1,
        "rounds": rounds,
        "networks": rows,
    }


def main() -> None:
    """Measure, print a table, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "recurrence_cost.json")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    report = {"command": command_line(parser, arguments), **measure(arguments.rounds)}
    for row in report["networks"]:
        print(
            f"{row['weights']:9} t = {row['t']}: {row['parameters']:8,} parameters, "
            f"{row['multiply_adds_per_image'] / 1e9:5.2f}e9 multiply-adds, {row['seconds_per_image']:.3f} s per image, "
            f"{row['against_t_0']:.2f} times t = 0"
        )
    write_report(arguments.out, report)


if __name__ == "__main__":
    main()
