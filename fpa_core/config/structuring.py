"""Strict structuring of plain TOML values into attrs classes: no value is bent to fit, and every fault is found at once.

cattrs finds the hook for each type; the hooks here say what they expected and go on to the next value.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
import cattrs

from fpa_core.config.problems import did_you_mean
from fpa_core.config.readers import (
    READERS,
    Fault,
    Faults,
    read_anything,
    read_choice,
    read_duration,
    read_lifetime,
    read_list,
    read_table,
    read_text,
)
from fpa_core.config.secrets import Lexical, Secret
from fpa_core.config.sections import DURATION, LIFETIME

__all__ = ["Structurer"]

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]


class Structurer:
    """Structures values that belong to a configuration in *folder*, against which its relative paths are resolved."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._converter = converter = cattrs.Converter()
        for scalar in (bool, int, float, str, Decimal, Path, Enum, datetime, date, time, timedelta):
            converter.register_structure_hook(scalar, self._scalar)
        factory = converter.register_structure_hook_factory
        factory(lambda target: target in _ANYTHING, lambda _: read_anything)
        factory(attrs.has, self._class_hook)
        factory(lambda target: get_origin(target) in _LITERALS, _literal_hook)
        factory(lambda target: get_origin(target) in _SEQUENCES or target in _SEQUENCES, self._sequence_hook)
        factory(lambda target: get_origin(target) in _MAPPINGS or target in _MAPPINGS, self._mapping_hook)
        factory(lambda target: get_origin(target) in _UNIONS, self._union_hook)
        factory(lambda target: _has_mark(target, DURATION), lambda _: read_duration)
        factory(lambda target: _has_mark(target, LIFETIME), lambda _: read_lifetime)

    def structure(self, value: Any, target: Any) -> Any:
        """Return *value* as a *target*.

        :raises Faults: all of them.
        """
        return self._hook(target)(value, target)

    def structure_class(self, table: Any, cls: type[T], *, also: tuple[str, ...] = ()) -> T:
        """Return *table* as an instance of the attrs class *cls*; the keys *also* are known, and no concern of it.

        :raises Faults: all of them, unknown and missing keys included.
        """
        table = read_table(table)
        attributes = {attribute.alias: attribute for attribute in attrs.fields(_resolved(cls)) if attribute.init}
        faults = Faults()
        for key in table:
            if key not in attributes and key not in also:
                known = sorted({*attributes, *also})
                expected = (
                    f"unknown key; expected one of: {', '.join(known)}" if known else "unknown key; none is known here"
                )
                faults.faults.append(Fault(table[key], expected, did_you_mean(key, known), (key,)))
        arguments = {}
        for key, attribute in attributes.items():
            if key in table:
                with faults.at(key):
                    arguments[key] = self.attribute(table[key], attribute)
            elif attribute.default is attrs.NOTHING:
                faults.faults.append(Fault(attrs.NOTHING, "this key is required", None, (key,)))
            elif isinstance(attribute.default, Path):
                # A default path lies beside the configuration too, or a command run one folder deeper would miss the data.
                arguments[key] = self._path(str(attribute.default))
        faults.check()
        try:
            return cls(**arguments)
        except Exception as error:  # noqa: BLE001 - a validator is free to raise what it likes
            raise Faults(Fault(table, _reason(error))) from None

    def _hook(self, target: Any) -> Hook:
        try:
            return self._converter.get_structure_hook(target)
        except (cattrs.StructureHandlerNotFoundError, NameError, TypeError) as error:
            raise Faults(
                Fault(attrs.NOTHING, f"no value can be given: its type {target} cannot be read ({error})")
            ) from None

    def attribute(self, value: Any, attribute: attrs.Attribute[Any]) -> Any:
        """Structure by type, then try the attribute's own converter and validator, which the class would only run when all else is right.

        :raises Faults: all of them.
        """
        structured = value if attribute.type is None else self.structure(value, attribute.type)
        result = structured
        try:
            if attribute.converter is not None:
                if isinstance(attribute.converter, attrs.Converter):
                    return structured
                result = attribute.converter(structured)
            if attribute.validator is not None:
                attribute.validator(_NoInstance(), attribute, result)
        except _NeedsInstanceError:
            pass
        except Exception as error:  # noqa: BLE001 - a converter or validator, too
            raise Faults(Fault(value, _reason(error), getattr(error, "hint", None))) from None
        return structured

    def _class_hook(self, cls: Any) -> Hook:
        return lambda value, _: self.structure_class(value, cls)

    def _sequence_hook(self, target: Any) -> Hook:
        origin = get_origin(target) or target
        arguments = get_args(target) or (Any, ...)
        fixed = origin is tuple and ... not in arguments
        build = _SEQUENCES[origin]

        def structure(value: Any, _: Any) -> Any:
            items = read_list(value)
            if fixed and len(items) != len(arguments):
                raise Faults(Fault(value, f"expected a list of {len(arguments)}"))
            faults = Faults()
            made = []
            for index, item in enumerate(items):
                with faults.at(index):
                    made.append(self.structure(item, arguments[index] if fixed else arguments[0]))
            faults.check()
            return build(made)

        return structure

    def _mapping_hook(self, target: Any) -> Hook:
        key_type, value_type = get_args(target) or (str, Any)

        def structure(value: Any, _: Any) -> Any:
            faults = Faults()
            made = {}
            for key, item in read_table(value).items():
                with faults.at(key):
                    made[self.structure(key, key_type)] = self.structure(item, value_type)
            faults.check()
            return made

        return structure

    def _union_hook(self, target: Any) -> Hook:
        arms = [arm for arm in get_args(target) if arm is not types.NoneType]

        def structure(value: Any, _: Any) -> Any:
            found: list[Fault] = []
            for arm in sorted(arms, key=_least_general(value)) if isinstance(value, Lexical) else arms:
                try:
                    return self.structure(value, arm)
                except Faults as faults:
                    found += faults.faults
            deeper = [fault for fault in found if fault.path]
            if deeper or len(found) == 1:
                raise Faults(*(deeper or found))
            wanted = " or ".join(dict.fromkeys(fault.expected.removeprefix("expected ") for fault in found))
            raise Faults(Fault(value, f"expected {wanted}"))

        return structure

    def _scalar(self, value: Any, target: Any) -> Any:
        if issubclass(target, Enum):
            return read_choice(value, {member.value: member for member in target})
        if issubclass(target, Path):
            return self._path(value)
        reader = next(reader for base, reader in READERS.items() if issubclass(target, base))
        made = reader(value)
        try:
            return made if isinstance(made, target) else target(made)
        except Exception as error:  # noqa: BLE001 - a class derived from text or a number may be choosy
            raise Faults(Fault(value, _reason(error))) from None

    def _path(self, value: Any) -> Path:
        text = read_text(value)
        if not text or "\0" in text:
            raise Faults(Fault(value, "expected a path"))
        try:
            path = Path(text).expanduser()
        except RuntimeError:
            raise Faults(Fault(value, "expected a path; there is no such home folder")) from None
        # A variable set in a shell means the shell's folder; what the file says means the file's.
        in_shell = isinstance(value, Lexical) and not isinstance(value, Secret)
        return path.absolute() if in_shell else self._folder / path


class _NeedsInstanceError(Exception):
    """A validator wants to see the other attributes; the class itself will run it."""


class _NoInstance:
    def __getattr__(self, name: str) -> Any:
        raise _NeedsInstanceError(name)


_ANYTHING: tuple[Any, ...] = (Any, object)
_MAPPINGS: tuple[Any, ...] = (dict, Mapping)
_LITERALS: tuple[Any, ...] = (Literal,)
_UNIONS: tuple[Any, ...] = (Union, types.UnionType)
_SEQUENCES: dict[Any, Callable[[list[Any]], Any]] = {
    tuple: tuple,
    list: list,
    set: set,
    frozenset: frozenset,
    Sequence: tuple,
    AbstractSet: frozenset,
}


def _resolved(cls: type[Any]) -> type[Any]:
    try:
        return attrs.resolve_types(cls)
    except NameError as error:
        raise Faults(
            Fault(attrs.NOTHING, f"{cls.__name__} has an annotation that cannot be resolved: {error}")
        ) from None


def _least_general(value: Lexical) -> Callable[[Any], int]:
    """Order the arms of a union for text from the environment, which fits text always, and a list when it is meant as one."""
    is_list = "," in value or value.lstrip().startswith("[")
    return lambda arm: 1 if arm is str else 0 if is_list or get_origin(arm) not in _SEQUENCES else 2


def _has_mark(target: Any, mark: str) -> bool:
    return get_origin(target) is Annotated and mark in target.__metadata__


def _reason(error: Exception) -> str:
    message = getattr(error, "message", None) or (error.args[0] if error.args else None)
    return f"not allowed: {message if isinstance(message, str) else type(error).__name__}"


def _literal_hook(target: Any) -> Hook:
    choices = {choice: choice for choice in get_args(target)}
    return lambda value, _: read_choice(value, choices)
