"""Virtual actors: durable objects whose methods are tasks of an open-ended workflow."""
