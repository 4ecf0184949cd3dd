"""The web page: the files in `static`, and how they are served."""
