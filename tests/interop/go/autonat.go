// AutoNAT, both versions: one server of both, and one question to it.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autonat"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/multiformats/go-multiaddr"
)

func autonatServer(addr string, key crypto.PrivKey, fault string) error {
	h, err := newHost(key, libp2p.ListenAddrStrings(addr), fault, libp2p.ForceReachabilityPublic(), libp2p.EnableNATService(),
		libp2p.AutoNATServiceRateLimit(1000, 1000, time.Minute), libp2p.EnableAutoNATv2())
	if err != nil {
		return err
	}
	serve(h)
	return readyUntilEnd(h)
}

// askAutonat asks about the address at which the server sees this peer, or about another one.
func askAutonat(server, listenOn string, key crypto.PrivKey, fault string, version int, about string) error {
	info, err := peer.AddrInfoFromString(server)
	if err != nil {
		return err
	}
	h, err := newHost(key, libp2p.ListenAddrStrings(listenOn), fault)
	if err != nil {
		return err
	}
	serve(h)
	// A client is a server, too, and closes what connections to its client it finds on the host from which it dials back.
	back, err := newHost(key, libp2p.NoListenAddrs, "")
	if err != nil {
		return err
	}
	second, err := autonatv2.New(back, autonatv2.AllowPrivateAddrs)
	if err != nil {
		return err
	}
	if err := second.Start(h); err != nil {
		return err
	}
	events, err := h.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := h.Connect(ctx, *info); err != nil {
		return err
	}
	asked := (<-events.Out()).(event.EvtPeerIdentificationCompleted).ObservedAddr
	if about != "" {
		if asked, err = multiaddr.NewMultiaddr(about); err != nil {
			return err
		}
	}
	start := time.Now()
	tell := func(reachability network.Reachability, reason error) {
		told := object{"event": "autonat", "version": version, "addr": asked, "ms": milliseconds(time.Since(start))}
		told["reachability"] = map[network.Reachability]string{
			network.ReachabilityUnknown: "unknown", network.ReachabilityPublic: "public", network.ReachabilityPrivate: "private"}[reachability]
		if reason != nil {
			told["reason"] = reason.Error()
		}
		report(told)
	}
	switch version {
	case 1:
		err := autonat.NewAutoNATClient(h, func() []multiaddr.Multiaddr { return []multiaddr.Multiaddr{asked} }, nil).DialBack(ctx, info.ID)
		switch {
		case err == nil:
			tell(network.ReachabilityPublic, nil)
		case autonat.IsDialError(err):
			tell(network.ReachabilityPrivate, err)
		default:
			tell(network.ReachabilityUnknown, err)
		}
	case 2:
		// It hears of its server a little after everybody else does.
		var result autonatv2.Result
		for range 100 {
			result, err = second.GetReachability(ctx, []autonatv2.Request{{Addr: asked, SendDialData: true}})
			if !errors.Is(err, autonatv2.ErrNoPeers) {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err == nil && result.AllAddrsRefused {
			err = errors.New("the server refuses to dial")
		}
		tell(result.Reachability, err)
	default:
		return fmt.Errorf("no such version of AutoNAT: %d", version)
	}
	return nil
}
