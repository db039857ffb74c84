"""The same ``process_file()`` on many machines: a Dask cluster does a run's files, and URLs are read and written.

``run.run`` is what the command line calls. Nothing is imported here: Dask is an extra.
"""
