package train

import (
	"fmt"

	"ropewalk/engine"
)

// A state is where a run is, between two updates: all that a resumed run needs to
// go on as if nothing had happened. Its JSON is part of a snapshot.
type state struct {
	Epoch   int     `json:"epoch"`   // in work
	Batch   int     `json:"batch"`   // batches of the epoch that are done
	Step    uint64  `json:"step"`    // updates that are done
	Batches uint64  `json:"batches"` // steps of the program that are done
	Rate    float64 `json:"rate"`    // of the last update

	// Sums over the epoch so far.
	Loss      float64            `json:"loss"` // times examples
	Examples  int64              `json:"examples"`
	Penalties map[string]float64 `json:"penalties,omitempty"` // times updates

	Watch watch `json:"watch"`

	Best struct {
		Seen  bool    `json:"seen"`
		Epoch int     `json:"epoch"`
		Value float64 `json:"value"` // lower is better
		Bad   int     `json:"bad"`   // evaluations since
		// Terms are the states of penalties and hooks by name.
		Terms map[string][]byte `json:"terms,omitempty"`
		Kept  bool              `json:"kept"` // the weights are in the snapshot
	} `json:"best"`

	Seconds float64           `json:"seconds"`
	Events  int               `json:"events"` // lines of history
	Stopped bool              `json:"stopped,omitempty"`
	Terms   map[string][]byte `json:"terms,omitempty"`

	LastLoss float64 `json:"last_loss"` // for the report
}

// memory is the numbers of a run: what is large in a snapshot.
type memory struct {
	weights []engine.Weight // all, in the order of the program
	trained []engine.Weight // those with a gradient
	grads   *averages
	average [][]float32 // of the trained weights, or nil
	best    [][]float32 // of all weights, or nil
}

// tensors calls f for each tensor of the memory, with a name that is unique.
func (m *memory) tensors(f func(name string, w *engine.Weight, values []float32)) {
	list := func(prefix string, w []engine.Weight, values [][]float32) {
		for i := range values {
			f(prefix+"/"+w[i].Name, &w[i], values[i])
		}
	}
	for i := range m.weights {
		f("weights/"+m.weights[i].Name, &m.weights[i], m.weights[i].Values)
	}
	list("first", m.trained, m.grads.first)
	list("second", m.trained, m.grads.second)
	list("average", m.trained, m.average)
	list("best", m.weights, m.best)
}

// clones returns copies of values.
func clones(w []engine.Weight) [][]float32 {
	list := make([][]float32, len(w))
	for i := range w {
		list[i] = append([]float32(nil), w[i].Values...)
	}
	return list
}

func copyFrom(w []engine.Weight, values [][]float32) {
	for i := range w {
		copy(w[i].Values, values[i])
	}
}

func copyTo(values [][]float32, w []engine.Weight) {
	for i := range w {
		copy(values[i], w[i].Values)
	}
}

// keepers returns what has a memory, by name.
func (o *Options) keepers() map[string]Keeper {
	all := map[string]Keeper{}
	for _, p := range o.Penalties {
		if k, ok := p.(Keeper); ok {
			all[p.Name()] = k
		}
	}
	for _, h := range o.Hooks {
		if k, ok := h.(Keeper); ok {
			all[h.Name()] = k
		}
	}
	return all
}

// terms returns the states of penalties and hooks.
func (o *Options) terms() (map[string][]byte, error) {
	all := map[string][]byte{}
	for name, k := range o.keepers() {
		b, err := k.State()
		if err != nil {
			return nil, fmt.Errorf("state of %q: %w", name, err)
		}
		all[name] = b
	}
	return all, nil
}

// setTerms puts states back.
func (o *Options) setTerms(all map[string][]byte) error {
	for name, k := range o.keepers() {
		b, ok := all[name]
		if !ok {
			return fmt.Errorf("there is no state of %q", name)
		}
		if err := k.SetState(b); err != nil {
			return fmt.Errorf("state of %q: %w", name, err)
		}
	}
	return nil
}
