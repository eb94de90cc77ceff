"""The server described in OpenAPI 3.1: each model with its schema and a request that works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as package_version
from typing import Any

from mlops_assets.lifecycle.training import ModelSignature
from mlops_assets.serving.protocol import MAX_ID_LENGTH, OUTPUT, input_types

NUMERIC = ["FP64", "FP32", "FP16", "BOOL"] + [
    f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)
]

ANY = "any"
"""What is neither described as a text nor as a number."""

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "what is wrong and what to do"}},
}
REFUSALS = {
    "400": "the request cannot be understood",
    "404": "no such model or version",
    "413": "too many bytes or rows",
    "415": "a content type or encoding that is not taken",
    "503": "not ready, or the prediction could not be logged",
}


@dataclass(frozen=True)
class DescribedModel:
    """What there is to say about a model: its inputs, one row that it can answer, which features
    are ``optional`` as they are looked up, and the ``keys`` they are looked up by."""

    name: str
    signature: ModelSignature
    example: Mapping[str, float | str]
    optional: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()


def build_openapi(models: Sequence[DescribedModel]) -> Schema:
    """The whole document."""
    paths: Schema = {**_server_paths()}
    for model in models:
        paths[f"/v2/models/{model.name}/infer"] = {"post": _infer(model)}
        paths[f"/v1/models/{model.name}:predict"] = {"post": _predict(model)}
        for path, meaning in (
            (f"/v2/models/{model.name}", "What the model takes and gives"),
            (f"/v2/models/{model.name}/ready", "200 once the model answers"),
            (f"/v2/models/{model.name}/routing", "Which versions answer, and with what weight"),
        ):
            paths[path] = {"get": _get(meaning, model.name)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mlops-assets model server",
            "version": package_version("mlops-assets"),
            "description": "Open Inference Protocol v2 and KServe v1.",
        },
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def lower_to_3_0(part: Any) -> Any:
    """The same in OpenAPI 3.0, which is all that Swagger UI 4 can show."""
    if isinstance(part, list):
        return [lower_to_3_0(item) for item in part]
    if not isinstance(part, dict):
        return part
    lowered = {key: lower_to_3_0(value) for key, value in part.items()}
    if isinstance(kind := part.get("type"), list):
        lowered |= {"type": kind[0], "nullable": True}
    if "openapi" in part:
        lowered["openapi"] = "3.0.3"
    return lowered


def example_request(model: DescribedModel) -> Schema:
    """A v2 request of one row."""
    types = input_types(model.signature)
    return {
        "inputs": [
            {"name": name, "shape": [1], "datatype": types[name], "data": [value]}
            for name, value in model.example.items()
        ]
    }


def _infer(model: DescribedModel) -> Schema:
    types = _input_kinds(model)
    required = set(model.signature.names) - model.optional
    body = {
        "type": "object",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": {
            "id": {"type": "string", "maxLength": MAX_ID_LENGTH},
            "inputs": {
                "type": "array",
                "minItems": max(len(required), 1),
                "maxItems": len(types),
                "items": {"oneOf": [_tensor(name, kind) for name, kind in types.items()]},
            },
            "outputs": {"type": "array", "maxItems": 1, "items": _requested_output()},
            "parameters": {"type": "object"},
        },
    }
    answer = {
        "model_name": TEXT,
        "model_version": TEXT,
        "id": TEXT,
        "parameters": {"type": "object"},
        "outputs": {"type": "array", "items": _tensor(OUTPUT, "FP64", known=["FP64"])},
    }
    return _post(
        f"Predictions of {model.name}", model.name, body, example_request(model), _object(answer)
    )


def _input_kinds(model: DescribedModel) -> dict[str, str]:
    """The datatype of everything that may be sent; a key may be a number or a text."""
    described = input_types(model.signature)
    return {**described, **{key: ANY for key in sorted(model.keys) if key not in described}}


def _predict(model: DescribedModel) -> Schema:
    types = _input_kinds(model)
    required = [name for name in model.signature.names if name not in model.optional]
    row = {
        "type": "object",
        "required": required,
        "properties": {name: _value(kind) for name, kind in types.items()},
    }
    body = {
        "type": "object",
        "required": ["instances"],
        "additionalProperties": False,
        "properties": {"instances": {"type": "array", "minItems": 1, "items": row}},
    }
    answer = _object({"predictions": {"type": "array", "items": {"type": "number"}}})
    example = {"instances": [dict(model.example)]}
    return _post(f"Predictions of {model.name}, KServe v1", model.name, body, example, answer)


def _tensor(name: str, kind: str, known: list[str] | None = None) -> Schema:
    datatypes = known or {"BYTES": ["BYTES"], ANY: ["BYTES", *NUMERIC]}.get(kind, NUMERIC)
    schema = _object(
        {
            "name": {"type": "string", "enum": [name]},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "datatype": {"type": "string", "enum": datatypes},
            "data": {"type": "array", "items": _value(kind)},
        }
    )
    schema["properties"]["parameters"] = {"type": "object"}
    return schema


def _requested_output() -> Schema:
    flag = {"type": "boolean", "description": "as bytes behind the JSON"}
    parameters = {"type": "object", "properties": {"binary_data": flag}}
    return {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string", "enum": [OUTPUT]}, "parameters": parameters},
    }


def _value(kind: str) -> Schema:
    texts, numbers = {"type": ["string", "null"]}, {"type": ["number", "null"]}
    if kind == ANY:
        return {"anyOf": [texts, numbers]}
    return texts if kind == "BYTES" else numbers


def _object(properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _post(summary: str, tag: str, body: Schema, example: Schema, answer: Schema) -> Schema:
    content = {"application/json": {"schema": body, "example": example}}
    return {
        "summary": summary,
        "tags": [tag],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": _answer("predictions, one per row", answer),
            **{status: _answer(meaning, ERROR) for status, meaning in REFUSALS.items()},
        },
    }


def _get(summary: str, tag: str = "server") -> Schema:
    return {
        "summary": summary,
        "tags": [tag],
        "responses": {"200": _answer("as asked", {"type": "object"})},
    }


def _answer(meaning: str, schema: Schema) -> Schema:
    return {"description": meaning, "content": {"application/json": {"schema": schema}}}


def _server_paths() -> Schema:
    paths: Schema = {
        path: {"get": _get(meaning)}
        for path, meaning in (
            ("/v2", "The server and its extensions"),
            ("/v2/health/live", "That the process answers"),
            ("/v2/health/ready", "200 once every model can answer"),
            ("/v2/models", "The names of all models"),
            ("/v1/models", "The names of all models"),
        )
    }
    page = {"text/plain": {"schema": TEXT}}
    metrics = _get("What the server did, for Prometheus")
    metrics["responses"]["200"]["content"] = page
    paths["/metrics"] = {"get": metrics}
    paths["/v2/models/{model}/versions/{version}/cut_off"] = {"post": _cut_off()}
    return paths


def _cut_off() -> Schema:
    reason = {"type": "string", "minLength": 1, "maxLength": 300}
    body, example = _object({"reason": reason}), {"reason": "answers in the wrong unit"}
    asked = _post(
        "Give a version in rollout no more requests", "server", body, example, _object({})
    )
    asked["security"] = [{"token": []}]
    asked["parameters"] = [
        {"name": name, "in": "path", "required": True, "schema": TEXT}
        for name in ("model", "version")
    ]
    for status, meaning in (("401", "no token"), ("403", "no token is configured")):
        asked["responses"][status] = _answer(meaning, ERROR)
    return asked
