"""The workshop: trains, evaluates and exports the models that the ``folderdenoise`` tool applies.

Written with Keras 3 and ``keras.ops`` alone, so that ``KERAS_BACKEND=torch`` or ``jax`` trains the same recipes;
the export to ONNX runs under the TensorFlow backend. Nothing in ``folderdenoise`` imports this package.
"""
