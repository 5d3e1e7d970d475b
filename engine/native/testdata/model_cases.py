# Makes cases, as those of ONNX are, of all models of some folders: random inputs, and the
# outputs that ONNX Runtime has for them. Usage: model_cases.py MODELS... CASES
import glob, os, shutil, sys
import numpy as np, onnx, onnxruntime
from onnx import numpy_helper

rng = np.random.default_rng(1)
types = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(double)": np.float64}


def shapes(name, inputs):
    """Shapes of the inputs of several calls: those of images, of speech, of states."""
    if any(i.name == "sr" for i in inputs):
        for rate, window in ((16000, 512), (8000, 256)):
            yield {i.name: [1, window] if len(i.shape) == 2 else [2, 1, 128 if i.shape[-1] == 128 else 64] for i in inputs if i.name != "sr"}, rate
        return
    if name.startswith("resnet"):
        for batch in (128, 5):
            yield {i.name: [batch] for i in inputs}, None
        return
    for height, width in ((48, 64), (48, 96), (48, 320)) if "rec" in name or "cls" in name else ((64, 192), (96, 128), (320, 320)):
        yield {i.name: [1, 3, height, width] for i in inputs}, None


def writing(shape):
    """An image of dark letters on light ground, for a detector of text."""
    letters = ["01110100011000111111100011000110001", "11111001000010000100001000010000100", "11110100011000111110101001001010001"]
    image = np.full(shape, 2.2)
    for n in range(shape[3] // 24):
        glyph = np.array([int(c) for c in letters[n % 3]]).reshape(7, 5).repeat(4, 0).repeat(4, 1)
        image[:, :, 18:46, 2 + 24 * n:22 + 24 * n] -= 4.2 * glyph
    return image


for path in sorted(p for folder in sys.argv[1:-1] for p in glob.glob(os.path.join(folder, "*.onnx"))):
    s = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = os.path.splitext(os.path.basename(path))[0]
    folder = os.path.join(sys.argv[-1], "model", name)
    os.makedirs(folder)
    shutil.copy(path, os.path.join(folder, "model.onnx"))
    for k, (free, rate) in enumerate(shapes(name, s.get_inputs())):
        feed = {}
        for i in s.get_inputs():
            if i.name == "sr":
                feed[i.name] = np.array(rate, np.int64)
                continue
            shape = [d if isinstance(d, int) and d > 0 else free[i.name][n] for n, d in enumerate(i.shape)]
            feed[i.name] = (rng.standard_normal(shape) * 0.3).astype(types[i.type])
            if "det" in name:
                feed[i.name] += writing(shape).astype(np.float32)
        outputs = s.run(None, feed)
        dir = os.path.join(folder, "test_data_set_%d" % k)
        os.makedirs(dir)
        names = [o.name for o in s.get_outputs()]
        for kind, arrays in (("input", feed.items()), ("output", zip(names, outputs))):
            for n, (key, x) in enumerate(arrays):
                with open(os.path.join(dir, "%s_%d.pb" % (kind, n)), "wb") as f:
                    f.write(numpy_helper.from_array(np.asarray(x), key).SerializeToString())
