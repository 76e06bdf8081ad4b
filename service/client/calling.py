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
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from service.client.messages import Steps, T

P = ParamSpec("P")
M = TypeVar("M")
Later = Coroutine[Any, Any, T]


class Waits(ABC):
    """Has its calls carried out while the caller waits."""

    @abstractmethod
    def run(self, steps: Steps[T]) -> T:
        """Carry out a call of :mod:`service.client.calls`."""

    @staticmethod
    def _method(steps: Callable[..., Steps[T]]) -> Callable[..., T]:
        def method(self: Waits, /, *args: Any, **kwargs: Any) -> T:
            return self.run(steps(self, *args, **kwargs))

        return _dressed(method, steps)


class Awaits(ABC):
    """Has its calls carried out on an event loop."""

    @abstractmethod
    async def run(self, steps: Steps[T]) -> T:
        """Carry out a call of :mod:`service.client.calls`."""

    @staticmethod
    def _method(steps: Callable[..., Steps[T]]) -> Callable[..., Later[T]]:
        async def method(self: Awaits, /, *args: Any, **kwargs: Any) -> T:
            return await self.run(steps(self, *args, **kwargs))

        return _dressed(method, steps)


class call(Generic[P, T]):
    """A method that is waited for or awaited, as the class that inherits it is."""

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self._steps = steps
        self._methods: dict[type, Any] = {}
        self.__doc__ = steps.__doc__

    @overload
    def __get__(self, instance: Waits, owner: Any = ...) -> Callable[P, T]: ...

    @overload
    def __get__(self, instance: Awaits, owner: Any = ...) -> Callable[P, Later[T]]: ...

    @overload
    def __get__(self, instance: None, owner: Any) -> Callable[..., Any]: ...

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if owner not in self._methods:
            self._methods[owner] = owner._method(self._steps)
        return self._methods[owner].__get__(instance, owner)


def _dressed(method: M, steps: Callable[..., Any]) -> M:
    """The method with name, text and parameters of its steps, and what they come to."""
    signature = inspect.signature(steps)
    result = str(signature.return_annotation).removeprefix("Steps[").removesuffix("]")
    dressed: Any = update_wrapper(cast(Callable[..., Any], method), steps)
    dressed.__annotations__ = {**steps.__annotations__, "return": result}
    dressed.__signature__ = signature.replace(return_annotation=result)
    return method
