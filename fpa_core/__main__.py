"""Makes ``python -m fpa_core`` the same as ``fpa``."""

from fpa_core.cli.main import main

if __name__ == "__main__":
    main()
