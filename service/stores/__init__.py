"""Where sessions are kept: one protocol, one record codec, several stores."""

from service.stores.errors import (
    SessionGone,
    SessionNotFound,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from service.stores.opening import default_store_url, open_store
from service.stores.protocol import (
    Change,
    Loaded,
    Outcome,
    Page,
    Store,
    StoreHealth,
)

__all__ = [
    "Change",
    "Loaded",
    "Outcome",
    "Page",
    "SessionGone",
    "SessionNotFound",
    "Store",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreHealth",
    "StoreUnavailable",
    "default_store_url",
    "open_store",
]
