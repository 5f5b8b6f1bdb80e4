"""Experiments declared as data, their one runner, and the tables and figures that are made of their results.

declared.py says what is asked; plan.py how large, and which runs that is; runner.py makes the runs that are missing;
results.py keeps one small JSON file a run; tables.py and draw.py rebuild tables and figures from these alone.
Only `runner` and what it calls need torch.
"""
