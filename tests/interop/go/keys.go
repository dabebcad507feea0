// The key of the identity, and what another peer says of itself with the signature of its own.
package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/multiformats/go-multiaddr"
)

const rsaBits = 2048

var keyTypes = map[string]int{
	"ed25519": crypto.Ed25519, "secp256k1": crypto.Secp256k1, "ecdsa": crypto.ECDSA, "rsa": crypto.RSA,
}

// newKey makes a key. Of a seed, which are the secret bytes, only Ed25519 keys are made.
func newKey(name string, seeded bool, seed uint64) (crypto.PrivKey, error) {
	kind, known := keyTypes[name]
	if !known {
		return nil, fmt.Errorf("unknown key type: %s", name)
	}
	if !seeded {
		key, _, err := crypto.GenerateKeyPairWithReader(kind, rsaBits, rand.Reader)
		return key, err
	}
	if kind != crypto.Ed25519 {
		return nil, fmt.Errorf("no seed makes a key of type %s", name)
	}
	secret := make([]byte, ed25519.SeedSize)
	binary.BigEndian.PutUint64(secret[len(secret)-8:], seed)
	return crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(secret))
}

// certified answers the addresses in the peer's signed record, once the book of certified addresses has taken it.
func (d *dialer) certified(e event.EvtPeerIdentificationCompleted) ([]multiaddr.Multiaddr, error) {
	if e.SignedPeerRecord == nil {
		return nil, nil
	}
	book, ok := peerstore.GetCertifiedAddrBook(d.host.Peerstore())
	if !ok {
		return nil, errors.New("this peer store has no certified addresses")
	}
	if _, err := book.ConsumePeerRecord(e.SignedPeerRecord, peerstore.TempAddrTTL); err != nil {
		return nil, fmt.Errorf("the signed peer record: %w", err)
	}
	kept := book.GetPeerRecord(e.Peer)
	if kept == nil {
		return nil, errors.New("the signed peer record was not kept")
	}
	record, err := kept.Record()
	if err != nil {
		return nil, err
	}
	return record.(*peer.PeerRecord).Addrs, nil
}
