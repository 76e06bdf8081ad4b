"""What the packages export: all of it, and nothing by accident."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType

import pytest

import ccdm_engine
import service.client

ENGINE = """
    Analysis AnalysisOptions CcdmError Diagnostics DtypeError InputError Localization
    NonFiniteError NumericalError OptionsError ShapeError TooFewMembersError
    __version__ assimilate
"""
CLIENT = "AsyncClient Client ClientError RetryPolicy"
PACKAGES = [
    "ccdm_engine",
    "ccdm_engine.baselines",
    "service.client",
    "service.sessions",
    "service.stores",
]


def public_names(module: ModuleType) -> set[str]:
    """What a reader of the module's page would take for its own."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and name != "annotations"
    }


@pytest.mark.parametrize("name", PACKAGES)
def test_all_lists_every_public_name(name: str) -> None:
    module = importlib.import_module(name)
    exported = set(module.__all__)
    assert len(exported) == len(module.__all__), "a name is listed twice"
    assert all(hasattr(module, each) for each in exported)
    assert public_names(module) <= exported


@pytest.mark.parametrize("name", PACKAGES)
def test_what_is_exported_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    for each in module.__all__:
        value = getattr(module, each)
        if inspect.isclass(value) or inspect.isroutine(value):
            assert inspect.getdoc(value), f"{name}.{each} has no docstring"


def test_the_promised_names_are_there() -> None:
    assert set(ENGINE.split()) <= set(ccdm_engine.__all__)
    assert set(CLIENT.split()) <= set(service.client.__all__)


def test_every_error_is_a_ccdm_error() -> None:
    for name in ccdm_engine.__all__:
        value = getattr(ccdm_engine, name)
        if inspect.isclass(value) and issubclass(value, BaseException):
            assert issubclass(value, ccdm_engine.CcdmError)
