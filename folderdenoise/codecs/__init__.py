"""Rooms behind ``folderdenoise.images``: one per library or file structure. Use ``folderdenoise.images`` from
outside."""
