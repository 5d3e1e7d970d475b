//go:build external

package native

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"ropewalk/engine"
	"ropewalk/graph"
	"ropewalk/tensor"
)

// ortScript runs a model on inputs, and tells its outputs and how long a run takes.
const ortScript = `
import json, sys, time, numpy as np, onnxruntime as ort
job = json.load(sys.stdin)
o = ort.SessionOptions(); o.intra_op_num_threads = job["threads"]
o.add_session_config_entry("session.intra_op.allow_spinning", "0")
s = ort.InferenceSession(job["model"], o, providers=["CPUExecutionProvider"])
feed = {}
for i in s.get_inputs():
    v = job["inputs"][i.name]
    feed[i.name] = np.array(v["int"] if v["int"] else v["float"], dtype=np.int64 if v["int"] else np.float32).reshape(v["shape"])
out = s.run(None, feed)
times = []
for _ in range(job["runs"]):
    a = time.process_time(); s.run(None, feed); times.append(time.process_time() - a)
json.dump({"outputs": [x.astype(np.float64).ravel().tolist() for x in out], "seconds": sorted(times)[len(times)//2]}, sys.stdout)
`

type ortInput struct {
	Shape []int64   `json:"shape"`
	Float []float32 `json:"float"`
	Int   []int64   `json:"int"`
}

// Models from the wild give what ONNX Runtime gives.
func TestModels(t *testing.T) {
	dir, python := os.Getenv("ROPEWALK_MODELS"), os.Getenv("ROPEWALK_PYTHON")
	if dir == "" || python == "" {
		t.Skip("ROPEWALK_MODELS and ROPEWALK_PYTHON (with onnxruntime) are not set")
	}
	if err := exec.Command(python, "-c", "import onnxruntime").Run(); err != nil {
		t.Skip("ROPEWALK_PYTHON has no onnxruntime")
	}
	float := func(shape ...int64) engine.Array {
		x := engine.Array{Shape: shape, Float: make([]float32, product(shape))}
		r := splitmix(3)
		for i := range x.Float {
			x.Float[i] = float32(r()>>40)/(1<<24) - 0.5
		}
		return x
	}
	rate := engine.Array{Shape: tensor.Shape{}, Int: []int64{16000}}
	for _, tt := range []struct {
		model  string
		inputs []engine.Array
	}{
		{"ch_PP-OCRv4_det_infer", []engine.Array{float(1, 3, 320, 320)}},
		{"ch_PP-OCRv4_rec_infer", []engine.Array{float(1, 3, 48, 320)}},
		{"ch_ppocr_mobile_v2.0_cls_infer", []engine.Array{float(1, 3, 48, 192)}},
		{"silero_vad_v5", []engine.Array{float(1, 576), float(2, 1, 128), rate}},
		{"silero_vad_v6", []engine.Array{float(1, 576), float(2, 1, 128), rate}},
		{"resnet20", []engine.Array{float(128, 3, 32, 32)}},
		{"silero_vad_legacy", []engine.Array{float(1, 512), rate, float(2, 1, 64), float(2, 1, 64)}},
	} {
		t.Run(tt.model, func(t *testing.T) {
			path := filepath.Join(dir, tt.model+".onnx")
			if tt.model == "resnet20" {
				path = filepath.Join(t.TempDir(), "resnet20.onnx")
				g, _ := network(t, tt.model, 1, nil)
				var file bytes.Buffer
				if err := g.WriteONNX(&file); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Skip(err)
			}
			g, err := graph.FromONNX(tt.model, tensor.Bytes(raw), nil)
			if err != nil {
				t.Fatal(err)
			}
			job := map[string]any{"model": path, "threads": 2, "runs": 10}
			feed := map[string]ortInput{}
			for i, in := range g.Inputs {
				feed[in.Name] = ortInput{append([]int64{}, tt.inputs[i].Shape...), tt.inputs[i].Float, tt.inputs[i].Int}
			}
			job["inputs"] = feed
			question, err := json.Marshal(job)
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(python, "-c", ortScript)
			cmd.Stdin, cmd.Stderr = bytes.NewReader(question), os.Stderr
			answer, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			var want struct {
				Outputs [][]float64
				Seconds float64
			}
			if err := json.Unmarshal(answer, &want); err != nil {
				t.Fatal(err)
			}
			p, err := compile(g, &engine.Options{Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			out, err := p.Forward(tt.inputs)
			if err != nil {
				t.Fatal(err)
			}
			for i, w := range want.Outputs {
				compare(t, g.Outputs[i], out[i].Float, w, 1e-4)
			}
			best := math.Inf(1)
			before, start := processorTime(), time.Now()
			const runs = 10
			for range runs {
				a := processorTime()
				if _, err := p.Forward(tt.inputs); err != nil {
					t.Fatal(err)
				}
				best = min(best, processorTime()-a)
			}
			mean := (processorTime() - before) / runs
			t.Logf("%s: %.2f ms of processor time, best %.2f, %.2f on the clock; ONNX Runtime %.2f; ratio %.2f", tt.model, mean*1e3, best*1e3,
				float64(time.Since(start).Milliseconds())/runs, want.Seconds*1e3, mean/want.Seconds)
		})
	}
}
