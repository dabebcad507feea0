package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
)

// A go-libp2p that does one thing wrong and all the rest right: its own stack, with a hand between Yamux and Noise, or in place
// of its answer to identify.
var yamuxFaults = map[string]func(*faultyConn, []byte) [][]byte{
	// A frame says that it is longer than it is, once the connection runs: the next header is taken for its body.
	"length": func(c *faultyConn, f []byte) [][]byte {
		if c.frames == 6 {
			binary.BigEndian.PutUint32(f[8:], binary.BigEndian.Uint32(f[8:])+5)
		}
		return [][]byte{f}
	},
	"short": func(c *faultyConn, f []byte) [][]byte {
		if c.frames == 6 && len(f) > 12 {
			binary.BigEndian.PutUint32(f[8:], uint32(len(f)-13))
		}
		return [][]byte{f}
	},
	"type":    func(c *faultyConn, f []byte) [][]byte { f[1] += byte(9 * b2i(c.frames == 5)); return [][]byte{f} },
	"version": func(c *faultyConn, f []byte) [][]byte { f[0] += byte(b2i(c.frames == 5)); return [][]byte{f} },
	"stream":  func(c *faultyConn, f []byte) [][]byte { f[7] ^= byte(b2i(c.frames%4 == 3)); return [][]byte{f} },
	"drop": func(c *faultyConn, f []byte) [][]byte {
		if c.frames%5 == 4 {
			return nil
		}
		return [][]byte{f}
	},
	"twice": func(c *faultyConn, f []byte) [][]byte { return [][]byte{f, f} },
	"reorder": func(c *faultyConn, f []byte) [][]byte {
		if c.frames%2 == 0 {
			c.held = bytes.Clone(f)
			return nil
		}
		return [][]byte{f, c.held}
	},
	"window": func(c *faultyConn, f []byte) [][]byte {
		if f[1] == 1 {
			binary.BigEndian.PutUint32(f[8:], 0xffffffff)
		}
		return [][]byte{f}
	},
}

var identifyFaults = map[string][]byte{
	"identify-empty":     {},
	"identify-length":    {0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3},
	"identify-truncated": {100, 10, 36, 8, 1},
	"identify-garbage":   append([]byte{200, 1}, bytes.Repeat([]byte{0xff}, 200)...),
	"identify-no-key":    {2, 0x32, 0},
}

func b2i(truth bool) int {
	if truth {
		return 1
	}
	return 0
}

// faultyConn changes the frames that are written through it, one by one.
type faultyConn struct {
	net.Conn
	fault  func(*faultyConn, []byte) [][]byte
	rest   []byte
	frames int
	held   []byte
}

func (c *faultyConn) Write(b []byte) (int, error) {
	c.rest = append(c.rest, b...)
	for len(c.rest) >= 12 {
		size := 12
		if c.rest[1] == 0 {
			size += int(binary.BigEndian.Uint32(c.rest[8:]))
		}
		if len(c.rest) < size {
			break
		}
		frame := bytes.Clone(c.rest[:size])
		c.rest = c.rest[size:]
		for _, out := range c.fault(c, frame) {
			if _, err := c.Conn.Write(out); err != nil {
				return 0, err
			}
		}
		c.frames++
	}
	return len(b), nil
}

type faultyMuxer struct {
	network.Multiplexer
	fault func(*faultyConn, []byte) [][]byte
}

func (m faultyMuxer) NewConn(c net.Conn, isServer bool, scope network.PeerScope) (network.MuxedConn, error) {
	return m.Multiplexer.NewConn(&faultyConn{Conn: c, fault: m.fault}, isServer, scope)
}

func muxerWith(fault string) (network.Multiplexer, error) {
	if f, known := yamuxFaults[fault]; known {
		return faultyMuxer{yamux.DefaultTransport, f}, nil
	}
	if strings.Contains(fault, ":") {
		how, err := parseAlteration(fault)
		return alteringMuxer{yamux.DefaultTransport, how}, err
	}
	return yamux.DefaultTransport, nil
}

func identifyWith(h host.Host, fault string) {
	if answer, known := identifyFaults[fault]; known {
		h.SetStreamHandler(protocol.ID("/ipfs/id/1.0.0"), func(s network.Stream) {
			s.Write(answer)
			s.Close()
		})
	}
}

// misbehave dials with the fault and uses the connection for a while; how that ends is the other side's affair.
func misbehave(addr string, key crypto.PrivKey, fault string) error {
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	worked := 0
	if d, err := dialWith(addr, key, fault); err == nil {
		for range 5 {
			if s, err := d.host.NewStream(ctx, info.ID, tunnelProtocol); err == nil {
				name := "echo"
				s.SetDeadline(time.Now().Add(time.Second))
				writeFrame(s, request{&name})
				var a answer
				if readFrame(s, &a) == nil {
					worked++
				}
				s.Write(make([]byte, 100_000))
				s.CloseWrite()
			}
		}
		d.host.Close()
	}
	if _, known := noiseFaults[fault]; known {
		worked += int(wentOn.Load())
		if (worked > 0) != (fault == rightPayload) {
			return fmt.Errorf("%d times it went on after %s", worked, fault)
		}
	}
	own, err := peer.IDFromPrivateKey(key)
	report(object{"event": "misbehave", "ok": err == nil, "worked": worked, "how": fault, "peer": own})
	return err
}

func faults() []string {
	var names []string
	for name := range yamuxFaults {
		names = append(names, name)
	}
	for name := range noiseFaults {
		names = append(names, name)
	}
	for name := range identifyFaults {
		names = append(names, name)
	}
	return names
}
