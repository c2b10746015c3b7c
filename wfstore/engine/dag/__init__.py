"""From the user's functions and graphs to the neutral `model.DagSpec`, and from stored arguments back to values.

adapter   the one file that knows ray.dag      node      our own @task nodes
options   workflow.options(...)                graph     the tasks of a graph, in order, checked
arguments pickled arguments with placeholders  functions function bodies
build     all of it together                   continuation  a graph as the answer of a task
"""
