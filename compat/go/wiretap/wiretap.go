// Package wiretap listens to a client's connections: which versions of which APIs it asks for, and which requests are
// answered by closing the connection.
package wiretap

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"syscall"
)

// Request is an API in a version.
type Request struct{ API, Version int16 }

func (r Request) String() string { return fmt.Sprintf("%s %d", name(r.API), r.Version) }

// Tap collects what was asked over all connections that it dialled.
type Tap struct {
	lock    sync.Mutex
	asked   map[Request]int
	refused map[Request]int
}

// New is a tap that has heard nothing.
func New() *Tap {
	return &Tap{asked: map[Request]int{}, refused: map[Request]int{}}
}

// Asked are the requests that were sent, sorted.
func (t *Tap) Asked() []Request { return t.sorted(t.asked) }

// Refused are the requests after which the broker closed the connection without an answer, sorted.
func (t *Tap) Refused() []Request { return t.sorted(t.refused) }

// Refusals is how often that happened.
func (t *Tap) Refusals() (count int) {
	t.lock.Lock()
	defer t.lock.Unlock()
	for _, times := range t.refused {
		count += times
	}
	return count
}

func (t *Tap) sorted(requests map[Request]int) []Request {
	t.lock.Lock()
	defer t.lock.Unlock()
	return slices.SortedFunc(maps.Keys(requests), func(a, b Request) int {
		return (int(a.API)-int(b.API))<<16 + int(a.Version) - int(b.Version)
	})
}

// DialContext is what franz-go takes.
func (t *Tap) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	connection, failure := (&net.Dialer{}).DialContext(ctx, network, address)
	if failure != nil {
		return nil, failure
	}
	c := &conn{Conn: connection, tap: t, pending: map[int32]Request{}}
	c.out = frames{head: 12, each: c.request}
	c.in = frames{head: 8, each: c.response}
	return c, nil
}

// Dial is what sarama takes.
func (t *Tap) Dial(network, address string) (net.Conn, error) {
	return t.DialContext(context.Background(), network, address)
}

type conn struct {
	net.Conn
	tap     *Tap
	out, in frames

	lock    sync.Mutex
	pending map[int32]Request // by correlation id
	closed  bool              // by this side
}

func (c *conn) Write(bytes []byte) (int, error) {
	c.out.feed(bytes)
	return c.Conn.Write(bytes)
}

func (c *conn) Read(bytes []byte) (int, error) {
	count, failure := c.Conn.Read(bytes)
	c.in.feed(bytes[:count])
	if errors.Is(failure, io.EOF) || errors.Is(failure, syscall.ECONNRESET) {
		c.ended()
	}
	return count, failure
}

func (c *conn) Close() error {
	c.lock.Lock()
	c.closed = true
	c.lock.Unlock()
	return c.Conn.Close()
}

func (c *conn) request(head []byte) {
	request := Request{int16(binary.BigEndian.Uint16(head[4:])), int16(binary.BigEndian.Uint16(head[6:]))}
	c.lock.Lock()
	c.pending[int32(binary.BigEndian.Uint32(head[8:]))] = request
	c.lock.Unlock()
	c.tap.lock.Lock()
	c.tap.asked[request]++
	c.tap.lock.Unlock()
}

func (c *conn) response(head []byte) {
	c.lock.Lock()
	delete(c.pending, int32(binary.BigEndian.Uint32(head[4:])))
	c.lock.Unlock()
}

// The oldest request that waits is the one that the broker closed the connection for.
func (c *conn) ended() {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.closed || len(c.pending) == 0 {
		return
	}
	oldest := c.pending[slices.Min(slices.Collect(maps.Keys(c.pending)))]
	clear(c.pending)
	c.tap.lock.Lock()
	c.tap.refused[oldest]++
	c.tap.lock.Unlock()
}

// frames cuts a stream into frames and hands over the first `head` bytes of each, its length included.
type frames struct {
	head int
	each func([]byte)
	have []byte
	skip int
}

func (f *frames) feed(bytes []byte) {
	for len(bytes) > 0 {
		if f.skip > 0 {
			passed := min(f.skip, len(bytes))
			f.skip -= passed
			bytes = bytes[passed:]
			continue
		}
		taken := min(f.head-len(f.have), len(bytes))
		f.have = append(f.have, bytes[:taken]...)
		bytes = bytes[taken:]
		if len(f.have) == f.head {
			f.each(f.have)
			f.skip = int(binary.BigEndian.Uint32(f.have)) + 4 - f.head
			f.have = f.have[:0]
		}
	}
}

func name(api int16) string {
	names := map[int16]string{
		0: "Produce", 1: "Fetch", 2: "ListOffsets", 3: "Metadata", 10: "FindCoordinator", 18: "ApiVersions", 19: "CreateTopics",
		20: "DeleteTopics", 21: "DeleteRecords", 22: "InitProducerId", 23: "OffsetForLeaderEpoch", 32: "DescribeConfigs",
		33: "AlterConfigs", 37: "CreatePartitions", 44: "IncrementalAlterConfigs", 60: "DescribeCluster",
		71: "GetTelemetrySubscriptions", 75: "DescribeTopicPartitions",
	}
	if known, ok := names[api]; ok {
		return known
	}
	return fmt.Sprintf("API %d", api)
}
