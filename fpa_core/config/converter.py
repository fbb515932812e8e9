"""Convert TOML values to attrs classes strictly: values are not coerced, and all errors are reported at once.

cattrs finds the hook for each type; the hooks here raise errors that say what was expected, and callers collect them.
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
from fpa_core.config.scalars import (
    READERS,
    ConversionError,
    ConversionErrors,
    read_anything,
    read_choice,
    read_duration,
    read_keep,
    read_lifetime,
    read_list,
    read_table,
    read_text,
)
from fpa_core.config.secrets import EnvString, Secret, SecretPath
from fpa_core.config.sections import DURATION, KEEP, LIFETIME

__all__ = ["ConfigConverter"]

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]


class ConfigConverter:
    """Converts values of a configuration in *folder*, to which relative paths refer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cattrs = cattrs_converter = cattrs.Converter()
        for scalar in (bool, int, float, str, Decimal, Path, Enum, datetime, date, time, timedelta):
            cattrs_converter.register_structure_hook(scalar, self._scalar)
        factory = cattrs_converter.register_structure_hook_factory
        factory(lambda target: target in _ANYTHING, lambda _: read_anything)
        factory(attrs.has, self._class_hook)
        factory(lambda target: get_origin(target) in _LITERALS, _literal_hook)
        factory(lambda target: get_origin(target) in _SEQUENCES or target in _SEQUENCES, self._sequence_hook)
        factory(lambda target: get_origin(target) in _MAPPINGS or target in _MAPPINGS, self._mapping_hook)
        factory(lambda target: get_origin(target) in _UNIONS, self._union_hook)
        factory(lambda target: _has_mark(target, DURATION), lambda _: read_duration)
        factory(lambda target: _has_mark(target, LIFETIME), lambda _: read_lifetime)
        factory(lambda target: _has_mark(target, KEEP), lambda _: read_keep)

    def structure(self, value: Any, target: Any) -> Any:
        """Return *value* as a *target*.

        :raises ConversionErrors: with all errors.
        """
        return self._hook(target)(value, target)

    def structure_class(self, table: Any, cls: type[T], *, also: tuple[str, ...] = ()) -> T:
        """Return *table* as an instance of the attrs class *cls*; the keys *also* are allowed, and ignored.

        :raises ConversionErrors: with all errors, including unknown and missing keys.
        """
        table = read_table(table)
        attributes = {attribute.alias: attribute for attribute in attrs.fields(_resolved(cls)) if attribute.init}
        errors = ConversionErrors()
        for key in table:
            if key not in attributes and key not in also:
                known = sorted({*attributes, *also})
                expected = (
                    f"unknown key; expected one of: {', '.join(known)}"
                    if known
                    else "unknown key; no keys are allowed here"
                )
                errors.errors.append(ConversionError(table[key], expected, did_you_mean(key, known), (key,)))
        arguments = {}
        for key, attribute in attributes.items():
            if key in table:
                with errors.at(key):
                    arguments[key] = self.attribute(table[key], attribute)
            elif attribute.default is attrs.NOTHING:
                errors.errors.append(ConversionError(attrs.NOTHING, "this key is required", None, (key,)))
            elif isinstance(attribute.default, Path):
                # Default paths are relative to the configuration too, or a command run in a subfolder would miss the data.
                arguments[key] = self._path(str(attribute.default))
        errors.check()
        try:
            return cls(**arguments)
        except Exception as error:  # noqa: BLE001 - a validator may raise anything
            raise ConversionErrors(ConversionError(table, _reason(error))) from None

    def _hook(self, target: Any) -> Hook:
        try:
            return self._cattrs.get_structure_hook(target)
        except (cattrs.StructureHandlerNotFoundError, NameError, TypeError) as error:
            raise ConversionErrors(
                ConversionError(attrs.NOTHING, f"values of type {target} cannot be converted ({error})")
            ) from None

    def attribute(self, value: Any, attribute: attrs.Attribute[Any]) -> Any:
        """Convert *value* by type, then run the attribute's converter and validator, which the class would run only if there were no other errors.

        :raises ConversionErrors: with all errors.
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
        except Exception as error:  # noqa: BLE001 - a converter or validator may raise anything
            raise ConversionErrors(ConversionError(value, _reason(error), getattr(error, "hint", None))) from None
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
                raise ConversionErrors(ConversionError(value, f"expected a list of {len(arguments)}"))
            errors = ConversionErrors()
            made = []
            for index, item in enumerate(items):
                with errors.at(index):
                    made.append(self.structure(item, arguments[index] if fixed else arguments[0]))
            errors.check()
            return build(made)

        return structure

    def _mapping_hook(self, target: Any) -> Hook:
        key_type, value_type = get_args(target) or (str, Any)

        def structure(value: Any, _: Any) -> Any:
            errors = ConversionErrors()
            made = {}
            for key, item in read_table(value).items():
                with errors.at(key):
                    made[self.structure(key, key_type)] = self.structure(item, value_type)
            errors.check()
            return made

        return structure

    def _union_hook(self, target: Any) -> Hook:
        arms = [arm for arm in get_args(target) if arm is not types.NoneType]
        optional = len(arms) < len(get_args(target))

        def structure(value: Any, _: Any) -> Any:
            if value is None and optional:  # in values given in Python; TOML has no null
                return None
            found: list[ConversionError] = []
            for arm in sorted(arms, key=_least_general(value)) if isinstance(value, EnvString) else arms:
                try:
                    return self.structure(value, arm)
                except ConversionErrors as errors:
                    found += errors.errors
            deeper = [error for error in found if error.path]
            if deeper or len(found) == 1:
                raise ConversionErrors(*(deeper or found))
            wanted = " or ".join(dict.fromkeys(error.expected.removeprefix("expected ") for error in found))
            raise ConversionErrors(ConversionError(value, f"expected {wanted}"))

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
        except Exception as error:  # noqa: BLE001 - a subclass of str or a number may raise anything
            raise ConversionErrors(ConversionError(value, _reason(error))) from None

    def _path(self, value: Any) -> Path:
        text = read_text(value)
        if not text or "\0" in text:
            raise ConversionErrors(ConversionError(value, "expected a path"))
        try:
            path = Path(text).expanduser()
        except RuntimeError:
            raise ConversionErrors(ConversionError(value, "expected a path; the home folder is unknown")) from None
        # Paths in variables are relative to the current folder, those in the file to its folder.
        in_shell = isinstance(value, EnvString) and not isinstance(value, Secret)
        found = path.absolute() if in_shell else self._folder / path
        return SecretPath(found) if isinstance(value, Secret) else found


class _NeedsInstanceError(Exception):
    """Raised if a validator reads other attributes; the class itself will run it."""


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
        raise ConversionErrors(
            ConversionError(attrs.NOTHING, f"{cls.__name__} has an annotation that cannot be resolved: {error}")
        ) from None


def _least_general(value: EnvString) -> Callable[[Any], int]:
    """Return the order in which to try the types of a union for text from the environment: str last, lists first if it looks like one."""
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
