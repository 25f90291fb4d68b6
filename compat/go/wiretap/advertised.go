package wiretap

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// Advertised are the versions that a broker says it has: lowest and highest of each API.
type Advertised map[int16][2]int16

// Has tells whether a request is among them.
func (a Advertised) Has(request Request) bool {
	versions, known := a[request.API]
	return known && versions[0] <= request.Version && request.Version <= versions[1]
}

// Ask asks a broker for its versions (ApiVersions 0).
func Ask(address string) (Advertised, error) {
	connection, failure := net.DialTimeout("tcp", address, 10*time.Second)
	if failure != nil {
		return nil, failure
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(10 * time.Second))
	request := []byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255} // length, API, version, correlation id, no client id
	if _, failure = connection.Write(request); failure != nil {
		return nil, failure
	}
	var length [4]byte
	if _, failure = io.ReadFull(connection, length[:]); failure != nil {
		return nil, failure
	}
	answer := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, failure = io.ReadFull(connection, answer); failure != nil {
		return nil, failure
	}
	number := func(at int) int16 { return int16(binary.BigEndian.Uint16(answer[at:])) }
	if code := number(4); code != 0 {
		return nil, fmt.Errorf("ApiVersions is answered with error %d", code)
	}
	advertised := Advertised{}
	for at := 10; at+6 <= len(answer); at += 6 {
		advertised[number(at)] = [2]int16{number(at + 2), number(at + 4)}
	}
	return advertised, nil
}
