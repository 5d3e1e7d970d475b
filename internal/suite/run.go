package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A Refusal is an answer of the program that a table can show: what was asked for, such
// as a size, cannot be had.
type Refusal struct{ Text string }

func (r *Refusal) Error() string { return r.Text }

// A Runner runs jobs.
type Runner struct {
	// Run runs a command of the program and returns its result as JSON. A negative
	// answer is a result, too. Nothing else goes on if it is alone.
	Run     func(ctx context.Context, words []string, alone bool) ([]byte, error)
	Results string            // file of records, which are added to
	Work    string            // folder for the files of rows; it is made, and removed
	Data    map[string]string // where data is
	Jobs    int               // at a time
	Threads int               // of measurements; 0 for all
	Keep    bool              // files of rows stay
	Program string            // version
	// Progress is told of each job that begins or ends, by one goroutine at a time.
	Progress func(Progress)
}

// A Progress says how far a run is.
type Progress struct {
	Done, Total int
	Job         *Job  // that began, or ended if there is an error or Ended
	Ended       bool  // it is over
	Err         error // why it failed, which is tried again next time
}

// A resultsFile is an open file of records.
type resultsFile interface {
	io.WriterAt
	Truncate(size int64) error
}

// A run is one that goes on.
type run struct {
	*Runner
	file resultsFile

	mu      sync.Mutex
	size    int64 // of the whole lines in the file
	done    int
	total   int
	records []Record
	failed  []error
	starts  map[string]*sync.Once
	errs    map[string]error
}

// Do runs all jobs that have no record yet and lack no data, and returns the records of
// all. Jobs that fail are told of, and do not keep others from being run; their errors
// are returned together.
func (r *Runner) Do(ctx context.Context, jobs []*Job) ([]Record, error) {
	records, size, err := readRecords(r.Results)
	if err != nil {
		return nil, err
	}
	if err := makeWork(r.Work); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(r.Results, os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// What is behind the whole lines is half a line.
	if err := f.Truncate(size); err != nil {
		return nil, err
	}
	u := &run{Runner: r, file: f, size: size, records: records, starts: map[string]*sync.Once{}, errs: map[string]error{}}
	var shared, alone []*Job
	for _, j := range jobs {
		switch {
		case len(j.Missing) > 0 || find(records, j) != nil:
		case j.Table.Alone:
			alone = append(alone, j)
		default:
			shared = append(shared, j)
		}
	}
	u.total = len(shared) + len(alone)
	u.work(ctx, shared, max(1, r.Jobs))
	u.work(ctx, alone, 1)
	if err := ctx.Err(); err != nil {
		return u.records, context.Cause(ctx)
	}
	if len(u.failed) == 0 && !r.Keep {
		if err := removeWork(r.Work); err != nil {
			return u.records, err
		}
	}
	return u.records, errors.Join(append(u.failed, f.Sync())...)
}

// Measured reports whether records have one of the job.
func (j *Job) Measured(records []Record) bool { return find(records, j) != nil }

// find returns the last record of a job, with its data. Data that is not given is the one
// that was measured with last, so that tables do not mix several.
func find(records []Record, j *Job) *Record {
	for i := len(records) - 1; i >= 0; i-- {
		r := &records[i]
		if r.Suite == j.Suite.Name && r.Row == j.Line() && r.Seed == j.Seed && r.Options == j.options && j.isWith(r, records) {
			return r
		}
	}
	return nil
}

// isWith reports whether a record was measured with the data of the job. One that does not
// say of all of it what it was, is of unknown data.
func (j *Job) isWith(r *Record, records []Record) bool {
	for k, want := range j.data {
		for i := len(records) - 1; i >= 0 && want == ""; i-- {
			want = records[i].Data[k]
		}
		if want == "" || r.Data[k] != want {
			return false
		}
	}
	return true
}

// work runs jobs, n at a time.
func (u *run) work(ctx context.Context, jobs []*Job, n int) {
	queue := make(chan *Job)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for j := range queue {
				u.one(ctx, j)
			}
		})
	}
	for _, j := range jobs {
		if ctx.Err() != nil {
			break
		}
		queue <- j
	}
	close(queue)
	wg.Wait()
}

// one runs a job and writes its record.
func (u *run) one(ctx context.Context, j *Job) {
	if ctx.Err() != nil {
		return
	}
	u.tell(j, false, nil)
	rec, err := u.measure(ctx, j)
	if ctx.Err() != nil {
		return
	}
	u.mu.Lock()
	if err == nil {
		err = u.keep(rec)
	}
	if err != nil {
		err = fmt.Errorf("%s %s, seed %d: %w", j.Suite.Name, j.Line(), j.Seed, err)
		u.failed = append(u.failed, err)
	}
	u.done++
	u.mu.Unlock()
	u.tell(j, true, err)
}

// keep writes a record behind the whole lines of the file. If that fails, as on a full disk,
// what was written of it goes: another line behind half a line could not be read.
func (u *run) keep(rec *Record) error {
	n, err := appendRecord(io.NewOffsetWriter(u.file, u.size), rec)
	if err != nil {
		return errors.Join(err, u.file.Truncate(u.size))
	}
	u.size += int64(n)
	u.records = append(u.records, *rec)
	return nil
}

func (u *run) tell(j *Job, ended bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.Progress != nil {
		u.Progress(Progress{Done: u.done, Total: u.total, Job: j, Ended: ended, Err: err})
	}
}

// measure runs the commands of a job.
func (u *run) measure(ctx context.Context, j *Job) (*Record, error) {
	begin := time.Now()
	rec := &Record{
		Suite: j.Suite.Name, Table: j.Table.Name, Row: j.Line(), Seed: j.Seed, Options: j.options, Data: j.data,
		Program: u.Program, Commands: j.Commands(), Values: map[string]float64{},
	}
	here := filepath.Join(u.Work, filepath.FromSlash(j.folder()))
	if err := os.RemoveAll(here); err != nil { // what an interrupted run has left
		return nil, err
	}
	if err := os.MkdirAll(here, 0o777); err != nil {
		return nil, err
	}
	if !u.Keep {
		defer os.RemoveAll(here)
	}
	start, err := u.begin(ctx, j)
	if err == nil {
		err = u.fill(ctx, j, rec, here, start)
	}
	if refused, ok := errors.AsType[*Refusal](err); ok {
		rec.Failed, rec.Values, err = refused.Text, map[string]float64{}, nil
	}
	rec.Seconds = time.Since(begin).Seconds()
	return rec, err
}

// begin does what rows share, once, and returns its folder.
func (u *run) begin(ctx context.Context, j *Job) (string, error) {
	if len(j.start) == 0 {
		return "", nil
	}
	key := j.startKey()
	dir := filepath.Join(u.Work, "start-"+key)
	u.mu.Lock()
	once := u.starts[key]
	if once == nil {
		once = &sync.Once{}
		u.starts[key] = once
	}
	u.mu.Unlock()
	once.Do(func() {
		err := u.starting(ctx, j, dir)
		u.mu.Lock()
		u.errs[key] = err
		u.mu.Unlock()
	})
	u.mu.Lock()
	defer u.mu.Unlock()
	return dir, u.errs[key]
}

// startDone is a file in the folder of a start that came to its end.
const startDone = "done"

func (u *run) starting(ctx context.Context, j *Job, dir string) error {
	done := filepath.Join(dir, startDone)
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o777)); err != nil {
		return err
	}
	for _, line := range j.start {
		if _, err := u.command(ctx, j, j.words(line, dir, dir, u.Data)); err != nil {
			return fmt.Errorf("start: %q: %w", line, err)
		}
	}
	return os.WriteFile(done, nil, 0o666)
}

// fill runs the steps and takes the values.
func (u *run) fill(ctx context.Context, j *Job, rec *Record, here, start string) error {
	var results []any
	for i, line := range j.steps {
		text, err := u.command(ctx, j, j.words(line, here, start, u.Data))
		if err != nil {
			return fmt.Errorf("step %d, %q: %w", i+1, line, err)
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return fmt.Errorf("step %d, %q: %w", i+1, line, err)
		}
		results = append(results, v)
	}
	values := j.Table.valuesOf(j.Row)
	for _, column := range keysOf(values) {
		e, err := parseExpression(values[column])
		if err != nil {
			return err
		}
		x, ok, err := e.value(results)
		if err != nil {
			return fmt.Errorf("value %s: %w", column, err)
		}
		if ok {
			rec.Values[column] = x
		}
	}
	return nil
}

func (u *run) command(ctx context.Context, j *Job, words []string) ([]byte, error) {
	if words[0] != measureVerb {
		return u.Run(ctx, words, j.Table.Alone)
	}
	m, err := parseMeasure(words[1:])
	if err != nil {
		return nil, err
	}
	m.threads = u.Threads
	v, err := m.run(ctx)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}
