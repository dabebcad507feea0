// Command peer is the go-libp2p side of the interop tests; ../README.md holds its command line contract.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	secure "github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

const (
	deadline     = 30 * time.Second
	longDeadline = 120 * time.Second
	exitDeadline = 75
)

type object map[string]any

func report(line object) {
	json.NewEncoder(os.Stdout).Encode(line)
}

func fail(code int, reason string) {
	report(object{"event": "error", "reason": reason})
	os.Exit(code)
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fail(1, err.Error())
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("a command is missing")
	}
	command, args := args[0], args[1:]
	wanted := map[string]int{
		"listen": 0, "ping": 1, "identify": 1, "echo": 2, "halfclose": 2, "reset": 2, "expect-reset": 2,
		"perf": 1, "streams": 2, "faults": 0, "misbehave": 2, "dht": 2,
		"relay": 0, "reserve": 1, "path": 1, "autonat-server": 0, "autonat": 1,
	}
	count, known := wanted[command]
	if !known {
		return fmt.Errorf("unknown command: %s", command)
	}
	if len(args) < count {
		return fmt.Errorf("%s wants %d arguments before its options", command, count)
	}
	// The flag package stops at the first operand, and here the operands come first.
	for command == "dht" && len(args) > count && !strings.HasPrefix(args[count], "--") {
		count++
	}
	operands := args[:count]
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	addr := flags.String("addr", "/ip4/127.0.0.1/tcp/0", "listen address")
	seed := flags.Uint64("seed", 0, "number that fixes the identity")
	pings := flags.Int("count", 5, "pings")
	size := flags.Int("bytes", 1000, "payload bytes")
	up := flags.Uint64("up", 0, "bytes to send")
	down := flags.Uint64("down", 0, "bytes to take")
	fault := flags.String("fault", "", "what to do wrong, see faults")
	keyType := flags.String("key", "ed25519", "type of the identity's key")
	kad := flags.String("kad", "", "protocol id of Kademlia")
	bootstrap := flags.String("bootstrap", "", "whom to ask first")
	provide := flags.String("provide", "", "key to announce")
	findable := flags.Bool("mdns", false, "find and be found by mDNS")
	limits := limitFlags(flags)
	dcutr := flags.Bool("dcutr", false, "punch holes")
	waitDirect := flags.Bool("wait-direct", false, "a relayed connection is not enough")
	timeout := flags.Int("timeout", 20, "seconds that a path is waited for")
	version := flags.Int("version", 2, "of AutoNAT")
	ask := flags.String("ask", "", "address to be tried, instead of that which the server sees")
	if err := flags.Parse(args[count:]); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument: %s", flags.Arg(0))
	}

	seeded := false
	flags.Visit(func(f *flag.Flag) { seeded = seeded || f.Name == "seed" })
	key, err := newKey(*keyType, seeded, *seed)
	if err != nil {
		return err
	}
	if command == "listen" {
		return listen(*addr, key, *fault, neighbours{*kad, *bootstrap, *provide, *findable})
	}
	switch command {
	case "relay":
		return relay(*addr, key, *fault, *limits)
	case "reserve":
		return reserve(operands[0], *addr, key, *fault, *dcutr)
	case "path":
		return path(operands[0], *addr, key, *fault, *waitDirect, time.Duration(*timeout)*time.Second)
	case "autonat-server":
		return autonatServer(*addr, key, *fault)
	}

	patience := deadline
	if command == "perf" || command == "streams" {
		patience = longDeadline
	}
	time.AfterFunc(patience, func() { fail(exitDeadline, fmt.Sprintf("the deadline of %v has passed", patience)) })
	switch command {
	case "faults":
		report(object{"event": "faults", "names": faults()})
		return nil
	case "misbehave":
		return misbehave(operands[0], key, operands[1])
	case "dht":
		return askDHT(operands, *addr, *kad, *bootstrap, key)
	case "autonat":
		return askAutonat(operands[0], *addr, key, *fault, *version, *ask)
	}
	d, err := dialWith(operands[0], key, *fault)
	if err != nil {
		return err
	}
	switch command {
	case "ping":
		return d.ping(*pings, report)
	case "identify":
		return d.identify()
	case "echo":
		return d.echo(operands[1], *size)
	case "halfclose":
		return d.halfClose(operands[1], *size)
	case "reset":
		return d.reset(operands[1])
	case "perf":
		return d.perf(*up, *down)
	case "streams":
		return d.streams(operands[1], *pings)
	default:
		return d.expectReset(operands[1])
	}
}

func newHost(private crypto.PrivKey, listenOn libp2p.Option, fault string, more ...libp2p.Option) (host.Host, error) {
	muxer, err := muxerWith(fault)
	if err != nil {
		return nil, err
	}
	return libp2p.New(append([]libp2p.Option{
		libp2p.Identity(private),
		listenOn,
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Security(secure.ID, securityWith(private, fault)),
		libp2p.Muxer(yamux.ID, muxer),
		libp2p.UserAgent("go-libp2p/0.51.0"),
		libp2p.ProtocolVersion("/punchgate/id/1.0.0"),
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
		// All test peers share one address, which the default limits take for an attack.
		libp2p.ResourceManager(&network.NullResourceManager{}),
	}, more...)...)
}

func listen(addr string, key crypto.PrivKey, fault string, others neighbours) error {
	h, err := newHost(key, libp2p.ListenAddrStrings(addr), fault)
	if err != nil {
		return err
	}
	serve(h)
	identifyWith(h, fault)
	addrs, err := peer.AddrInfoToP2pAddrs(host.InfoFromHost(h))
	if err != nil {
		return err
	}
	if err := others.join(h); err != nil {
		return err
	}
	report(object{"event": "ready", "peer": h.ID(), "key": key.Type().String(), "addrs": addrs})
	if err := others.look(h); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// serve offers what every listener has.
func serve(h host.Host) {
	h.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		fmt.Fprintln(os.Stderr, "connected to", c.RemotePeer())
	}})
	h.SetStreamHandler(tunnelProtocol, serveTunnel)
	h.SetStreamHandler(perfProtocol, servePerf)
}

type dialer struct {
	host       host.Host
	conn       network.Conn
	identified <-chan any
}

func dialWith(addr string, key crypto.PrivKey, fault string) (*dialer, error) {
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return nil, err
	}
	h, err := newHost(key, libp2p.NoListenAddrs, fault, overRelays(addr)...)
	if err != nil {
		return nil, err
	}
	identifyWith(h, fault)
	events, err := h.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerIdentificationFailed)})
	if err != nil {
		return nil, err
	}
	if err := h.Connect(limited, *info); err != nil {
		return nil, err
	}
	conns := h.Network().ConnsToPeer(info.ID)
	if len(conns) == 0 {
		return nil, errors.New("the connection was closed at once")
	}
	return &dialer{h, conns[0], events.Out()}, nil
}

// relayed tells whether all that there is to the peer goes through relays.
func (d *dialer) relayed() bool {
	return !slices.ContainsFunc(d.host.Network().ConnsToPeer(d.conn.RemotePeer()), func(c network.Conn) bool { return !isRelayed(c) })
}

func (d *dialer) ping(count int, show func(object)) error {
	ctx, stop := context.WithCancel(limited)
	defer stop()
	results := ping.Ping(ctx, d.host, d.conn.RemotePeer())
	for seq := range count {
		result := <-results
		if result.Error != nil {
			return fmt.Errorf("ping %d: %w", seq, result.Error)
		}
		show(object{"event": "ping", "seq": seq, "rtt_us": result.RTT.Microseconds()})
	}
	show(object{"event": "summary", "sent": count, "received": count, "relayed": d.relayed()})
	return nil
}

func (d *dialer) identify() error {
	var e event.EvtPeerIdentificationCompleted
	// A relay on the way is identified as well.
	for e.Peer != d.conn.RemotePeer() {
		result := <-d.identified
		if failed, is := result.(event.EvtPeerIdentificationFailed); is && failed.Peer == d.conn.RemotePeer() {
			return fmt.Errorf("identify failed: %w", failed.Reason)
		}
		e, _ = result.(event.EvtPeerIdentificationCompleted)
	}
	var observed any
	if e.ObservedAddr != nil {
		observed = e.ObservedAddr.String()
	}
	certified, err := d.certified(e)
	if err != nil {
		return err
	}
	report(object{
		"own_peer":         d.host.ID(),
		"own_key":          d.host.Peerstore().PrivKey(d.host.ID()).Type().String(),
		"peer":             e.Peer,
		"agent":            e.AgentVersion,
		"protocol_version": e.ProtocolVersion,
		"protocols":        e.Protocols,
		"listen_addrs":     e.ListenAddrs,
		"observed_addr":    observed,
		"certified_addrs":  certified,
	})
	return nil
}

func (d *dialer) echo(service string, size int) error {
	if err := d.exchange(service, size, false); err != nil {
		return err
	}
	report(object{"event": "echo", "ok": true, "bytes": size, "relayed": d.relayed()})
	return nil
}

func (d *dialer) halfClose(service string, size int) error {
	if err := d.exchange(service, size, true); err != nil {
		return err
	}
	report(object{"event": "halfclose", "ok": true, "bytes": size})
	return nil
}

// exchange sends size bytes and wants them back. To the end: the write half closes first, and the answer
// counts only with its end of stream.
func (d *dialer) exchange(service string, size int, toEnd bool) error {
	s, err := d.openTunnel(service)
	if err != nil {
		return err
	}
	defer s.Close()
	sent := make([]byte, size)
	rand.Read(sent)

	written := make(chan error, 1)
	go func() {
		_, err := s.Write(sent)
		if err == nil && toEnd {
			err = s.CloseWrite()
		}
		written <- err
	}()

	received := make([]byte, size)
	if toEnd {
		received, err = io.ReadAll(s)
	} else {
		_, err = io.ReadFull(s, received)
	}
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	if err := <-written; err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	if !bytes.Equal(sent, received) {
		return fmt.Errorf("sent %d bytes, and the %d received differ", len(sent), len(received))
	}
	return nil
}

func (d *dialer) reset(service string) error {
	s, err := d.openTunnel(service)
	if err != nil {
		return err
	}
	if _, err := s.Write(make([]byte, 1000)); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	if err := s.Reset(); err != nil {
		return fmt.Errorf("resetting: %w", err)
	}
	if err := d.exchange(service, 1000, false); err != nil {
		return fmt.Errorf("echo after the reset: %w", err)
	}
	if err := d.stillWorks(); err != nil {
		return err
	}
	report(object{"event": "reset", "ok": true})
	return nil
}

func (d *dialer) expectReset(service string) error {
	s, err := d.openTunnel(service)
	if err != nil {
		return err
	}
	if _, err := s.Write([]byte{'x'}); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	_, err = io.ReadAll(s)
	if err == nil {
		return errors.New("a clean end of stream instead of a reset")
	}
	if !errors.Is(err, network.ErrReset) {
		return fmt.Errorf("instead of a reset: %w", err)
	}
	if err := d.stillWorks(); err != nil {
		return err
	}
	report(object{"event": "expect-reset", "ok": true, "how": err.Error()})
	return nil
}

// stillWorks pings, and makes sure that no second connection took the place of the first.
func (d *dialer) stillWorks() error {
	if err := d.ping(1, func(object) {}); err != nil {
		return fmt.Errorf("after the reset: %w", err)
	}
	conns := d.host.Network().ConnsToPeer(d.conn.RemotePeer())
	if len(conns) != 1 || conns[0] != d.conn {
		return errors.New("the connection did not survive the reset")
	}
	return nil
}
