"""The Ray side: the only room that imports Ray. It turns decisions into Ray tasks and what they report into commands."""
