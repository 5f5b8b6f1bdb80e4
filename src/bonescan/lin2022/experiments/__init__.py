"""Experiments declared as data, their one runner, and the tables and figures that are made of their results.

declared.py says what is asked; profiles.py how large; plan.py turns both into runs; runner.py makes the runs that are
missing; results/experiments keeps one small JSON file a run; show.py rebuilds tables and figures from these alone.
Only `runner`, `measure` and what they call need torch.
"""
