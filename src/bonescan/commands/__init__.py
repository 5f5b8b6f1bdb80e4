"""The commands of the command line, one module each. Importing them imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping

from bonescan.commands.adapt import Adapt
from bonescan.commands.base import Command
from bonescan.commands.compare import Compare
from bonescan.commands.consensus import Consensus
from bonescan.commands.deidentify import Deidentify
from bonescan.commands.doctor import Doctor
from bonescan.commands.evaluate import Evaluate
from bonescan.commands.export import Export
from bonescan.commands.fetch import Fetch
from bonescan.commands.import_ import Import
from bonescan.commands.model import ModelAdd, ModelCost, ModelExport, ModelList, ModelShow, ModelUse, ModelVerify
from bonescan.commands.node import NodeCheck, NodeDismiss, NodeRetry, NodeRun, NodeStatus
from bonescan.commands.pictures import Pictures
from bonescan.commands.segment import Segment
from bonescan.commands.simulate import Simulate
from bonescan.commands.table import Table
from bonescan.commands.train import Train
from bonescan.system.plugins import Registry

_OWN: dict[str, type[Command]] = {
    "segment": Segment,
    "compare": Compare,
    "export": Export,
    "import": Import,
    "table": Table,
    "pictures": Pictures,
    "deidentify": Deidentify,
    "simulate": Simulate,
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
    "fetch": Fetch,
    "node run": NodeRun,
    "node status": NodeStatus,
    "node retry": NodeRetry,
    "node dismiss": NodeDismiss,
    "node check": NodeCheck,
    "doctor": Doctor,
}

_GROUPS = {
    "model": "List, keep, choose, show, check and export models, and say what networks cost.",
    "node": "Receive studies over DICOM, segment them, send the results.",
}

_PLUGGED = Registry[Mapping[str, type[Command]]]("bonescan.commands")
_PLUGGED_GROUPS = Registry[Mapping[str, str]]("bonescan.command_groups")

COMMANDS = {**_OWN, **{words: command for added in _PLUGGED.values() for words, command in added.items()}}
"""Words on the command line -> command, in the order of `--help`."""

GROUPS = {**_GROUPS, **{word: purpose for added in _PLUGGED_GROUPS.values() for word, purpose in added.items()}}
"""First words that several commands share -> their purpose."""
