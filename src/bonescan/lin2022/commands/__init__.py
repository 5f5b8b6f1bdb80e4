"""The commands that the reproduction adds to the command line. Importing them imports nothing heavy."""

from __future__ import annotations

from bonescan.commands.base import Command
from bonescan.lin2022.commands.dataset import Dataset
from bonescan.lin2022.commands.experiment import ExperimentList, ExperimentOwn, ExperimentRun, ExperimentTable
from bonescan.lin2022.commands.gan import GanCheck, GanSample, GanTrain

COMMANDS: dict[str, type[Command]] = {
    "dataset": Dataset,
    "gan train": GanTrain,
    "gan sample": GanSample,
    "gan check": GanCheck,
    "experiment list": ExperimentList,
    "experiment run": ExperimentRun,
    "experiment table": ExperimentTable,
    "experiment own": ExperimentOwn,
}

GROUPS = {
    "gan": "Train a GAN of thoracic images, sample it, and check what it learned.",
    "experiment": "Run the declared experiments, and rebuild their tables and figures.",
}
