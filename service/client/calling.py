"""What lets the waiting and the awaiting client say each call once.

A method of either is written as a generator of requests, in a class that both share::

    class SessionCalls:
        @call
        def history(self) -> Steps[list[CycleRecord]]:
            return (yield from calls.history(self.id))

A class with :class:`Waits` carries it out while its caller waits, so that
``session.history()`` is a ``list[CycleRecord]``; one with :class:`Awaits` does so on an
event loop, and it is ``await session.history()``.
"""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import (
    Any,
    Concatenate,
    ForwardRef,
    Generic,
    ParamSpec,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from service.client.messages import Steps, T

P = ParamSpec("P")
Later = Coroutine[Any, Any, T]


class Waits(ABC):
    """Has its calls carried out while the caller waits."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Make methods of the calls."""
        super().__init_subclass__(**options)
        _make_methods(cls, cls._method)

    @abstractmethod
    def run(self, steps: Steps[T]) -> T:
        """Carry out a call of :mod:`service.client.calls`."""

    @staticmethod
    def _method(steps: Callable[..., Steps[T]]) -> Callable[..., T]:
        def method(self: Waits, /, *args: Any, **kwargs: Any) -> T:
            return self.run(steps(self, *args, **kwargs))

        return method


class Awaits(ABC):
    """Has its calls carried out on an event loop."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Make methods of the calls."""
        super().__init_subclass__(**options)
        _make_methods(cls, cls._method)

    @abstractmethod
    async def run(self, steps: Steps[T]) -> T:
        """Carry out a call of :mod:`service.client.calls`."""

    @staticmethod
    def _method(steps: Callable[..., Steps[T]]) -> Callable[..., Later[T]]:
        async def method(self: Awaits, /, *args: Any, **kwargs: Any) -> T:
            return await self.run(steps(self, *args, **kwargs))

        return method


class call(Generic[P, T]):
    """A method that is waited for or awaited, as the class that inherits it is.

    Such a class has a plain method in its place; who reads it off another one gets
    this object.

    Attributes:
        steps: the generator of requests.
    """

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self.steps = steps
        self.__doc__ = steps.__doc__

    @overload
    def __get__(self, instance: Waits, owner: Any = ...) -> Callable[P, T]: ...

    @overload
    def __get__(self, instance: Awaits, owner: Any = ...) -> Callable[P, Later[T]]: ...

    @overload
    def __get__(self, instance: None, owner: Any) -> Callable[..., Any]: ...

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self


def _make_methods(owner: type, made: Callable[..., Callable[..., Any]]) -> None:
    """Give a class the calls that it inherits, as methods of its own."""
    for name in dir(owner):
        inherited = inspect.getattr_static(owner, name)
        if isinstance(inherited, call):
            method = update_wrapper(made(inherited.steps), inherited.steps)
            _dress(method, owner)
            setattr(owner, name, method)


def _dress(method: Any, owner: type) -> None:
    """Let a method be found in its class, and promise what its steps come to."""
    arguments = _arguments(owner)
    signature = inspect.signature(method)
    told = str(signature.return_annotation).removeprefix("Steps[").removesuffix("]")
    comes_to = get_args(get_type_hints(method)["return"])[-1]
    if isinstance(comes_to, TypeVar):
        comes_to = arguments.get(comes_to, comes_to)
    elif inside := getattr(comes_to, "__parameters__", ()):
        comes_to = comes_to[tuple(arguments.get(each, each) for each in inside)]
    for variable, argument in arguments.items():
        plain = getattr(argument, "__name__", str(argument))
        name = getattr(argument, "__forward_arg__", plain)
        told = re.sub(rf"\b{variable.__name__}\b", name, told)
    method.__module__ = owner.__module__
    method.__qualname__ = f"{owner.__qualname__}.{method.__name__}"
    method.__annotations__ = {**method.__annotations__, "return": comes_to}
    method.__signature__ = signature.replace(return_annotation=told)


def _arguments(owner: type) -> dict[Any, Any]:
    """What stands in a class for the type variables of its bases."""
    found: dict[Any, Any] = {}
    for base in getattr(owner, "__orig_bases__", ()):
        variables = getattr(get_origin(base), "__parameters__", ())
        for variable, argument in zip(variables, get_args(base), strict=True):
            if isinstance(argument, ForwardRef):
                # To be looked up where the class is, not where the steps are.
                name = argument.__forward_arg__
                argument = ForwardRef(name, module=owner.__module__)
            found[variable] = argument
    return found
