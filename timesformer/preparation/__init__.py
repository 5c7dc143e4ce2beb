"""Data sets made ready and looked over: re-encoded, taken apart into frames, checked; no torch."""
