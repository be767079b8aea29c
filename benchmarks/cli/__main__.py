"""`python -m benchmarks.cli` is `bench`."""

from . import main

if __name__ == "__main__":
    main()
