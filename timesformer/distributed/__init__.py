"""Processes: who they are (`process`) and how they start (`launch`)."""
