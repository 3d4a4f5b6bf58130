"""Azure Open Datasets' MNIST without Azure: from the user's files, or drawn from digits that every
scikit-learn has.
"""
