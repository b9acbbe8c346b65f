"""The proof programme: a workload, a nemesis against it, ledgers that the nemesis never touches, and a verdict over all.

`make torture`, or `python -m stentor.testing.torture --minutes 5 --seed 7`, prints a certificate. `chronicle`, `evidence`,
`verdict` and `certificate` import nothing of the engine: what it did is judged from files that others wrote and by SQL.
"""
