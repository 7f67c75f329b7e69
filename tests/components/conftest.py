from importlib.util import find_spec

# Kubeflow is an extra; without it there is nothing here to test.
collect_ignore_glob = [] if find_spec("kfp") else ["test_*.py"]
