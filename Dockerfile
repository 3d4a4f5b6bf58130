# Everything in one image: docker build -t azureml-local . && docker run --rm azureml-local
# The locked packages have builds for Linux on x86-64 and on ARM (docs/howto/places.md says what was tried).
FROM python:3.11-slim-bookworm

# What jobs and the set-up call: git for packages from a repository, bash and make for people.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bash git make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --shell /bin/bash azureml
USER azureml
WORKDIR /home/azureml/project

# The packages first: a change of the code leaves this layer as it is.
COPY --chown=azureml pyproject.toml requirements.txt README.md LICENSE ./
COPY --chown=azureml scripts/setup scripts/setup
COPY --chown=azureml azureml_local azureml_local
RUN scripts/setup
COPY --chown=azureml . .

ENV PATH=/home/azureml/project/.venv/bin:$PATH
# Whatever command is given has a workspace around it.
ENTRYPOINT ["azureml-local", "run", "--"]
CMD ["azureml-local", "tutorial"]
