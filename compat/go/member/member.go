// Package member is what the members of groups written in Go share: their arguments, lines and commands, as
// compat/groups/members/README.md tells them.
package member

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Partition is one of a topic's.
type Partition struct {
	Topic  string
	Number int32
}

// MarshalJSON writes it as [topic, number].
func (p Partition) MarshalJSON() ([]byte, error) { return json.Marshal([]any{p.Topic, p.Number}) }

// Record is a message that was processed.
type Record struct {
	Partition
	Offset int64
	Value  string
}

// MarshalJSON writes it as [topic, number, offset, value].
func (r Record) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{r.Topic, r.Number, r.Offset, r.Value})
}

var (
	options  = map[string]string{}
	speaking sync.Mutex
	paused   atomic.Bool
)

// Option is an argument, or "" where it was not given.
func Option(name string) string { return options[name] }

// Milliseconds is an argument that is a time.
func Milliseconds(name string) time.Duration {
	number, failure := strconv.Atoi(options[name])
	if failure != nil {
		Fail(failure)
	}
	return time.Duration(number) * time.Millisecond
}

// CommitsPaused tells whether the driver has forbidden commits.
func CommitsPaused() bool { return paused.Load() }

// Start reads the arguments. The context ends when the member has to commit, leave and end.
func Start() context.Context {
	for _, word := range os.Args[1:] {
		name, value, _ := strings.Cut(word, "=")
		options[name] = value
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		commands := bufio.NewScanner(os.Stdin)
		for commands.Scan() {
			switch commands.Text() {
			case "close":
				cancel()
			case "pause-commits":
				paused.Store(true)
			case "resume-commits":
				paused.Store(false)
			}
		}
		if ctx.Err() == nil {
			os.Exit(2) // the driver is gone
		}
	}()
	return ctx
}

func say(event string, fields map[string]any) {
	speaking.Lock()
	defer speaking.Unlock()
	fields["at"], fields["event"] = time.Now().UnixMilli(), event
	line, failure := json.Marshal(fields)
	if failure != nil {
		panic(failure)
	}
	os.Stdout.Write(append(line, '\n'))
}

func Assigned(partitions []Partition) { say("assigned", map[string]any{"partitions": partitions}) }
func Revoked(partitions []Partition)  { say("revoked", map[string]any{"partitions": partitions}) }
func Lost(partitions []Partition)     { say("lost", map[string]any{"partitions": partitions}) }
func Refused(failure error)           { say("refused", map[string]any{"error": failure.Error()}) }

func Processed(records []Record) {
	if len(records) > 0 {
		say("records", map[string]any{"records": records})
	}
}

func Committed(offsets map[Partition]int64) {
	said := []any{}
	for partition, offset := range offsets {
		said = append(said, []any{partition.Topic, partition.Number, offset})
	}
	say("committed", map[string]any{"offsets": said})
}

// Closed says that the member ended cleanly, and ends it.
func Closed() {
	say("closed", map[string]any{})
	os.Exit(0)
}

// Fail says why the member ends otherwise, and ends it.
func Fail(failure error) {
	say("error", map[string]any{"error": failure.Error()})
	os.Exit(1)
}
