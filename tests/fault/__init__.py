"""The guarantees of wfstore as figures: campaigns of injected faults, each with a negative control. See campaign.py."""
