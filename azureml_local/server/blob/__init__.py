"""The Blob service: containers and blobs as Azure Storage's clients ask for them, and Open Datasets' MNIST."""
