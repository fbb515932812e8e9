"""The ``disk`` cache: entries in a folder, shared by processes and kept between runs."""
