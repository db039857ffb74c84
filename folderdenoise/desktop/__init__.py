"""The window: ``folderdenoise gui``. A front end over the same rooms as the command line; needs the extra
``desktop``.

Nothing here is imported by other rooms. Of Qt, only QtCore, QtGui and QtWidgets.
"""
