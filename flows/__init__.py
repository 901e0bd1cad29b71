"""The DAG: one flow a file; a flow only wires tasks.

Prefect reads the environment once, when it is imported, which every module here does: hence it is set before them.
"""

from pipeline_config.settings import configure_environment

configure_environment()
