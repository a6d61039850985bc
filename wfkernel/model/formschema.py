"""The JSON schema that forms are made from: pydantic's, and what a form must know beyond it."""

from __future__ import annotations

from enum import Enum
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticSerializationError, core_schema, to_jsonable_python


class FormSchema(GenerateJsonSchema):
    """Tells a Decimal from ``float | str``, says of a datetime whether it has a zone, and how an enum calls its members."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default", "skipped-discriminator"}  # noqa: RUF012 - pydantic's

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        return {"type": "number", "format": "decimal"}

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        zone = schema.get("tz_constraint")
        found = super().datetime_schema(schema)
        return found if zone is None else {**found, "zone": "naive" if zone == "naive" else "aware"}

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        return {**super().enum_schema(schema), "names": [member.name for member in schema["members"]]}

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        names: list[Any] = [v.name if isinstance(v, Enum) else None for v in schema["expected"]]
        return {**super().literal_schema(schema), "names": names}

    def encode_default(self, dft: Any) -> Any:
        """With infinite numbers, which pydantic makes null in a list."""
        try:
            return to_jsonable_python(dft, by_alias=self.by_alias, inf_nan_mode="constants")
        except UnicodeDecodeError as exc:  # bytes that are no text; of this error pydantic knows what to do: no default
            raise PydanticSerializationError(str(exc)) from exc
