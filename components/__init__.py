"""Seven stages as Kubeflow components: lightweight, on our own image, importing nothing heavy before they run."""
