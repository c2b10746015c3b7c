"""Event listeners: user code that waits for something outside, and holds neither a Ray worker nor a CPU meanwhile."""
