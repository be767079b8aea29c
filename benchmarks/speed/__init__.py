"""Speed, measured by pytest-benchmark (`make speed`): each step beside its limit or peer in the same run, never a timed test."""
