"""The same programs on ray.workflow itself and on wfstore."""
