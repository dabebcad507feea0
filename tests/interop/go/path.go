// How a connection to a peer comes to be direct.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/multiformats/go-multistream"
)

// watch reports what a host does to reach its peers directly, or one of them.
type watch struct {
	only   peer.ID
	direct chan network.Conn

	mutex    sync.Mutex
	relayed  map[peer.ID]time.Time
	attempts map[peer.ID]int
}

func newWatch(only peer.ID) *watch {
	return &watch{only: only, direct: make(chan network.Conn, 16), relayed: map[peer.ID]time.Time{}, attempts: map[peer.ID]int{}}
}

func isRelayed(c network.Conn) bool {
	return strings.Contains(c.RemoteMultiaddr().String(), circuit)
}

// look is called before the host connects to anybody.
func (w *watch) look(h host.Host) {
	h.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		now, p := time.Now(), c.RemotePeer()
		if w.only != "" && p != w.only {
			return
		}
		w.mutex.Lock()
		since, through := w.relayed[p]
		if isRelayed(c) {
			w.relayed[p], w.attempts[p] = now, 0
		}
		attempts := w.attempts[p]
		w.mutex.Unlock()
		switch {
		case isRelayed(c):
			report(object{"event": "relayed", "peer": p, "addr": c.RemoteMultiaddr()})
		case through:
			report(object{"event": "direct", "peer": p, "addr": c.RemoteMultiaddr(), "ms": milliseconds(now.Sub(since)), "attempts": attempts})
		}
		if !isRelayed(c) && w.only != "" {
			w.direct <- c
		}
	}})
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}

// Trace takes the events of go-libp2p's hole punching.
func (w *watch) Trace(e *holepunch.Event) {
	switch evt := e.Evt.(type) {
	case *holepunch.StartHolePunchEvt:
		w.mutex.Lock()
		w.attempts[e.Remote]++
		attempt := w.attempts[e.Remote]
		w.mutex.Unlock()
		report(object{"event": "punch", "peer": e.Remote, "attempt": attempt, "addrs": evt.RemoteAddrs, "rtt_ms": milliseconds(evt.RTT)})
	case *holepunch.EndHolePunchEvt:
		if !evt.Success {
			report(object{"event": "punch-failed", "peer": e.Remote, "reason": evt.Error, "ms": milliseconds(evt.EllapsedTime)})
		}
	case *holepunch.DirectDialEvt:
		if !evt.Success {
			report(object{"event": "dial-failed", "peer": e.Remote, "reason": evt.Error, "ms": milliseconds(evt.EllapsedTime)})
		}
	case *holepunch.ProtocolErrorEvt:
		report(object{"event": "punch-failed", "peer": e.Remote, "reason": evt.Error})
	}
}

// path dials, through a relay if the address says so, and then waits for a direct connection that answers a ping.
func path(addr, listenOn string, key crypto.PrivKey, fault string, waitDirect bool, patience time.Duration) error {
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return err
	}
	w := newWatch(info.ID)
	h, err := newHost(key, libp2p.ListenAddrStrings(listenOn), fault, libp2p.EnableRelay(), libp2p.EnableHolePunching(holepunch.WithTracer(w)))
	if err != nil {
		return err
	}
	serve(h)
	w.look(h)
	if relay, _, found := strings.Cut(addr, circuit); found {
		if err := readyToPunch(h, relay, waitDirect); err != nil {
			return err
		}
	}
	ctx, stop := context.WithTimeout(limited, patience)
	defer stop()
	if err := h.Connect(ctx, *info); err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	since := time.Now()
	w.mutex.Lock()
	relayed, through := w.relayed[info.ID]
	w.mutex.Unlock()
	if through {
		since = relayed
	}
	if through && !waitDirect {
		if err := pingOn(ctx, h.Network().ConnsToPeer(info.ID)[0]); err != nil {
			return err
		}
		report(object{"event": "path", "direct": false})
		return nil
	}
	for {
		select {
		case c := <-w.direct:
			// Of two that meet, one may be closed.
			if err := pingOn(ctx, c); err != nil {
				report(object{"event": "direct-lost", "reason": err.Error()})
				continue
			}
			w.mutex.Lock()
			attempts := w.attempts[info.ID]
			w.mutex.Unlock()
			report(object{"event": "path", "direct": true, "direct_ms": milliseconds(time.Since(since)), "attempts": attempts,
				"addr": c.RemoteMultiaddr()})
			return nil
		case <-ctx.Done():
			report(object{"event": "path", "direct": false})
			fail(exitDeadline, fmt.Sprintf("no direct connection within %v", patience))
		}
	}
}

// readyToPunch connects to the relay, and waits for what this library needs before it is ready to punch.
func readyToPunch(h host.Host, relay string, waitDirect bool) error {
	info, err := peer.AddrInfoFromString(relay)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), deadline)
	defer stop()
	if err := h.Connect(ctx, *info); err != nil {
		return fmt.Errorf("connecting to the relay: %w", err)
	}
	if waitDirect {
		return offered(h, holepunch.Protocol)
	}
	return nil
}

// pingOn pings once, on this connection and no other.
func pingOn(ctx context.Context, c network.Conn) error {
	s, err := c.NewStream(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	if limit, found := ctx.Deadline(); found {
		s.SetDeadline(limit)
	}
	if err := multistream.SelectProtoOrFail(ping.ID, s); err != nil {
		return err
	}
	sent, got := make([]byte, 32), make([]byte, 32)
	rand.Read(sent)
	if _, err := s.Write(sent); err != nil {
		return err
	}
	if _, err := io.ReadFull(s, got); err != nil {
		return err
	}
	if string(sent) != string(got) {
		return errors.New("the answer to the ping is another one")
	}
	return nil
}
