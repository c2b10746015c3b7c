"""Names that programs written for ray.workflow import from its ``common``."""

from wfstore.engine.dag.reference import WorkflowRef
from wfstore.model.statuses import WorkflowStatus

#: The key under which ray.workflow kept workflow options among Ray's own.
WORKFLOW_OPTIONS = "workflow.io/options"

#: What the Serve app of ray.workflow's event provider was called. Here it is a part of the dashboard.
HTTP_EVENT_PROVIDER_NAME = "WorkflowHttpEventProvider"

__all__ = ["HTTP_EVENT_PROVIDER_NAME", "WORKFLOW_OPTIONS", "WorkflowRef", "WorkflowStatus"]
