"""Exports small networks from Keras with tf2onnx and writes a line of JSON for each,
like torch_export.py."""
import base64, json, os, sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
import tf2onnx
from tensorflow.keras import layers as L

tf.get_logger().setLevel("ERROR")
tf.keras.utils.set_random_seed(1)

def image(*grow):
    return tf.keras.Sequential([
        L.Input((12, 12, 3), name="x"),
        L.Conv2D(8, 3, padding="same"), L.BatchNormalization(), L.ReLU(6.0),
        L.DepthwiseConv2D(3, strides=2, padding="same"), L.BatchNormalization(), L.LeakyReLU(0.1),
        L.Conv2DTranspose(6, 3, strides=2, padding="same"), L.PReLU(shared_axes=[1, 2]),
        *grow, L.AveragePooling2D(2), L.ZeroPadding2D(1), L.Cropping2D(1),
        L.SeparableConv2D(6, 3, dilation_rate=2, padding="same"), L.MaxPooling2D(2), L.LayerNormalization(), L.Dropout(0.5),
        L.GlobalAveragePooling2D(), L.Dense(5, activation="softmax"),
    ])


text = tf.keras.Sequential([
    L.Input((7, 4), name="x"),
    L.Bidirectional(L.LSTM(3, return_sequences=True)), L.GRU(4), L.Dense(3, activation="gelu"),
])

NETS = (
    ("image", image(), (2, 12, 12, 3), (9, 10)),  # what tf2onnx makes of UpSampling2D needs opset 11
    ("image, nearest", image(L.UpSampling2D(2)), (2, 12, 12, 3), (11,)),
    ("image, bilinear", image(L.UpSampling2D(2, interpolation="bilinear")), (2, 12, 12, 3), (11, 18)),
    ("text", text, (2, 7, 4), (9, 13, 18)),
)
for name, net, shape, opsets in NETS:
    for w in net.weights:
        w.assign(w + np.random.normal(0, 0.1, w.shape).astype("float32") ** 2)
    x = np.random.normal(size=shape).astype("float32")
    y = net(x, training=False).numpy()
    for opset in opsets:
        model, _ = tf2onnx.convert.from_keras(net, opset=opset)
        array = lambda a: {"Type": "F32", "Shape": list(a.shape), "Values": [float(v) for v in a.ravel()]}
        json.dump({
            "Name": "%s, opset %d" % (name, opset),
            "Folded": True,
            "File": base64.b64encode(model.SerializeToString()).decode(),
            "Inputs": {model.graph.input[0].name: array(x)},
            "Outputs": {model.graph.output[0].name: array(y)},
        }, sys.stdout)
        print(flush=True)
