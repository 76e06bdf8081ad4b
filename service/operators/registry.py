"""What the operator says of a model: where it is, what it is called, its config.

Clients name the key under which a model is registered, never an address: the service
asks nobody but whom its operator chose.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator


class RegisteredModel(BaseModel):
    """One model of an UM-Bridge server."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str = Field(description="Of the server, as in `http://10.0.0.5:4242`.")
    model: str = Field("forward", description="What the server calls it.")
    config: dict[str, Any] = Field(
        default_factory=dict, description="Sent with every point."
    )

    @field_validator("url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("wanted http://host:port or https://host:port")
        if parts.query or parts.fragment:
            raise ValueError("wanted an address without a query")
        return value.rstrip("/")
