"""Steps of a run: who was handed over waits, falls due, and takes the next step in an execution of its own."""
