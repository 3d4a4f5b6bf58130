"""The command line, ``azureml-local``: one module for each group of commands."""
