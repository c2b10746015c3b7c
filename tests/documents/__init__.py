"""The examples of the seed documents, as programs of our own that must do what those documents say."""
