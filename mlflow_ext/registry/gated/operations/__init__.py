"""What a gated registry can be asked, one module for each subject.

Every operation is a function from the store and a payload to a JSON document. The HTTP API and the
client inside the process call the same ones, through `mlflow_ext.registry.gated.service`.
"""
