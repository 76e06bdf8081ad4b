"""``python -m service.cli`` is ``ccdm``."""

from service.cli import main

if __name__ == "__main__":
    main()
