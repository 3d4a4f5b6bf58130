import json
import os
from pathlib import Path

import joblib
import numpy as np


def init():
    global model
    folder = Path(os.environ["AZUREML_MODEL_DIR"])
    model = joblib.load(folder / "sklearn_mnist_model.pkl")


def run(data):
    images = np.array(json.loads(data)["data"], dtype=np.float32) / 255
    return model.predict(images).tolist()
