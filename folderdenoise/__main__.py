"""``python -m folderdenoise``."""

from folderdenoise.cli import main

if __name__ == "__main__":
    main()
