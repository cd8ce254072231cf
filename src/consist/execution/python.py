"""Call a Python function in this process."""

from __future__ import annotations

from typing import Any

from consist.errors import UsageError
from consist.execution.call import PreparedCall


class PythonExecutor:
    """Calls the function, here and now."""

    def execute(self, call: PreparedCall) -> Any:
        """Execute the call and return what the function returns."""
        if call.fn is None:
            raise UsageError("executor='python' needs a function: pass fn=")
        return call.fn(*call.args, **call.kwargs)
