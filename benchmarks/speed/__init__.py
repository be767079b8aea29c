"""Speed, measured by pytest-benchmark (`make speed`): each step, and its limit or alternative in the same run."""
