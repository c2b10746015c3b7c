"""Failed workflows as the drivers of both generations catch them: the older one raised Ray's RaySystemError.

The tree of `wfstore.errors` knows no Ray; these are its classes once more, with Ray's as a second base.
"""

from __future__ import annotations

from ray.exceptions import RaySystemError

from wfstore import errors


class WorkflowExecutionError(errors.WorkflowExecutionError, RaySystemError):
    __doc__ = errors.WorkflowExecutionError.__doc__


class WorkflowTimeoutError(errors.WorkflowTimeoutError, RaySystemError):
    __doc__ = errors.WorkflowTimeoutError.__doc__


class WorkflowInterruptedError(errors.WorkflowInterruptedError, RaySystemError):
    __doc__ = errors.WorkflowInterruptedError.__doc__


class OutputFailedError(errors.OutputFailedError, RaySystemError):
    __doc__ = errors.OutputFailedError.__doc__


_BOTH: dict[type, type[errors.WorkflowError]] = {
    errors.WorkflowExecutionError: WorkflowExecutionError,
    errors.WorkflowTimeoutError: WorkflowTimeoutError,
    errors.WorkflowInterruptedError: WorkflowInterruptedError,
    errors.OutputFailedError: OutputFailedError,
}


def as_rays(error: Exception) -> Exception:
    """The same error, a RaySystemError as well if it is a failed workflow."""
    both = _BOTH.get(type(error))
    return error if both is None or not isinstance(error, errors.WorkflowError) else both(*error.args)
