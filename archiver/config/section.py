"""What all sections of the settings share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainValidator

from archiver.config import values

SomeTime = Annotated[int, PlainValidator(values.some_time)]
TimeOrOff = Annotated[int | None, PlainValidator(values.time_or_none)]


class Section(BaseModel):
    """A section: its keys lose their unit in TOML, and nothing unknown stands in it."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        alias_generator=lambda name: name.removesuffix("_ms"),
    )
