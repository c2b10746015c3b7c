"""Names that programs written for ray.workflow import from its ``common``."""

from wfstore.engine.dag.reference import WorkflowRef
from wfstore.model.statuses import WorkflowStatus

#: The key under which ray.workflow kept workflow options among Ray's own.
WORKFLOW_OPTIONS = "workflow.io/options"

__all__ = ["WORKFLOW_OPTIONS", "WorkflowRef", "WorkflowStatus"]
