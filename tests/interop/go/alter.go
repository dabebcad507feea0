// Messages of the protocols for NATs, changed on their way out: what this go-libp2p says of relays, punching and AutoNAT is its
// own work but for one thing. ../README.md holds how a fault is written.
package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// altered are the protocols whose messages can be changed, by their names in a fault.
var altered = map[string]string{
	"/libp2p/circuit/relay/0.2.0/hop":  "hop",
	"/libp2p/circuit/relay/0.2.0/stop": "stop",
	"/libp2p/dcutr":                    "dcutr",
	"/libp2p/autonat/1.0.0":            "autonat1",
	"/libp2p/autonat/2/dial-request":   "autonat2",
	"/libp2p/autonat/2/dial-back":      "dialback",
}

// groups of them have names, too.
var groups = map[string][]string{
	"relay":   {"hop", "stop"},
	"autonat": {"autonat1", "autonat2", "dialback"},
}

// alteration is a fault of the form PROTOCOL[+SKIP]:WHERE:WHAT[=N].
type alteration struct {
	name      string
	protocols []string
	where     string
	what      string
	number    uint64
	bytes     []byte
	// Messages yet to be let through, and those seen since.
	skip, seen atomic.Int64
}

func parseAlteration(fault string) (*alteration, error) {
	parts := strings.Split(fault, ":")
	if len(parts) != 3 {
		return nil, fmt.Errorf("not PROTOCOL:WHERE:WHAT: %s", fault)
	}
	a := &alteration{name: fault, where: parts[1], what: parts[2], number: 1}
	protocol, skip, _ := strings.Cut(parts[0], "+")
	if n, err := strconv.ParseInt(skip, 10, 32); err == nil {
		a.skip.Store(n)
	}
	if what, number, found := strings.Cut(parts[2], "="); what == "hex" {
		bytes, err := hex.DecodeString(number)
		if err != nil {
			return nil, err
		}
		a.what, a.bytes = what, bytes
	} else if found {
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return nil, err
		}
		a.what, a.number = what, n
	}
	a.protocols = groups[protocol]
	if a.protocols == nil {
		a.protocols = []string{protocol}
	}
	return a, nil
}

func (a *alteration) note(protocol, what string) {
	fmt.Fprintf(os.Stderr, "altered %s: %s\n", protocol, what)
}

// message gives what is written in place of this one, its length in front.
func (a *alteration) message(protocol string, body []byte) []byte {
	if !slices.Contains(a.protocols, protocol) || a.skip.Add(-1) >= 0 {
		return framed(body)
	}
	where, c := a.where, change{a.what, a.number, a.bytes}
	if c.what == "random" {
		where, c = drawn(rand.New(rand.NewPCG(a.number, uint64(a.seen.Add(1)))), body)
	}
	switch where {
	case "raw":
		return framed(body)
	case "all":
		a.note(protocol, c.what)
		return wholly(c.what, c.number, body)
	}
	fields, found := changed(body, strings.Split(where, "."), c)
	if found {
		a.note(protocol, where+" "+c.what)
		return framed(fields)
	}
	return framed(body)
}

// raw gives what is written in place of bytes that follow the message: those of a circuit.
func (a *alteration) raw(protocol string, data []byte) []byte {
	if a.where != "raw" || !slices.Contains(a.protocols, protocol) {
		return data
	}
	if seen := a.seen.Add(1); seen <= int64(a.number) {
		return data
	}
	a.note(protocol, "raw "+a.what)
	switch a.what {
	case "drop":
		return nil
	case "twice":
		return append(slices.Clone(data), data...)
	default:
		data = slices.Clone(data)
		data[len(data)/2] ^= 4
		return data
	}
}

func framed(body []byte) []byte {
	return append(binary.AppendUvarint(nil, uint64(len(body))), body...)
}

func wholly(what string, number uint64, body []byte) []byte {
	whole := framed(body)
	switch what {
	case "drop":
		return nil
	case "empty":
		return []byte{0}
	case "cut":
		return framed(body[:len(body)/2])
	case "long":
		return append(binary.AppendUvarint(nil, uint64(len(body))+5), body...)
	case "huge":
		return append(binary.AppendUvarint(nil, 1<<62), body...)
	case "extra":
		return append(whole, []byte("and this besides")...)
	case "twice":
		return append(whole, whole...)
	case "late":
		time.Sleep(time.Duration(number) * time.Millisecond)
		return whole
	default: // garbage
		return framed(slices.Repeat([]byte{0xff}, len(body)+1))
	}
}

// part is a field of a protobuf message, with its value.
type part struct {
	number uint64
	wire   byte
	value  uint64
	bytes  []byte
}

func fieldsOf(body []byte) (fields []part, whole bool) {
	for len(body) > 0 {
		key, n := binary.Uvarint(body)
		if n <= 0 || key>>3 == 0 || key>>3 > 1000 {
			return nil, false
		}
		f := part{number: key >> 3, wire: byte(key & 7)}
		body = body[n:]
		switch {
		case f.wire == 1 && len(body) >= 8:
			f.value, body = binary.LittleEndian.Uint64(body), body[8:]
		case f.wire == 0 || f.wire == 2:
			value, m := binary.Uvarint(body)
			if body = body[max(m, 0):]; m <= 0 || f.wire == 2 && value > uint64(len(body)) {
				return nil, false
			}
			if f.wire == 0 {
				f.value = value
			} else {
				f.bytes, body = body[:value], body[value:]
			}
		default:
			return nil, false
		}
		fields = append(fields, f)
	}
	return fields, true
}

func (f part) append(to []byte) []byte {
	to = binary.AppendUvarint(to, f.number<<3|uint64(f.wire))
	switch f.wire {
	case 1:
		return binary.LittleEndian.AppendUint64(to, f.value)
	case 2:
		return append(binary.AppendUvarint(to, uint64(len(f.bytes))), f.bytes...)
	}
	return binary.AppendUvarint(to, f.value)
}

// change is what becomes of a field.
type change struct {
	what   string
	number uint64
	bytes  []byte
}

// changed does it to the first field with these numbers; a number that is to be set need not have been there.
func changed(body []byte, path []string, c change) (out []byte, found bool) {
	fields, whole := fieldsOf(body)
	if !whole {
		return body, false
	}
	wanted, _ := strconv.ParseUint(path[0], 10, 64)
	for _, f := range fields {
		switch {
		case f.number != wanted || found && c.what != "none":
			out = f.append(out)
		case len(path) > 1:
			f.bytes, found = changed(f.bytes, path[1:], c)
			out = f.append(out)
		default:
			found = true
			out = c.of(f, out)
		}
	}
	if !found && len(path) == 1 && c.what == "set" {
		return part{number: wanted, value: c.number}.append(out), true
	}
	return out, found
}

// of appends what becomes of the field.
func (c change) of(f part, out []byte) []byte {
	switch c.what {
	case "drop", "none":
		return out
	case "twice":
		return f.append(f.append(out))
	case "many":
		for range c.number {
			out = f.append(out)
		}
		return out
	case "type":
		f.wire = 2 &^ f.wire
	case "zero":
		f.value, f.bytes = 0, nil
	case "set":
		f.value, f.wire = c.number, 0
	case "hex":
		f.bytes = c.bytes
	case "huge":
		f.value, f.bytes = 1<<64-1, append(slices.Clone(f.bytes), make([]byte, 3000)...)
	case "cut":
		f.value, f.bytes = f.value>>1, f.bytes[:len(f.bytes)/2]
	default: // flip
		f.value ^= 1
		f.bytes = slices.Clone(f.bytes)
		if len(f.bytes) > 0 {
			f.bytes[len(f.bytes)-1] ^= 1
		}
	}
	return f.append(out)
}

// pathsOf names all fields, those of messages within it, too.
func pathsOf(body []byte, above string, depth int) (paths []string) {
	fields, whole := fieldsOf(body)
	if !whole {
		return nil
	}
	for _, f := range fields {
		path := above + strconv.FormatUint(f.number, 10)
		paths = append(paths, path)
		if f.wire == 2 && depth > 0 {
			paths = append(paths, pathsOf(f.bytes, path+".", depth-1)...)
		}
	}
	return paths
}

var (
	ofFields   = []string{"drop", "twice", "type", "zero", "huge", "cut", "flip", "set"}
	ofMessages = []string{"empty", "cut", "long", "extra", "twice", "garbage", "drop"}
)

// drawn is some change of this message: of a field three times of four.
func drawn(random *rand.Rand, body []byte) (where string, c change) {
	paths := pathsOf(body, "", 2)
	if len(paths) == 0 || random.IntN(4) == 0 {
		return "all", change{what: ofMessages[random.IntN(len(ofMessages))]}
	}
	return paths[random.IntN(len(paths))], change{ofFields[random.IntN(len(ofFields))], random.Uint64() >> random.IntN(64), nil}
}

// alteringMuxer has streams that change what is written to them.
type alteringMuxer struct {
	network.Multiplexer
	how *alteration
}

type alteringConn struct {
	network.MuxedConn
	how *alteration
}

// alteringStream follows the lines of multistream-select that it writes, then the messages behind them.
type alteringStream struct {
	network.MuxedStream
	how      *alteration
	protocol string
	rest     []byte
	follows  bool
}

func (m alteringMuxer) NewConn(c net.Conn, isServer bool, scope network.PeerScope) (network.MuxedConn, error) {
	conn, err := m.Multiplexer.NewConn(c, isServer, scope)
	if err != nil {
		return nil, err
	}
	return alteringConn{conn, m.how}, nil
}

func (c alteringConn) OpenStream(ctx context.Context) (network.MuxedStream, error) {
	s, err := c.MuxedConn.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	return &alteringStream{MuxedStream: s, how: c.how}, nil
}

func (c alteringConn) AcceptStream() (network.MuxedStream, error) {
	s, err := c.MuxedConn.AcceptStream()
	if err != nil {
		return nil, err
	}
	return &alteringStream{MuxedStream: s, how: c.how}, nil
}

func (s *alteringStream) Write(data []byte) (int, error) {
	var out []byte
	if s.follows {
		out = s.how.raw(s.protocol, data)
	} else {
		s.rest = append(s.rest, data...)
		out = s.whole()
	}
	if len(out) > 0 {
		if _, err := s.MuxedStream.Write(out); err != nil {
			return 0, err
		}
	}
	return len(data), nil
}

// whole takes what is complete: lines as they are, messages as the fault wants them.
func (s *alteringStream) whole() (out []byte) {
	for !s.follows {
		size, n := binary.Uvarint(s.rest)
		if n <= 0 || uint64(len(s.rest)-n) < size {
			return out
		}
		body := s.rest[n : n+int(size)]
		line := strings.HasSuffix(string(body), "\n") && (strings.HasPrefix(string(body), "/") || string(body) == "na\n")
		switch {
		case line:
			if name := strings.TrimSpace(string(body)); !strings.HasPrefix(name, "/multistream/") && name != "na" {
				s.protocol = altered[name]
				s.follows = s.protocol == ""
			}
			out = append(out, framed(body)...)
		default:
			out = append(out, s.how.message(s.protocol, body)...)
			// What a relay passes on comes after one message.
			s.follows = s.protocol == "hop" || s.protocol == "stop"
		}
		s.rest = s.rest[n+int(size):]
	}
	out = append(out, s.rest...)
	s.rest = nil
	return out
}
