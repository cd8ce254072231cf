"""Call a Python function in this process."""

from __future__ import annotations

from typing import Any

from consist.errors import UsageError
from consist.execution.call import PreparedCall


class PythonExecutor:
    """Calls the function, here and now."""

    def execute(self, call: PreparedCall) -> Any:
        """Execute the call and return what the function returns.

        Raises
        ------
        TimeLimitExceeded
            If it takes longer than it may.
        """
        if call.fn is None:
            raise UsageError("executor='python' needs a function: pass fn=")
        if call.time_limit is None:
            return call.fn(*call.args, **call.kwargs)
        from consist.execution.time_limit import time_limit

        with time_limit(call.time_limit):
            return call.fn(*call.args, **call.kwargs)
