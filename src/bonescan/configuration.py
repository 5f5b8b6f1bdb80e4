"""Configurations: frozen dataclasses, read from TOML; an unknown key is an error that names the nearest known one."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from bonescan.errors import OptionError

_WORDS = {int: "a whole number", float: "a number", str: "text, in quotes", bool: "true or false"}
"""The types of single values, as users know them."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the values of a TOML file. Raises OptionError where it cannot be read."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OptionError(f"there is no configuration {path}: give an existing TOML file") from None
    except OSError as error:
        raise OptionError(f"the configuration {path} cannot be read ({error.strerror}): give a TOML file") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError(f"the configuration {path} cannot be read ({error}): correct it") from None


def config_from_dict(kind: type[Any], values: Mapping[str, Any], table: str = "") -> Any:
    """Build the dataclass `kind` from nested mappings; OptionError for an unknown or missing key, or a wrong type."""
    hints = get_type_hints(kind)
    known = [entry.name for entry in dataclasses.fields(kind)]
    arguments = {}
    for key, value in values.items():
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise OptionError(
                f"the configuration has an unknown key {table + key!r}: did you mean {table + nearest!r}?"
            )
        arguments[key] = _convert(value, hints[key], table + key)
    missing = [
        entry.name
        for entry in dataclasses.fields(kind)
        if entry.name not in arguments
        and entry.default is dataclasses.MISSING
        and entry.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise OptionError(f"the configuration lacks {table + missing[0]!r}: give it")
    return kind(**arguments)


def override(values: dict[str, Any], setting: str) -> None:
    """Put "key=value" or "table.key=value" (values as in TOML) into nested values; OptionError for another form."""
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise OptionError(f"the override {setting!r} is not of the form key=value: correct it")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is a string
    *tables, last = key.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise OptionError(f"the override {setting!r} names a table {table!r} that is a single value: correct it")
    values[last] = value


def _convert(value: Any, kind: Any, key: str) -> Any:
    """Give `value` the annotated type, or say what it should have been."""
    origin = get_origin(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and isinstance(value, Mapping):
        return config_from_dict(kind, value, key + ".")
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_convert(entry, get_args(kind)[0], key) for entry in value)
    if origin in (Union, types.UnionType, Literal) and value in get_args(kind):
        return value
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        return dict(value)
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and not origin and type(value) is kind:
        return value
    if origin is Literal:
        choices = ", ".join(str(choice) for choice in get_args(kind))
        raise OptionError(f"the configuration's {key} is {value!r}: give one of {choices}")
    raise OptionError(f"the configuration's {key} is {_said(value)}: {_wanted(kind, key)}")


def _said(value: Any) -> str:
    """A value in words, without the content of a table, which is long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list) and any(isinstance(entry, Mapping) for entry in value):
        return "a list of tables"
    return repr(value)


def _wanted(kind: Any, key: str) -> str:
    """What to give for a value of the annotated type, in words."""
    if get_origin(kind) is tuple:
        tables = dataclasses.is_dataclass(get_args(kind)[0])
        return f"write [[{key}]], with two brackets, for each" if tables else "give a list, in brackets"
    if dataclasses.is_dataclass(kind) or kind is dict or get_origin(kind) in (dict, Mapping):
        return f"write a table [{key}], with one bracket"
    if get_origin(kind) in (Union, types.UnionType):
        return f"give {' or '.join(_WORDS[one] for one in get_args(kind) if one in _WORDS)}"
    return f"give {_WORDS.get(kind, 'another value')}"
