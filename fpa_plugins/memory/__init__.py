"""The ``memory`` cache: entries of this process, bounded in number and bytes."""
