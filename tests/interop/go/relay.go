// Relays: to be one, to be reached through one, and to dial through one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	service "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/multiformats/go-multiaddr"
)

const circuit = "/p2p-circuit"

// limited lets a stream be opened on a connection that its relay will end.
var limited = network.WithAllowLimitedConn(context.Background(), "this is a test")

// overRelays is what a dialer of the address needs besides the usual.
func overRelays(addr string) []libp2p.Option {
	if strings.Contains(addr, circuit) {
		return []libp2p.Option{libp2p.EnableRelay()}
	}
	return nil
}

type limits struct {
	bytes                               *int64
	duration, reservation, reservations *int
}

func limitFlags(flags *flag.FlagSet) *limits {
	return &limits{
		flags.Int64("circuit-bytes", 1<<17, "each way of a circuit; 0: without a limit"),
		flags.Int("circuit-time", 120, "seconds of a circuit"),
		flags.Int("reservation-time", 3600, "seconds of a reservation"),
		flags.Int("reservations", 1024, "most of them"),
	}
}

func (l limits) resources() service.Resources {
	r := service.DefaultResources()
	r.MaxReservations, r.MaxReservationsPerIP, r.MaxReservationsPerASN = *l.reservations, *l.reservations, *l.reservations
	r.MaxCircuits = 128
	r.ReservationTTL = time.Duration(*l.reservation) * time.Second
	r.Limit = nil
	if *l.bytes != 0 {
		r.Limit = &service.RelayLimit{Duration: time.Duration(*l.duration) * time.Second, Data: *l.bytes}
	}
	return r
}

func relay(addr string, key crypto.PrivKey, fault string, l limits) error {
	h, err := newHost(key, libp2p.ListenAddrStrings(addr), fault, libp2p.ForceReachabilityPublic())
	if err != nil {
		return err
	}
	serve(h)
	// Its own filter takes addresses of the loopback out.
	_, err = service.New(h, service.WithResources(l.resources()),
		service.WithReservationAddressFilter(func(multiaddr.Multiaddr) bool { return true }))
	if err != nil {
		return err
	}
	return readyUntilEnd(h)
}

func readyUntilEnd(h host.Host) error {
	addrs, err := peer.AddrInfoToP2pAddrs(host.InfoFromHost(h))
	if err != nil {
		return err
	}
	report(object{"event": "ready", "peer": h.ID(), "key": h.Peerstore().PrivKey(h.ID()).Type().String(), "addrs": addrs})
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// reservations are those of one host, which announces the addresses that they make.
type reservations struct {
	mutex sync.Mutex
	addrs []multiaddr.Multiaddr
}

func (r *reservations) announced(own []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return append(slices.Clone(own), r.addrs...)
}

// hold reserves at the relay, and again when half of the time is over or the relay has been lost.
func (r *reservations) hold(h host.Host, relay peer.AddrInfo, through string) (*client.Reservation, error) {
	reserve := func() (*client.Reservation, error) {
		ctx, stop := context.WithTimeout(context.Background(), deadline/2)
		defer stop()
		if err := h.Connect(ctx, relay); err != nil {
			return nil, err
		}
		return client.Reserve(ctx, h, relay)
	}
	first, err := reserve()
	if err != nil {
		return nil, err
	}
	own, err := multiaddr.NewMultiaddr(through)
	if err != nil {
		return nil, err
	}
	r.mutex.Lock()
	r.addrs = append(r.addrs, own)
	r.mutex.Unlock()
	go func() {
		lost := make(chan struct{}, 1)
		h.Network().Notify(&network.NotifyBundle{DisconnectedF: func(_ network.Network, c network.Conn) {
			if c.RemotePeer() == relay.ID && h.Network().Connectedness(relay.ID) != network.Connected {
				select {
				case lost <- struct{}{}:
				default:
				}
			}
		}})
		for held := first; ; {
			select {
			case <-time.After(time.Until(held.Expiration) / 2):
			case <-lost:
			}
			for {
				again, err := reserve()
				if err == nil {
					held = again
					report(object{"event": "reservation", "ok": true, "seconds": int(time.Until(held.Expiration).Seconds())})
					break
				}
				report(object{"event": "reservation", "ok": false, "reason": err.Error()})
				time.Sleep(time.Second)
			}
		}
	}()
	return first, nil
}

func reserve(relay, addr string, key crypto.PrivKey, fault string, dcutr bool) error {
	info, err := peer.AddrInfoFromString(relay)
	if err != nil {
		return err
	}
	var held reservations
	w := newWatch("")
	options := []libp2p.Option{libp2p.EnableRelay(), libp2p.ForceReachabilityPrivate(), libp2p.AddrsFactory(held.announced)}
	if dcutr {
		options = append(options, libp2p.EnableHolePunching(holepunch.WithTracer(w)))
	}
	h, err := newHost(key, libp2p.ListenAddrStrings(addr), fault, options...)
	if err != nil {
		return err
	}
	serve(h)
	w.look(h)
	through := relay + circuit
	r, err := held.hold(h, *info, through)
	if err != nil {
		return err
	}
	if dcutr {
		if err := offered(h, holepunch.Protocol); err != nil {
			return err
		}
	}
	report(object{
		"event": "ready", "peer": h.ID(), "key": key.Type().String(), "addrs": []string{fmt.Sprintf("%s/p2p/%s", through, h.ID())},
		"relay_addrs": r.Addrs, "voucher": r.Voucher != nil, "seconds": int(time.Until(r.Expiration).Seconds()),
		"limit_bytes": r.LimitData, "limit_seconds": int(r.LimitDuration.Seconds()),
	})
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// offered waits until the host serves the protocol: go-libp2p does so when it knows a public address of its own.
func offered(h host.Host, protocol any) error {
	for limit := time.Now().Add(deadline / 2); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		for _, p := range h.Mux().Protocols() {
			if p == protocol {
				return nil
			}
		}
	}
	return errors.New("it knows no public address of its own, so it does not offer to punch")
}
