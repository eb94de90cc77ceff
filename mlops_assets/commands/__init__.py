"""What the ``mlops-assets`` command line does, one file per word."""
