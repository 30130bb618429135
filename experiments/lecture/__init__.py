"""A lecture of 45 minutes, why depth was hard: a notebook, what it calls, the grader of its exercise, the solution."""
