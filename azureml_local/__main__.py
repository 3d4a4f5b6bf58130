"""``python -m azureml_local`` is ``azureml-local``."""

from azureml_local.cli.app import main

if __name__ == "__main__":
    main()
