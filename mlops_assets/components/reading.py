"""From ``defs.yaml`` and ``model.py`` to a checked spec, or one message that says what to mend."""

from __future__ import annotations

import ast
import dataclasses
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from mlops_assets.components.complaints import (
    Complaint,
    find_complaints,
    find_function_complaints,
)
from mlops_assets.components.specs import LifecycleSpec
from mlops_assets.lifecycle.errors import SpecError, did_you_mean

Locate = Callable[[tuple[str | int, ...]], str]
"""From a path in the YAML to ``file:line``."""


def read_spec(attributes: Any, folder: Path, locate: Locate) -> LifecycleSpec:
    """Check a model's YAML against its schema, its own sections and its ``model.py``.

    Raises ``SpecError`` listing every complaint as ``file:line: key: what came, what is allowed``.
    """
    try:
        spec = LifecycleSpec.model_validate(attributes)
    except ValidationError as error:
        raise _refusal(map(_complaint, error.errors()), locate) from None
    functions = read_functions(folder)
    complaints = [*find_complaints(spec), *find_function_complaints(spec, functions)]
    if complaints:
        raise _refusal(complaints, locate)
    return spec


def refuse_repeated_keys(file: Path) -> None:
    """Refuse a key written twice in one section: YAML takes the last and says nothing.

    Raises ``SpecError`` listing each later one as ``file:line: key: rule``.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # not everywhere, but ten times faster
    said = [
        f"{file}:{again}: {'.'.join(path[1:] or path)}: written twice, first in line {first}"
        for document in yaml.compose_all(file.read_text(), loader)
        for path, first, again in _repeated_keys(document, ())
    ]
    if said:
        raise SpecError("\n".join(said))


def _repeated_keys(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Each key its section has already: where it stands, the line of the first and its own."""
    if isinstance(node, yaml.SequenceNode):
        for index, inner in enumerate(node.value):
            yield from _repeated_keys(inner, (*path, str(index)))
    elif isinstance(node, yaml.MappingNode):
        lines: dict[tuple[str, str], int] = {}
        for key, inner in node.value:
            name, line = (key.tag, str(key.value)), key.start_mark.line + 1
            if name in lines:
                yield (*path, name[1]), lines[name], line
            lines.setdefault(name, line)
            yield from _repeated_keys(inner, (*path, name[1]))


def read_functions(folder: Path) -> dict[str, int]:
    """The functions of ``model.py`` and their lines, read without running it.

    Running it would import what it imports in every process that loads the definitions.
    """
    path = folder / "model.py"
    strays = sorted(
        file.name for file in folder.glob("*.py") if file.name not in ("model.py", "__init__.py")
    )
    if strays:
        raise SpecError(
            f"{folder / strays[0]}: Dagster does not look at Python files beside a defs.yaml; "
            "move what it holds into model.py or a folder of its own"
        )
    try:
        tree = ast.parse(path.read_text(), str(path))
    except OSError as error:
        raise SpecError(f"{path}: a model needs a model.py beside its defs.yaml") from error
    except SyntaxError as error:
        raise SpecError(f"{path}:{error.lineno}: {error.msg}") from error
    return {node.name: node.lineno for node in tree.body if isinstance(node, ast.FunctionDef)}


def _refusal(complaints: Iterable[Complaint], locate: Locate) -> SpecError:
    lines = [
        f"{locate(path)}: {'.'.join(str(part) for part in path) or 'attributes'}: {message}"
        for path, message in complaints
    ]
    return SpecError("\n".join(lines))


def _complaint(error: Any) -> Complaint:
    """A pydantic error in our words: what came and what is allowed."""
    path = tuple(error["loc"])
    match error["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument":
            allowed = allowed_keys(path[:-1])
            hint = did_you_mean(str(path[-1]), allowed)
            return path, f"unknown key, allowed are {', '.join(allowed)}{hint}"
        case "missing" | "missing_argument":
            return path[:-1], f"key '{path[-1]}' is missing"
        case "value_error":
            said = str(error["ctx"]["error"])
            return path + _key_meant(said, error["input"]), said
        case "literal_error":
            hint = did_you_mean(str(error["input"]), _quoted(error["ctx"]["expected"]))
            return path, f"got {error['input']!r}, allowed are {error['ctx']['expected']}{hint}"
        case _:
            said = error["msg"][0].lower() + error["msg"][1:]
            return path, f"{said}, got {error['input']!r}"


def _key_meant(said: str, section: Any) -> tuple[str, ...]:
    """The key that a complaint about a whole section is about, as far as it is written there: the
    one that holds the name in quotes, or the first word that is a key.
    """
    if not isinstance(section, Mapping):
        return ()
    for name in _quoted(said):
        for key, inner in section.items():
            if isinstance(inner, Mapping) and name in inner:
                return (key, name)
    return tuple(word for word in re.findall(r"\w+", said) if word in section)[:1]


def allowed_keys(path: tuple[str | int, ...]) -> list[str]:
    """The keys a section of the YAML knows."""
    kind: Any = LifecycleSpec
    for part in path:
        kind = _inside(kind, part)
    return list(_field_types(kind))


def _inside(kind: Any, part: str | int) -> Any:
    """The type found under a key of a section, a mapping or a list."""
    kind = _unwrapped(kind)
    if fields := _field_types(kind):
        return fields[str(part)]
    return typing.get_args(kind)[-1]


def _field_types(kind: Any) -> dict[str, Any]:
    kind = _unwrapped(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    return {}


def _unwrapped(kind: Any) -> Any:
    """``X`` out of ``X | None`` and ``Annotated[X, ...]``."""
    while True:
        arguments = [arg for arg in typing.get_args(kind) if arg is not type(None)]
        annotated = hasattr(kind, "__metadata__")
        optional = type(None) in typing.get_args(kind)
        if not (annotated or optional):
            return kind
        kind = kind.__origin__ if annotated else arguments[0]


def _quoted(expected: str) -> list[str]:
    return [
        word for word in expected.split("'") if word.strip() and word.strip() not in (",", "or")
    ]
