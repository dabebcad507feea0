// mDNS: to be found on the local network, and to say who was found there.
package main

import (
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

type finder struct{}

func (finder) HandlePeerFound(info peer.AddrInfo) {
	report(object{"event": "mdns", "peer": info.ID, "addrs": info.Addrs})
}

func (n neighbours) look(h host.Host) error {
	if !n.mdns {
		return nil
	}
	return mdns.NewMdnsService(h, "", finder{}).Start()
}
