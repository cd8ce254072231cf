"""Run a prepared call."""

from consist.execution.call import Executor, PreparedCall
from consist.execution.python import PythonExecutor

__all__ = ["Executor", "PreparedCall", "PythonExecutor"]
