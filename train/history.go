package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// An Event is what History says of an epoch.
type Event struct {
	Type  string `json:"type"`  // "epoch"
	Epoch int    `json:"epoch"` // from 1
	Step  uint64 `json:"step"`  // updates so far
	Batch int    `json:"batch"` // examples of a batch
	// Rate is the learning rate of the last update.
	Rate float64 `json:"rate"`
	// Loss is the mean of the objective over the examples of the epoch, as the
	// network was when it saw them.
	Loss float64 `json:"loss"`
	// Penalties are the means over the updates of the epoch, by name.
	Penalties map[string]float64 `json:"penalties,omitempty"`
	// Validation is there after an evaluation, and Best says that none before was
	// better.
	Validation *Summary `json:"validation,omitempty"`
	Best       bool     `json:"best,omitempty"`
	// Notes are what each [Observer] says, by its name.
	Notes map[string]map[string]float64 `json:"notes,omitempty"`
	// Seconds is the time of training so far.
	Seconds float64 `json:"seconds"`
}

// A Summary is the short form of a [Result].
type Summary struct {
	Loss float64  `json:"loss"`
	Top1 *float64 `json:"top1,omitempty"`
	Top5 *float64 `json:"top5,omitempty"`
}

// A journal is a history that is being written.
type journal struct {
	f *os.File // nil if there is none
}

// openJournal opens the file, of which the first lines are kept. What a killed run
// wrote after its last snapshot is written again.
func openJournal(path string, keep int) (*journal, error) {
	if path == "" {
		return &journal{}, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	end, err := endOfLines(path, keep)
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		_, err = f.Seek(end, 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("history %s: %w", path, err), f.Close())
	}
	return &journal{f}, nil
}

// endOfLines returns the size of the first n lines of a file, or of those that
// there are.
func endOfLines(path string, n int) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	end := 0
	for range n {
		i := bytes.IndexByte(b[end:], '\n')
		if i < 0 {
			break
		}
		end += i + 1
	}
	return int64(end), nil
}

func (j *journal) write(e *Event) error {
	if j.f == nil {
		return nil
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := j.f.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	return nil
}

// sync makes lines durable, before a snapshot counts on them.
func (j *journal) sync() error {
	if j.f == nil {
		return nil
	}
	return j.f.Sync()
}

func (j *journal) close() error {
	if j.f == nil {
		return nil
	}
	return j.f.Close()
}
