"""Tables and plots re-made by one command: runs, what came of them, whether a claim holds."""
