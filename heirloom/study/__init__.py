"""A study as a whole: its file, its plan, the paths of its results and the size of its jobs."""
