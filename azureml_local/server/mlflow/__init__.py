"""MLflow's REST API 2.0 over the workspace: tracking and the model registry.

Names of fields, and what each call means, are those of MLflow's service.proto and model_registry.proto; which calls its
clients send was measured with mlflow 2.8.0, 2.22.5 and 3.15.0. A run here is a run of the workspace, whoever made it.
"""
