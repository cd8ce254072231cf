"""How a sweep is executed, and the executor that is used where none is given."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import msgspec

from consist.errors import UsageError, WrongType, a_kind, hint
from consist.types import check_option

ON_ERROR = ("continue", "raise")


class SweepOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a sweep is executed; see :meth:`~consist.workflow.scenario.ScenarioContext.map`."""

    executor: Executor | None = None
    retries: int = 0
    on_error: str = "continue"
    progress: bool = True

    def __post_init__(self) -> None:
        _check_executor(self.executor)
        retries: object = self.retries
        if type(retries) is not int or retries < 0:
            raise UsageError(f"retries={retries!r} is not a whole number from 0")
        check_option("on_error", self.on_error, ON_ERROR)
        if type(self.progress) is not bool:
            raise WrongType(f"progress={self.progress!r} is not a bool")


def _check_executor(executor: object) -> None:
    if executor is None or isinstance(executor, Executor):
        return
    if isinstance(executor, type):
        problem = WrongType(f"executor is the class {executor.__name__}, not an executor")
        raise hint(problem, f"make one: executor={executor.__name__}(...)")
    problem = WrongType(f"executor is {a_kind(executor)}, not a concurrent.futures.Executor")
    if hasattr(executor, "get_executor"):
        raise hint(problem, "pass executor=client.get_executor()")
    raise hint(problem, "pass one, such as ThreadPoolExecutor()")


class InThisThread(Executor):
    """Executes each task where and when it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call the function; its future is there when that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - a future holds it for whoever asks
            future.set_exception(error)
        return future
