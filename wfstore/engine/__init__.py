"""The Ray side: the only room that imports Ray. It turns decisions into Ray tasks, and their reports into commands."""
