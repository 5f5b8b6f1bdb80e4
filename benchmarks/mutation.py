"""Mutation score: the share of small faults put into a module that its tests notice.

    python benchmarks/mutation.py --module dicom.views
    python benchmarks/mutation.py --json results/mutation.json

A mutant is the module with one change: another comparison, arithmetic or Boolean operator, a constant plus one, an
empty string, a `not`, minus or statement left out, None returned, or min for max and any for all. Messages of errors,
annotations, decorators, docstrings, and the arguments `strict` and `copy` are not mutated. The score is killed /
(killed + survived); equivalent mutants, which give the same results as the module, are left out and listed with the
reason.

The standard `ast` module makes the mutants: mutmut 3 changes the bodies of functions only, and module-level tables and
the defaults of dataclasses hold many of the constants here; cosmic-ray starts pytest anew for each mutant. Here pytest
imports and collects once. Each mutant is a forked child, in which the code of the changed functions is replaced in
memory; nothing is written to src. It runs the tests that call the changed function, the fastest first, up to the first
failure; hypothesis draws 20 examples. A child past its limit of processor time counts as killed. About 8 minutes on one
core; needs a system with fork.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import json
import os
import re
import resource
import sys
import time
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a forked child has only one thread

import pytest

ROOT = Path(__file__).resolve().parents[1]
JUDGES = {
    "lesions.delineate": [
        *("tests/unit/test_delineate.py", "tests/unit/test_delineate_split.py"),
        "tests/unit/test_delineate_candidates.py",
    ],
    "lesions.measure": ["tests/unit/test_measure.py"],
    "dicom.views": ["tests/unit/test_views.py"],
    "prepare.normalise": ["tests/unit/test_prepare.py", "tests/property/test_prepare_properties.py"],
    "lin2022.chan_vese": [
        *("tests/lin2022/test_chan_vese.py", "tests/lin2022/test_train_images.py"),
        *("-k", "not descending and not minimiser or minimiser and [0]"),
    ],
}
"""The tests that judge each module of bonescan, without the slow ones, of which one seed is enough."""
NEVER_SPLIT = "a shortcut: flooding such a piece does not split it either"
WIDE = "the Gaussian ends within the narrower margin"
LAST_BIT = "differs only where a computed error equals its limit to the last bit"
NUMBERS = "basins are only told apart and ordered by their numbers"
EQUIVALENT: dict[str, dict[str, str]] = {
    "lesions.delineate": {
        "_lesion_masks: component.sum() < thresholds.min_area_px or not sure.any() -> "
        "component.sum() < thresholds.min_area_px and (not sure.any())": "_without_holes asks both again",
        "_split: thresholds.split_prominence >= 1.0 or component.sum() < 2 * thresholds.min_area_px -> "
        "thresholds.split_prominence >= 1.0 and component.sum() < 2 * thresholds.min_area_px": NEVER_SPLIT,
        "_split: thresholds.split_prominence >= 1.0 -> thresholds.split_prominence > 1.0": NEVER_SPLIT,
        "_split: thresholds.split_prominence >= 1.0 -> thresholds.split_prominence >= 2.0": NEVER_SPLIT,
        "_split: component.sum() < 2 * thresholds.min_area_px -> "
        "component.sum() <= 2 * thresholds.min_area_px": NEVER_SPLIT,
        "_split: 2 * thresholds.min_area_px -> 2 / thresholds.min_area_px": NEVER_SPLIT,
        "_split: 1 + round(4 * thresholds.split_smoothing_px) -> 2 + round(4 * thresholds.split_smoothing_px)": WIDE,
        "_split: 4 * thresholds.split_smoothing_px -> 5 * thresholds.split_smoothing_px": WIDE,
        "_flood: component.shape[0] + 2 -> component.shape[0] + 3": "adds a row below that holds nothing",
        "_flood: peaks = 0 -> peaks = 1": NUMBERS,
        "_flood: peaks += 1 -> peaks += 2": NUMBERS,
        "_flood: here + step -> here - step": "the eight steps are symmetric",
        "_flood: (there := rank[here + step]) < number -> (there := rank[here + step]) <= number": "no step is 0",
        "_flood: -1 -> -2": "numpy takes any negative length as the unknown one",
    },
    "lesions.measure": {
        "_follow: np.zeros(2) -> np.zeros(3)": "the first round overwrites it",
        "_follow: error <= max(2.0 * float(np.median(error)), 1.0) -> "
        "error < max(2.0 * float(np.median(error)), 1.0)": LAST_BIT,
        "_side: offset < 0 -> offset <= 0": "an offset of 0 is within the midline band",
        "_side: offset < 0 -> offset < 1": "in pixels of up to 10 mm, an offset from 0 to 1 is within the midline band",
    },
    "dicom.views": {
        "view_in_text: '' -> 'X'": "neither is a word of time",
        "_from_code: _SCHEMES.get(text(code, 'CodingSchemeDesignator').upper(), '') -> "
        "_SCHEMES.get(text(code, 'CodingSchemeDesignator').upper(), 'X')": "no coding scheme has either name",
        "view_of_orientation: row[0] > 0 -> row[0] >= 0": "its size is at least 0.7",
        "view_of_orientation: abs(math.hypot(*direction) - 1.0) > 0.1 -> abs(math.hypot(*direction) - 1.0) >= 0.1": (
            "no float64 differs from 1 by exactly 0.1"
        ),
    },
    "prepare.normalise": {
        "normalise: image > normalisation.knee -> image >= normalisation.knee": "both give the knee at the knee",
        "denormalise: root > knee -> root >= knee": "both give the knee at the knee",
        "from_dict: n=1 -> n=2": "only the first match is used",
        "_body_blocks: number == 0 -> number == 1": "a single piece is kept anyway, and none keeps nothing",
        "_body_blocks: sizes[0] = 0 -> sizes[0] = 1": "the background is left out by the mask again",
        "_body_threshold: abs(lower - threshold) <= 0.02 * threshold -> "
        "abs(lower - threshold) < 0.02 * threshold": LAST_BIT,
    },
}
"""Mutants that no test can notice, as "function: old -> new", with the reason."""
CPU_SECONDS = 20
OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
    **{ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd},
}
SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum", "maximum": "minimum"}
SHOWN = (
    *(ast.Assign, ast.AugAssign, ast.BinOp, ast.Call, ast.Compare, ast.keyword, ast.Slice, ast.Subscript, ast.UnaryOp),
)
"""A constant in one of these is listed with it."""
UNTOUCHED = {"annotation", "returns", "decorator_list", "exc"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change. function: where it is, "" outside functions. change: old -> new."""

    line: int
    function: str
    change: str
    code: CodeType

    @property
    def name(self) -> str:
        """What the lists call it."""
        return f"{self.function}: {self.change}" if self.function else self.change


@dataclass(slots=True, eq=False)
class Judge:
    """A pytest plug-in: runs the tests once, then for each mutant in a child. survived: one answer per mutant."""

    module: ModuleType
    mutants: list[Mutant]
    survived: list[bool] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember a test that fails."""
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collection(self) -> None:
        """Draw fewer examples than the profile that the tests have just loaded."""
        from hypothesis import settings  # pytest wants to import it first

        settings.register_profile("mutation", settings(), max_examples=20)
        settings.load_profile("mutation")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Judge all mutants."""
        seconds, called = {}, {}
        for item in session.items:
            begin = time.process_time()
            called[item] = self._functions_called(item)
            seconds[item] = time.process_time() - begin
        if self.failed or not session.items:
            raise pytest.UsageError(f"the tests fail without a change: {self.failed}")
        items = sorted(session.items, key=seconds.__getitem__)
        for number, mutant in enumerate(self.mutants, start=1):
            chosen = [item for item in items if not mutant.function or mutant.function in called[item]]
            self.survived.append(self._survives(mutant, chosen))
            print(f"\r{number} of {len(self.mutants)} mutants", end="", file=sys.__stderr__, flush=True)
        return True

    def _functions_called(self, item: pytest.Item) -> set[str]:
        """Run one test, and name the functions of the module that it calls."""
        names: set[str] = set()

        def trace(frame: FrameType, event: str, argument: object) -> None:
            if frame.f_code.co_filename == self.module.__file__:
                names.add(frame.f_code.co_name)

        sys.settrace(trace)
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        finally:
            sys.settrace(None)
        return names

    def _survives(self, mutant: Mutant, items: list[pytest.Item]) -> bool:
        child = os.fork()
        if child:
            return os.waitpid(child, 0)[1] == 0
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
            replace_code(self.module, mutant.code)
            for item in items:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
                if self.failed:
                    break
            os._exit(1 if self.failed else 0)
        except BaseException:  # the mutant cannot even be imported
            os._exit(1)


def replace_code(module: ModuleType, code: CodeType) -> None:
    """Give the functions of an imported module the code of its mutant, so that whoever imported them runs it."""
    mutant: dict[str, Any] = {"__name__": module.__name__, "__file__": module.__file__}
    exec(code, mutant)
    for name, new in mutant.items():
        old = vars(module).get(name)
        if getattr(new, "__module__", None) == module.__name__ and isinstance(old, type):
            for member, value in vars(new).items():
                _replace_function(vars(old).get(member), value)
        elif getattr(new, "__module__", None) == module.__name__ and callable(old):
            _replace_function(old, new)
        elif _shown(new) != _shown(old):
            for other in list(sys.modules.values()):  # also where it was imported by name
                if vars(other).get(name) is old:
                    setattr(other, name, new)


def _replace_function(old: Any, new: Any) -> None:
    old, new = (getattr(one, "__func__", getattr(one, "fget", one)) for one in (old, new))
    old, new = inspect.unwrap(old), inspect.unwrap(new)
    if isinstance(old, FunctionType) and isinstance(new, FunctionType):
        if old.__code__ != new.__code__:
            old.__code__ = new.__code__
        old.__defaults__, old.__kwdefaults__ = new.__defaults__, new.__kwdefaults__


def _shown(value: object) -> str:
    return re.sub("0x[0-9a-f]+", "", repr(value))  # two runs of one module differ in addresses alone


def replacements(node: ast.AST, place: str) -> Iterator[ast.AST]:
    """What may stand in the place of a node; place: the name of the field of its parent."""
    if type(node) in OPERATORS:
        yield OPERATORS[type(node)]()
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield ast.Constant("" if node.value else "X")
    elif isinstance(node, ast.Attribute) and node.attr in SWAPPED:
        yield ast.Attribute(node.value, SWAPPED[node.attr], node.ctx)
    elif isinstance(node, ast.Name) and node.id in SWAPPED:
        yield ast.Name(SWAPPED[node.id], node.ctx)
    elif isinstance(node, ast.Return) and node.value and ast.unparse(node.value) != "None":
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Continue):
        yield ast.Break()
    elif isinstance(node, ast.Expr | ast.AugAssign | ast.Raise) or (
        isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name | ast.Tuple)
    ):
        yield ast.Pass()
    if place == "test" and isinstance(node, ast.Name | ast.Attribute | ast.Call):
        yield ast.UnaryOp(ast.Not(), node)


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All mutants of a file, in the order of its lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))

    def walk(parent: ast.AST, function: str) -> Iterator[Mutant]:
        for name, value in ast.iter_fields(parent):
            for index, node in enumerate(value if isinstance(value, list) else [value]):
                if not isinstance(node, ast.AST) or name in UNTOUCHED or _is_untouched(node):
                    continue
                for new in replacements(node, name):
                    told = isinstance(node, ast.Constant) and isinstance(parent, SHOWN)
                    shown = parent if type(node) in OPERATORS or told else node
                    before = ast.unparse(shown)
                    _put(parent, name, index, new)
                    change = f"{before} -> {ast.unparse(parent if shown is parent else new)}"
                    code = compile(ast.fix_missing_locations(tree), str(path), "exec")
                    _put(parent, name, index, node)
                    yield Mutant(getattr(node, "lineno", getattr(parent, "lineno", 0)), function, change, code)
                inner = node.name if isinstance(node, ast.FunctionDef) and not function else function
                yield from walk(node, inner)

    yield from walk(tree, "")


def _put(parent: ast.AST, name: str, index: int, node: ast.AST) -> None:
    value = getattr(parent, name)
    if isinstance(value, list):
        value[index] = node
    else:
        setattr(parent, name, node)


def _is_untouched(node: ast.AST) -> bool:
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    names = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    unseen = isinstance(node, ast.keyword) and node.arg in ("strict", "copy")
    return docstring or names or unseen or isinstance(node, ast.JoinedStr)


def judge(name: str, suspects: Container[str] | None = None) -> dict[str, Any]:
    """The counts of one module, with the survivors. suspects: the only mutants to judge; the others count as killed."""
    module = importlib.import_module(f"bonescan.{name}")
    path = Path(str(module.__file__))
    mutants = list(mutants_of(path))
    tried = [mutant for mutant in mutants if suspects is None or mutant.name in suspects]
    judge = Judge(module, tried)
    options = ["-p", "no:cacheprovider", "-p", "no:terminal", "-o", "addopts=--import-mode=importlib"]
    pytest.main([*options, *JUDGES[name]], plugins=[judge])
    left = [mutant for mutant, survived in zip(tried, judge.survived, strict=True) if survived]
    reasons = EQUIVALENT.get(name, {})
    survivors = [mutant for mutant in left if mutant.name not in reasons]
    equivalent = {mutant.name: reasons[mutant.name] for mutant in left if mutant.name in reasons}
    killed = len(mutants) - len(left)
    score = killed / (killed + len(survivors))
    print(f"\r{name:<20} {len(mutants):>4} mutants, {killed:>4} killed, {len(survivors):>3} survived, ", end="")
    print(f"{len(left) - len(survivors):>3} equivalent: score {score:.1%}")
    for mutant in survivors:
        print(f"  {path.relative_to(ROOT)}:{mutant.line} {mutant.name}", flush=True)
    return {
        "mutants": len(mutants),
        "killed": killed,
        "survived": len(survivors),
        "score": round(score, 4),
        "survivors": [f"{mutant.line} {mutant.name}" for mutant in survivors],
        "equivalent": equivalent,
    }


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--module", choices=JUDGES, action="append", help="may be given several times; else all")
    parser.add_argument("--json", type=Path, help="file to add the figures to; those of other labels are kept")
    parser.add_argument("--label", default="after", help="name of the figures in the file (default: after)")
    parser.add_argument("--again", metavar="LABEL", help="judge only what survived under this label of the file")
    arguments = parser.parse_args()
    report = (
        json.loads(arguments.json.read_text(encoding="utf-8")) if arguments.json and arguments.json.exists() else {}
    )
    os.chdir(ROOT)
    for name in arguments.module or JUDGES:
        earlier = report[name][arguments.again] if arguments.again else None
        suspects = (
            {line.partition(" ")[2] for line in earlier["survivors"]} | {*earlier["equivalent"]} if earlier else None
        )
        report.setdefault(name, {})[arguments.label] = judge(name, suspects)
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
