"""What `wfstore demo` runs. Workers import the modules beside this one, so nothing is imported here."""
