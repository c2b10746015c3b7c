"""Answers that SQL cannot give, vectorised with numpy, polars and igraph: frames and plain values in, frames out.

They read no store: `History` and `Store` hand them the rows, so an answer can be worked out by hand and checked.
"""
