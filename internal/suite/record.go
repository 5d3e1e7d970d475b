package suite

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// A Record is what a job came to, as a line of JSON.
type Record struct {
	Schema   string             `json:"schema"`
	Suite    string             `json:"suite"`
	Table    string             `json:"table"`
	Row      string             `json:"row" about:"with the values of each, with slashes between them"`
	Seed     uint64             `json:"seed"`
	Options  string             `json:"options" about:"digest of the commands and values of the row"`
	Data     map[string]string  `json:"data,omitempty" about:"what identifies the data in the commands, by name: builtin:NAME, or a digest of what is in the file or folder"`
	Program  string             `json:"program" about:"version"`
	Commands []string           `json:"commands" about:"what was run; $here and $start are folders, other names with a dollar are data"`
	Values   map[string]float64 `json:"values" about:"by column"`
	Failed   string             `json:"failed,omitempty" about:"why there are no values: what was asked for cannot be had"`
	Seconds  float64            `json:"seconds"`
	Digest   string             `json:"digest" about:"SHA-256 of the line without it"`
}

// RecordSchema names the form of records.
const RecordSchema = "ropewalk/bench-record/1"

// sum returns the digest of all else.
func (r Record) sum() (string, error) {
	r.Digest = ""
	b, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	d := sha256.Sum256(b)
	return hex.EncodeToString(d[:16]), nil
}

// Whole reports whether a record is as it was written, by its digest.
func (r *Record) Whole() bool {
	d, err := r.sum()
	return err == nil && d == r.Digest
}

// A ChangedError is about a line of results that is not as it was written.
type ChangedError struct {
	File   string
	Line   int
	Reason string
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s:%d: this line is not as it was written: %s", e.File, e.Line, e.Reason)
}

// maxRecords is a generous size for a file of results.
const maxRecords = 256 << 20

// ReadRecords reads a file of results; one that is not there has none. A last line that
// has no end is of a run that was stopped while it wrote, and is left out. Errors about
// what is in it are of the type [*ChangedError].
func ReadRecords(name string) ([]Record, error) {
	records, _, err := readRecords(name)
	return records, err
}

// readRecords returns how many bytes the whole lines have, too.
func readRecords(name string) (records []Record, size int64, err error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxRecords+1))
	if err != nil {
		return nil, 0, err
	}
	if len(text) > maxRecords {
		return nil, 0, fmt.Errorf("%s has more than %d bytes, which are no results", name, maxRecords)
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	for n, line := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		if len(text) == 0 {
			break
		}
		var r Record
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil {
			return nil, 0, &ChangedError{name, n + 1, err.Error()}
		}
		if !r.Whole() || r.Schema != RecordSchema {
			return nil, 0, &ChangedError{name, n + 1, "its digest is another"}
		}
		records = append(records, r)
	}
	return records, int64(len(text)), nil
}

// appendRecord writes a line, as a whole, and returns how many bytes it has.
func appendRecord(w io.Writer, r *Record) (int, error) {
	r.Schema = RecordSchema
	var err error
	if r.Digest, err = r.sum(); err != nil {
		return 0, err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	return w.Write(append(b, '\n'))
}
