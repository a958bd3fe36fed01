"""The same paths in OpenAPI v2 (Swagger), for clients that know no other."""

from collections.abc import Mapping
from typing import Any

from sagong.api.types import Obj

_TYPES = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]


def to_version2(paths: Mapping[str, Obj], definitions: Mapping[str, Obj], info: Obj) -> Obj:
    """A whole v2 document from v3 paths and published definitions."""
    return {
        "swagger": "2.0",
        "info": info,
        "paths": {path: _item(item) for path, item in sorted(paths.items())},
        "definitions": dict(sorted(definitions.items())),
        "securityDefinitions": {
            "BearerToken": {
                "description": "Bearer Token authentication",
                "type": "apiKey",
                "name": "authorization",
                "in": "header",
            }
        },
        "security": [{"BearerToken": []}],
    }


def _item(item: Obj) -> Obj:
    return {
        key: _parameters(value) if key == "parameters" else _operation(value)
        for key, value in item.items()
    }


def _operation(operation: Obj) -> Obj:
    found = {
        key: value
        for key, value in operation.items()
        if key not in ("parameters", "requestBody", "responses")
    }
    found["schemes"] = ["https"]
    found["consumes"], found["produces"] = ["*/*"], _TYPES
    found["parameters"] = _parameters(operation["parameters"])
    body = operation.get("requestBody")
    if body is not None:
        content = body["content"]
        if "*/*" not in content:
            found["consumes"] = sorted(content)
        schema = next(iter(content.values()))["schema"]
        parameter: Obj = {"name": "body", "in": "body", "schema": _reference(schema)}
        if body.get("required"):
            parameter["required"] = True
        found["parameters"] = [parameter, *found["parameters"]]
    found["responses"] = {
        code: _response(response) for code, response in operation["responses"].items()
    }
    return found


def _response(response: Obj) -> Obj:
    found: Obj = {"description": response["description"]}
    content = response.get("content")
    if content:
        found["schema"] = _reference(next(iter(content.values()))["schema"])
    return found


def _parameters(parameters: list[Obj]) -> list[Obj]:
    return [
        {**{k: v for k, v in parameter.items() if k != "schema"}, **parameter["schema"]}
        for parameter in parameters
    ]


def _reference(schema: Any) -> Any:
    if "$ref" in schema:
        return {"$ref": "#/definitions/" + schema["$ref"].rpartition("/")[2]}
    return schema
