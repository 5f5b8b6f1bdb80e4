"""The command line: `bonescan VERB ...`.

One verb, one module in `commands/`, each a frozen dataclass that states its arguments and runs them.
argparse, on purpose: it starts quickly and is in the standard library. Nothing heavy is imported
before a verb runs.

Exit codes: 0 all done; 1 some inputs failed, the others are done; 2 nothing could be done; 130 interrupted; 143 ended
by SIGTERM.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import NoReturn

from bonescan._version import __version__
from bonescan.commands import COMMANDS, GROUPS
from bonescan.commands.base import NOTHING_DONE, RESEARCH_USE_ONLY, Command, Console
from bonescan.system.interrupts import Stopped, termination_as_interrupt

INTERRUPTED, SIGNALLED = 130, 128
"""Of a command that Ctrl-C stopped, and what a signal's number is added to (SIGTERM: 143), as shells do."""

_DESCRIPTION = "Find, outline and measure metastasis lesions in whole-body bone scans."


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, like all others."""

    def error(self, message: str) -> NoReturn:
        self.exit(NOTHING_DONE, f"bonescan: {message}; see '{self.prog} --help'.\n")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line, from the commands' own statements."""
    parser = _Parser(prog="bonescan", description=_DESCRIPTION, epilog=RESEARCH_USE_ONLY, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"bonescan {__version__} (research use only)")
    parser.add_argument("--traceback", action="store_true", help="show where in the code an error came from")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    groups: dict[str, argparse._SubParsersAction[_Parser]] = {}
    for words, command in COMMANDS.items():
        group, _, verb = words.rpartition(" ")
        if group and group not in groups:
            folder = _add_parser(verbs, group, GROUPS[group])
            groups[group] = folder.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
            folder.set_defaults(helper=folder)
        _add_command(groups[group] if group else verbs, verb, command)
    return parser


def _add_command(verbs: argparse._SubParsersAction[_Parser], verb: str, command: type[Command]) -> None:
    purpose = (command.__doc__ or "").strip().partition("\n")[0]
    parser = _add_parser(verbs, verb, purpose)
    parser.set_defaults(command=command, helper=parser)
    command.add_arguments(parser)


def _add_parser(verbs: argparse._SubParsersAction[_Parser], name: str, purpose: str) -> _Parser:
    return verbs.add_parser(name, help=purpose, description=purpose, epilog=RESEARCH_USE_ONLY, allow_abbrev=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = build_parser()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        # By the parser of the command, whose own help lists what it takes.
        getattr(arguments, "helper", parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    if not hasattr(arguments, "command"):
        getattr(arguments, "helper", parser).print_help(sys.stderr)
        return NOTHING_DONE
    console = Console(traceback=arguments.traceback)
    try:
        with termination_as_interrupt():
            code = _command(arguments).run(console)
    except KeyboardInterrupt as stopped:
        console.error(str(stopped) or "stopped; what was finished is complete, and nothing is half written.")
        code = SIGNALLED + stopped.number if isinstance(stopped, Stopped) else INTERRUPTED
    except Exception as error:
        console.error(console.explain(error))
        code = NOTHING_DONE
    console.close()
    return code


def _command(arguments: argparse.Namespace) -> Command:
    """The frozen command from argparse's namespace."""
    values = {field.name: getattr(arguments, field.name) for field in fields(arguments.command)}
    command: Command = arguments.command(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    )
    return command
