"""The review page: officers read the archive in a browser, with a look noted for everything that people wrote."""
