// Kademlia: as a server among others, and one question to them.
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
)

// anything is what a value in the namespace /punchgate may be: the first one is as good as any.
type anything struct{}

func (anything) Validate(string, []byte) error        { return nil }
func (anything) Select(string, [][]byte) (int, error) { return 0, nil }

// octets is the text, or with 0x before it what its digits mean.
func octets(text string) (string, error) {
	if digits, isHex := strings.CutPrefix(text, "0x"); isHex {
		raw, err := hex.DecodeString(digits)
		return string(raw), err
	}
	return text, nil
}

// contentOf is the key as this library takes those of providers. Only its multihash is sent, and so a key that is
// none, as services have, is sent as it is.
func contentOf(key string) (cid.Cid, error) {
	raw, err := octets(key)
	return cid.NewCidV1(cid.Raw, multihash.Multihash(raw)), err
}

// joined is a DHT that knows the bootstrap peer, if there is one.
func joined(h host.Host, mode dht.ModeOpt, kad, bootstrap string) (*dht.IpfsDHT, error) {
	ctx := context.Background()
	prefix := protocol.ID(strings.TrimSuffix(kad, "/kad/1.0.0"))
	options := []dht.Option{dht.Mode(mode), dht.ProtocolPrefix(prefix)}
	// Under the public network's id it has the namespaces of that network, and takes no others.
	if prefix != dht.DefaultPrefix {
		options = append(options, dht.NamespacedValidator("punchgate", anything{}))
	}
	d, err := dht.New(h, options...)
	if err != nil || bootstrap == "" {
		return d, err
	}
	info, err := peer.AddrInfoFromString(bootstrap)
	if err != nil {
		return nil, err
	}
	if err := h.Connect(ctx, *info); err != nil {
		return nil, err
	}
	for limit := time.Now().Add(deadline / 2); d.RoutingTable().Find(info.ID) == ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			return nil, errors.New("the bootstrap peer does not come into the routing table")
		}
	}
	if mode == dht.ModeServer {
		return d, <-d.ForceRefresh()
	}
	return d, nil
}

// neighbours is how a listener finds others, and is found.
type neighbours struct {
	kad, bootstrap, provide string
	mdns                    bool
}

// join serves the DHT, if one is wanted, and announces the key, if there is one.
func (n neighbours) join(h host.Host) error {
	if n.kad == "" {
		return nil
	}
	d, err := joined(h, dht.ModeServer, n.kad, n.bootstrap)
	if err != nil || n.provide == "" {
		return err
	}
	content, err := contentOf(n.provide)
	if err != nil {
		return err
	}
	return d.Provide(context.Background(), content, true)
}

func found(infos ...peer.AddrInfo) []object {
	peers := []object{}
	for _, info := range infos {
		addrs := info.Addrs
		if addrs == nil {
			addrs = []multiaddr.Multiaddr{}
		}
		peers = append(peers, object{"peer": info.ID, "addrs": addrs})
	}
	return peers
}

func askDHT(operands []string, addr, kad, bootstrap string, private crypto.PrivKey) error {
	op := operands[0]
	wanted, known := map[string]int{"put": 3, "get": 2, "providers": 2, "find": 2, "closest": 2}[op]
	if !known || len(operands) != wanted {
		return fmt.Errorf("cannot do: dht %s", strings.Join(operands, " "))
	}
	h, err := newHost(private, libp2p.ListenAddrStrings(addr), "")
	if err != nil {
		return err
	}
	d, err := joined(h, dht.ModeClient, kad, bootstrap)
	if err != nil {
		return err
	}
	answer := object{"event": "dht", "op": op, "ok": true}
	if err := ask(d, operands, answer); err != nil {
		return err
	}
	report(answer)
	return nil
}

func ask(d *dht.IpfsDHT, operands []string, answer object) error {
	ctx := context.Background()
	key, err := octets(operands[1])
	if err != nil {
		return err
	}
	switch operands[0] {
	case "put":
		return d.PutValue(ctx, key, []byte(operands[2]))
	case "get":
		value, err := d.GetValue(ctx, key)
		answer["value"] = string(value)
		return err
	case "providers":
		content, err := contentOf(operands[1])
		if err != nil {
			return err
		}
		infos, err := d.FindProviders(ctx, content)
		answer["providers"] = found(infos...)
		return err
	case "find":
		id, err := peer.Decode(operands[1])
		if err != nil {
			return err
		}
		info, err := d.FindPeer(ctx, id)
		answer["peers"] = found(info)
		return err
	default:
		ids, err := d.GetClosestPeers(ctx, key)
		infos := make([]peer.AddrInfo, len(ids))
		for i, id := range ids {
			infos[i] = d.Host().Peerstore().PeerInfo(id)
		}
		answer["peers"] = found(infos...)
		return err
	}
}
