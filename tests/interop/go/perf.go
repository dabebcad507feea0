package main

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Source: libp2p/specs perf/perf.md.
const perfProtocol = protocol.ID("/perf/1.0.0")

func servePerf(s network.Stream) {
	var wanted uint64
	if err := binary.Read(s, binary.BigEndian, &wanted); err != nil {
		s.Reset()
		return
	}
	if _, err := io.Copy(io.Discard, s); err != nil {
		s.Reset()
		return
	}
	if _, err := io.CopyN(s, zeros{}, int64(wanted)); err != nil {
		s.Reset()
		return
	}
	s.Close()
}

func (d *dialer) perf(up, down uint64) error {
	s, err := d.host.NewStream(limited, d.conn.RemotePeer(), perfProtocol)
	if err != nil {
		return err
	}
	if err := binary.Write(s, binary.BigEndian, down); err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	if _, err := io.CopyN(s, zeros{}, int64(up)); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	if err := s.CloseWrite(); err != nil {
		return fmt.Errorf("ending: %w", err)
	}
	got, err := io.Copy(io.Discard, s)
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	if uint64(got) != down {
		return fmt.Errorf("%d bytes instead of %d", got, down)
	}
	report(object{"event": "perf", "ok": true, "up_bytes": up, "down_bytes": down})
	return nil
}

// streams opens so many tunnels, and echoes through all of them while all are open.
func (d *dialer) streams(service string, count int) error {
	open := make([]network.Stream, count)
	for i := range open {
		s, err := d.openTunnel(service)
		if err != nil {
			return fmt.Errorf("stream %d: %w", i, err)
		}
		open[i] = s
	}
	for i, s := range open {
		if _, err := fmt.Fprintf(s, "%08d", i); err != nil {
			return fmt.Errorf("stream %d, writing: %w", i, err)
		}
	}
	for i, s := range open {
		answer := make([]byte, 8)
		if _, err := io.ReadFull(s, answer); err != nil {
			return fmt.Errorf("stream %d, reading: %w", i, err)
		}
		if string(answer) != fmt.Sprintf("%08d", i) {
			return fmt.Errorf("stream %d got %q", i, answer)
		}
	}
	for _, s := range open {
		s.Close()
	}
	if conns := d.host.Network().ConnsToPeer(d.conn.RemotePeer()); len(conns) != 1 || conns[0] != d.conn {
		return fmt.Errorf("%d connections instead of the one", len(conns))
	}
	report(object{"event": "streams", "ok": true, "count": count})
	return nil
}
