"""Runs as jobs of a cluster, through submitit."""
