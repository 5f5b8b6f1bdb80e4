"""The verbs of the command line, one module each; importing them imports nothing heavy."""

from __future__ import annotations

from bonescan.commands.adapt import Adapt
from bonescan.commands.base import Command
from bonescan.commands.compare import Compare
from bonescan.commands.consensus import Consensus
from bonescan.commands.dataset import Dataset
from bonescan.commands.deidentify import Deidentify
from bonescan.commands.doctor import Doctor
from bonescan.commands.evaluate import Evaluate
from bonescan.commands.experiment import ExperimentList, ExperimentRun, ExperimentTable
from bonescan.commands.export import Export
from bonescan.commands.fetch import Fetch
from bonescan.commands.gan import GanCheck, GanSample, GanTrain
from bonescan.commands.import_ import Import
from bonescan.commands.model import ModelAdd, ModelCost, ModelExport, ModelList, ModelShow, ModelUse, ModelVerify
from bonescan.commands.node import NodeCheck, NodeDismiss, NodeRetry, NodeRun, NodeStatus
from bonescan.commands.pictures import Pictures
from bonescan.commands.segment import Segment
from bonescan.commands.simulate import Simulate
from bonescan.commands.table import Table
from bonescan.commands.train import Train

COMMANDS: dict[str, type[Command]] = {
    "segment": Segment,
    "compare": Compare,
    "export": Export,
    "import": Import,
    "table": Table,
    "pictures": Pictures,
    "deidentify": Deidentify,
    "simulate": Simulate,
    "dataset": Dataset,
    "train": Train,
    "adapt": Adapt,
    "evaluate": Evaluate,
    "consensus": Consensus,
    "model list": ModelList,
    "model add": ModelAdd,
    "model use": ModelUse,
    "model show": ModelShow,
    "model verify": ModelVerify,
    "model export": ModelExport,
    "model cost": ModelCost,
    "gan train": GanTrain,
    "gan sample": GanSample,
    "gan check": GanCheck,
    "experiment list": ExperimentList,
    "experiment run": ExperimentRun,
    "experiment table": ExperimentTable,
    "fetch": Fetch,
    "node run": NodeRun,
    "node status": NodeStatus,
    "node retry": NodeRetry,
    "node dismiss": NodeDismiss,
    "node check": NodeCheck,
    "doctor": Doctor,
}
"""Words on the command line -> command, in the order of `--help`."""

GROUPS = {
    "model": "List, keep, choose, show, check and export models, and say what networks cost.",
    "gan": "Train a GAN of thoracic images, sample it, and check what it learned.",
    "node": "Receive studies over DICOM, segment them, send the results.",
    "experiment": "Run the declared experiments, and rebuild their tables and figures.",
}
"""First words that stand before several verbs -> their purpose."""
