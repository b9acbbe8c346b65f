"""What partners report of the executions that they carry out: totals without people, and facts about people."""
