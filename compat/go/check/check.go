// Package check says what is expected. A check that holds prints one line, one that does not ends the suite: it panics with
// a Wrong, which Suite turns into a line and an exit code.
package check

import (
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"time"
)

// Limit is how long anything may take that has to happen.
const Limit = 100 * time.Second

// Wrong is a check that did not hold, and the error that it was, if any.
type Wrong struct {
	Claim string
	Cause error
}

func (w Wrong) Error() string { return w.Claim }
func (w Wrong) Unwrap() error { return w.Cause }

// Pass prints that a check held.
func Pass(format string, arguments ...any) {
	fmt.Printf("  ok   "+format+"\n", arguments...)
}

// Require ends the suite where a claim does not hold, and prints nothing where it does.
func Require(holds bool, format string, arguments ...any) {
	if !holds {
		panic(Wrong{Claim: fmt.Sprintf(format, arguments...)})
	}
}

// Must ends the suite where something failed.
func Must(failure error, format string, arguments ...any) {
	if failure != nil {
		panic(Wrong{fmt.Sprintf(format, arguments...) + ": " + failure.Error(), failure})
	}
}

// Same compares, and prints the check where both are deeply equal.
func Same[T any](check string, expected, actual T) {
	Require(reflect.DeepEqual(expected, actual), "%s: expected <%s>, got <%s>", check, shorten(expected), shorten(actual))
	Pass("%s", check)
}

// Settled is Same for what an admin call changed. That is there when the call is answered; but Kafka answers from the
// controller, a little before its broker has heard of the change, so that there it may take up to 10 s.
func Settled[T any](check string, expected T, read func() T) {
	deadline := time.Now()
	if OnKafka() {
		deadline = deadline.Add(10 * time.Second)
	}
	actual := read()
	for !reflect.DeepEqual(expected, actual) && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
		actual = read()
	}
	Same(check, expected, actual)
}

// OnKafka tells whether the broker is the real Kafka.
func OnKafka() bool { return os.Getenv("BROKER") == "kafka" }

// Scale is how many times as much is sent.
func Scale() int {
	if os.Getenv("COMPAT_SCALE") == "5" {
		return 5
	}
	return 1
}

// Part runs one part of a suite and prints its seconds.
func Part(name string, part func()) {
	start := time.Now()
	part()
	fmt.Printf("  %s: %.1f s\n", name, time.Since(start).Seconds())
}

// Suite runs a whole suite, and `failed` where a check did not hold. Returns the exit code.
func Suite(suite func(), failed func()) (code int) {
	defer func() {
		if failure := recover(); failure != nil {
			fmt.Fprintf(os.Stderr, "  FAIL %v\n%s", failure, debug.Stack())
			failed()
			code = 1
		}
	}()
	suite()
	return 0
}

func shorten(value any) string {
	text := fmt.Sprintf("%+v", value)
	if len(text) > 400 {
		return fmt.Sprintf("%s... (%d characters)", text[:400], len(text))
	}
	return text
}

// Background runs a part beside others.
func Background(part func()) (ended <-chan any) {
	outcome := make(chan any, 1)
	go func() {
		defer func() { outcome <- recover() }()
		part()
	}()
	return outcome
}

// Wait waits for what runs in the background, and ends the suite where that did not hold, or takes too long.
func Wait(ended <-chan any, what string) {
	select {
	case failure := <-ended:
		if failure != nil {
			panic(failure)
		}
	case <-time.After(Limit):
		Require(false, "%s does not come to an end", what)
	}
}
