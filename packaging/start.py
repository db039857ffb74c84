"""What the executable runs: ``folderdenoise.desktop.launch``, as a member of its package."""

import os
import sys

# On Linux the program's own libraries are found by LD_LIBRARY_PATH, which has been read by now. What it starts, like
# the file manager for "open result folder", must take the system's.
before = os.environ.pop("LD_LIBRARY_PATH_ORIG", None)
if before is not None:
    os.environ["LD_LIBRARY_PATH"] = before
else:
    os.environ.pop("LD_LIBRARY_PATH", None)

from folderdenoise.desktop.launch import main  # noqa: E402

sys.exit(main())
