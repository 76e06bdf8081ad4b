"""Where sessions are kept: one protocol, one record codec, several stores."""

from service.stores.errors import (
    QuotaExceeded,
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
    Names,
    Outcome,
    Page,
    Quota,
    Store,
    StoreHealth,
    Usage,
)

__all__ = [
    "Change",
    "Loaded",
    "Names",
    "Outcome",
    "Page",
    "Quota",
    "QuotaExceeded",
    "SessionGone",
    "SessionNotFound",
    "Store",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreHealth",
    "StoreUnavailable",
    "Usage",
    "default_store_url",
    "open_store",
]
