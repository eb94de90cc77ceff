"""From ``defs.yaml`` and ``model.py`` to a checked spec, or one message that says what to mend."""

from __future__ import annotations

import ast
import dataclasses
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mlops_assets.components.specs import Complaint, LifecycleSpec, find_complaints
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
    complaints = list(find_complaints(spec, functions))
    if complaints:
        raise _refusal(complaints, locate)
    return spec


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
            return path, str(error["ctx"]["error"])
        case "literal_error":
            hint = did_you_mean(str(error["input"]), _quoted(error["ctx"]["expected"]))
            return path, f"got {error['input']!r}, allowed are {error['ctx']['expected']}{hint}"
        case _:
            said = error["msg"][0].lower() + error["msg"][1:]
            return path, f"{said}, got {error['input']!r}"


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
